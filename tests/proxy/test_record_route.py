"""The signed state in our Record-Route, pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.proxy.record_route import RouteSigner, RouteState, Side, loose_route, route_uri, strict_next
from sipnode.sip import build
from sipnode.sip.message import SipRequest
from sipnode.sip.uri import SipUri
from sipnode.testing import FakeListener

SECRET = b"0123456789abcdef0123456789abcdef"
TOKEN = st.text("0123456789ABCdef_-", min_size=1, max_size=24)
SIDE = st.one_of(
    st.builds(Side, flow=TOKEN, key=st.one_of(st.just(""), TOKEN), websocket=st.booleans(), natted=st.booleans()),
    st.builds(Side, host=st.sampled_from(("192.0.2.7", "2001:db8::7")), port=st.integers(1, 65535), natted=st.booleans()),
    st.builds(Side, websocket=st.booleans(), natted=st.booleans()),
)
STATE = st.builds(RouteState, caller=SIDE, callee=SIDE, bridged=st.booleans(), node=st.one_of(st.just(""), st.just("-"), TOKEN))


def is_own(host: str, port: int) -> bool:
    """The test's server is at one address."""
    return host == "192.0.2.1"


class TokenTests(SynchronousTestCase):
    """sn=…"""

    def setUp(self) -> None:
        self.signer = RouteSigner(SECRET)

    @given(STATE)
    def test_round_trip(self, state: RouteState) -> None:
        """What is signed is read back, from either side, and is a legal URI parameter."""
        signer = RouteSigner(SECRET)
        token = signer.token(state, "call", "caller")
        for from_tag, to_tag, from_caller in (("caller", "callee", True), ("callee", "caller", False)):
            found = signer.read(token, "call", from_tag, to_tag)
            assert found is not None
            self.assertEqual(found.from_caller, from_caller)
            self.assertEqual((found.caller, found.callee), (state.caller, state.callee))
            self.assertEqual((found.bridged, found.node), (state.bridged, state.node))
            self.assertIs(found.far, found.callee if from_caller else found.caller)
        self.assertEqual(SipUri.parse(f"sip:192.0.2.1;lr;sn={token}").params["sn"], token)

    @given(STATE, st.data())
    def test_any_change_is_seen(self, state: RouteState, data: st.DataObject) -> None:
        """Another octet anywhere, another Call-ID, other tags or another secret: nothing is read."""
        signer = RouteSigner(SECRET)
        token = signer.token(state, "call", "caller")
        at = data.draw(st.integers(0, len(token) - 1))
        letter = data.draw(st.characters(codec="utf-8").filter(lambda c: c != token[at]))
        self.assertIsNone(signer.read(token[:at] + letter + token[at + 1 :], "call", "caller", "callee"))
        self.assertIsNone(signer.read(token, "other", "caller", "callee"))
        self.assertIsNone(signer.read(token, "call", "x", "callee"))
        self.assertIsNone(RouteSigner(SECRET[::-1]).read(token, "call", "caller", "callee"))

    @given(st.text(max_size=60))
    def test_anything(self, token: str) -> None:
        """No text whatever is read or raises."""
        self.assertIsNone(RouteSigner(SECRET).read(token, "call", "caller", "callee"))

    def test_short(self) -> None:
        """A plain call between phones costs four separators and a signature."""
        self.assertRegex(self.signer.token(RouteState(), "call", "caller"), "^!!!![0-9a-f]{16}$")


class LinesTests(SynchronousTestCase):
    """Record-Route lines."""

    def test_uri(self) -> None:
        """The URI names the advertised address and the transport; both WebSockets are ws (RFC 7118 §5.2)."""
        for transport, expected in (
            ("UDP", "sip:a.test:5070;lr"),
            ("TCP", "sip:a.test:5070;transport=tcp;lr"),
            ("TLS", "sip:a.test:5070;transport=tls;lr"),
            ("WS", "sip:a.test:5070;transport=ws;lr"),
            ("WSS", "sip:a.test:5070;transport=ws;lr"),
        ):
            self.assertEqual(route_uri(FakeListener(transport, "10.0.0.1", 5060, "a.test", 5070)), expected)

    def test_one_or_two(self) -> None:
        """One line for one listener, two for two, the one that the request leaves by on top."""
        signer, udp, ws = RouteSigner(SECRET), FakeListener(), FakeListener("WS", port=8080, via_port=8080)
        self.assertEqual(signer.lines(udp, udp, "T"), ["Record-Route: <sip:192.0.2.1:5060;lr;sn=T>"])
        self.assertEqual(
            signer.lines(ws, udp, "T"),
            ["Record-Route: <sip:192.0.2.1:5060;lr;r2=on;sn=T>", "Record-Route: <sip:192.0.2.1:8080;transport=ws;lr;r2=on;sn=T>"],
        )


