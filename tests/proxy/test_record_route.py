"""Our Record-Route and Route, pure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.proxy.record_route import RouteSigner, loose_route, route_uri, strict_next
from sipnode.proxy.seal import RouteState
from sipnode.sip import build
from sipnode.sip.message import SipRequest
from sipnode.testing import FakeListener

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000.0


def is_own(host: str, port: int) -> bool:
    """The test's server is at one address."""
    return host == "192.0.2.1"


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
            ["Record-Route: <sip:192.0.2.1:5060;lr;r2=on;sn=T>", "Record-Route: <sip:192.0.2.1:8080;transport=ws;lr;r2=on>"],
        )


class LooseRouteTests(SynchronousTestCase):
    """Taking our own Route off."""

    def setUp(self) -> None:
        self.signer = RouteSigner(SECRET)
        self.token = self.signer.for_caller(RouteState(until=NOW), "call", "caller", "callee")
        self.mine = f"<sip:192.0.2.1;lr;sn={self.token}>"
        self.first = f"<sip:192.0.2.1;lr;r2=on;sn={self.token}>"
        self.twin = "<sip:192.0.2.1:8080;transport=ws;lr;r2=on>"

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
        """Both of a pair go (RFC 5658), whichever comes first, but not a second of another dialog or server."""
        other = self.signer.for_caller(RouteState(until=NOW), "another", "caller", "callee")
        for pair in ((self.first, self.twin), (self.twin, self.first)):
            self.assertEqual(self.routes(*pair, "<sip:p;lr>"), ["<sip:p;lr>"])
        for kept in (f"<sip:192.0.2.1;lr;r2=on;sn={other}>", "<sip:192.0.2.9;lr;r2=on>"):
            self.assertEqual(self.routes(self.first, kept), [kept])

    def test_outbound_proxy_before(self) -> None:
        """A phone that puts its outbound proxy, which is us, before the dialog's own Routes: all that are ours come off."""
        self.assertEqual(self.routes("<sip:192.0.2.1;lr>", self.mine, "<sip:p;lr>"), ["<sip:p;lr>"])
        self.assertEqual(self.routes("<sip:192.0.2.1;lr>", "<sip:192.0.2.1:5060;lr>", self.mine), [])

    def test_not_ours(self) -> None:
        """No Route, a foreign first one, one without a token or with a foreign token: the request must not go on."""
        self.assertIsNone(self.routes())
        self.assertIsNone(self.routes("<sip:p;lr>", self.mine))
        self.assertIsNone(self.routes("<sip:192.0.2.1;lr>"))
        self.assertIsNone(self.routes(self.mine.replace(self.token, self.token[:-2] + "zz")))

    def test_strict_upstream(self) -> None:
        """Our URI as Request-URI: the last Route is where it goes (§16.4), for one and for two Record-Routes."""
        for mine, routes in ((self.mine, []), (self.first, [self.twin]), (self.twin, [self.first])):
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