class LooseRouteTests(SynchronousTestCase):
    """Taking our own Route off."""

    def setUp(self) -> None:
        self.signer = RouteSigner(SECRET)
        self.token = self.signer.token(RouteState(), "call", "caller")
        self.mine = f"<sip:192.0.2.1;lr;sn={self.token}>"
        self.twice = f"<sip:192.0.2.1;lr;r2=on;sn={self.token}>"

    def request(self, *routes: str, uri: str = "sip:bob@192.0.2.12") -> SipRequest:
        """An INFO of the caller with Route lines."""
        lines = [("from", "<sip:a@x>;tag=caller"), ("to", "<sip:b@x>;tag=callee"), ("call-id", "call")]
        return build.request("INFO", uri, lines + [("route", value) for value in routes])

    def routes(self, *routes: str, uri: str = "sip:bob@192.0.2.12") -> list[str] | None:
        """The Route values that remain, or None where the request must not go on."""
        state = loose_route(self.request(*routes, uri=uri), self.signer, is_own)
        return None if state is None else state.routes

    def test_removed(self) -> None:
        """Ours goes, whatever is behind it stays, in one line or several."""
        self.assertEqual(self.routes(self.mine), [])
        self.assertEqual(self.routes(self.mine, "<sip:p;lr>"), ["<sip:p;lr>"])
        self.assertEqual(self.routes(f"{self.mine}, <sip:p;lr>", "<sip:q;lr>"), ["<sip:p;lr>", "<sip:q;lr>"])

    def test_double(self) -> None:
        """Both of a pair go (RFC 5658), but not a second of another dialog or server."""
        other = self.signer.token(RouteState(), "another", "caller")
        self.assertEqual(self.routes(self.twice, self.twice, "<sip:p;lr>"), ["<sip:p;lr>"])
        for kept in (f"<sip:192.0.2.1;lr;r2=on;sn={other}>", f"<sip:192.0.2.9;lr;r2=on;sn={self.token}>"):
            self.assertEqual(self.routes(self.twice, kept), [kept])

    def test_not_ours(self) -> None:
        """No Route, a foreign first one, one without a token or with a foreign token: the request must not go on."""
        self.assertIsNone(self.routes())
        self.assertIsNone(self.routes("<sip:p;lr>", self.mine))
        self.assertIsNone(self.routes("<sip:192.0.2.1;lr>"))
        self.assertIsNone(self.routes(self.mine.replace(self.token, self.token[:-1] + "z")))

    def test_strict_upstream(self) -> None:
        """Our URI as Request-URI: the last Route is where it goes (§16.4), for one and for two Record-Routes."""
        for mine, routes in ((self.mine, []), (self.twice, [self.twice])):
            state = loose_route(self.request(*routes, "<sip:bob@h>", uri=mine.strip("<>")), self.signer, is_own)
            assert state is not None
            self.assertEqual((state.uri, state.routes), ("sip:bob@h", []))

    def test_unreadable(self) -> None:
        """A Route that can't be read isn't ours; one with an open quote is the sender's fault."""
        self.assertIsNone(self.routes("<sip:192.0.2.1:x>"))
        self.assertRaises(ParseError, self.routes, f'{self.mine}, "')

    def test_strict_next(self) -> None:
        """A next hop without lr becomes the Request-URI, the real one the last Route; with lr nothing changes."""
        self.assertEqual(strict_next([], "sip:u"), ([], "sip:u"))
        self.assertEqual(strict_next(["<sip:p;lr>"], "sip:u"), (["<sip:p;lr>"], "sip:u"))
        self.assertEqual(strict_next(["<sip:p>", "<sip:q;lr>"], "sip:u"), (["<sip:q;lr>", "<sip:u>"], "sip:p"))
