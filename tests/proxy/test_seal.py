"""What is sealed into route tokens and Contacts, pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.proxy.seal import CALLEE, CALLER, RouteState, Sealer, mark_of
from sipnode.records import Holder, Reach
from sipnode.sip.uri import SipUri

KEY = bytes(range(32))
NOW = 1_700_000_000.0
TEXT = st.text("0123456789ABCdef_-.", min_size=1, max_size=24)
HOST = st.sampled_from(("", "192.0.2.7", "2001:db8::7", "::1", "2001:DB8::7", "sbc.example.net", "1.2.3", "010.0.0.1", "fe80::1%eth0"))
REACH = st.builds(
    Reach,
    flow=st.one_of(st.just(""), TEXT),
    key=st.one_of(st.just(""), TEXT),
    host=HOST,
    port=st.integers(0, 65535),
    transport=st.sampled_from(("", "UDP", "TCP", "TLS")),
    websocket=st.booleans(),
    natted=st.booleans(),
).map(lambda reach: reach if reach.host else Reach(reach.flow, reach.key, "", 0, reach.transport, reach.websocket, reach.natted))
MAYBE = st.one_of(st.just(""), TEXT)
HOLDER = st.builds(Holder, host=HOST, flow=MAYBE, key=MAYBE, who=st.sampled_from((b"", b"abcdef")))
STATE = st.builds(
    RouteState,
    far=REACH,
    holder=HOLDER,
    session=st.booleans(),
    mark=st.sampled_from((b"", b"0123456789")),
    until=st.just(NOW),
)


class TokenTests(SynchronousTestCase):
    """sn=…"""

    def setUp(self) -> None:
        self.sealer = Sealer(KEY)

    @given(STATE)
    def test_round_trip(self, state: RouteState) -> None:
        """What is sealed for an end is read by that end as it was, and is a legal URI parameter."""
        sealer = Sealer(KEY)
        for kind, tags, from_caller in ((CALLER, ("caller", "callee"), True), (CALLEE, ("callee", "caller"), False)):
            token = sealer.route(kind, state, "call", "caller", "callee" if kind == CALLER else "")
            found = sealer.open_route(token, "call", *tags)
            assert found is not None
            self.assertEqual(found.from_caller, from_caller)
            for name in ("far", "holder", "session", "mark", "bridged", "node", "call"):
                self.assertEqual((name, getattr(found, name)), (name, getattr(state, name)))
            self.assertTrue(0 <= found.until - NOW <= 60)
            self.assertEqual(SipUri.parse(f"sip:192.0.2.1;lr;sn={token}").params["sn"], token)

    def test_media(self) -> None:
        """The relay's node and its name of the call come back."""
        token = self.sealer.route(CALLEE, RouteState(bridged=True, node="n0123abc", call="abcdefghijkl", until=NOW), "call", "caller")
        found = self.sealer.open_route(token, "call", "callee", "caller")
        assert found is not None
        self.assertEqual((found.bridged, found.node, found.call), (True, "n0123abc", "abcdefghijkl"))

    def test_not_of_the_other_end(self) -> None:
        """A token of one end is nothing in the hands of the other, nor in another dialog, nor under another secret."""
        caller = self.sealer.route(CALLER, RouteState(until=NOW), "call", "caller", "callee")
        callee = self.sealer.route(CALLEE, RouteState(until=NOW), "call", "caller")
        self.assertIsNotNone(self.sealer.open_route(caller, "call", "caller", "callee"))
        self.assertIsNotNone(self.sealer.open_route(callee, "call", "anybody asked", "caller"))
        for token, tags in (
            (caller, ("callee", "caller")),
            (caller, ("caller", "another")),
            (caller, ("caller", "")),
            (callee, ("caller", "callee")),
            (callee, ("caller", "")),
        ):
            self.assertIsNone(self.sealer.open_route(token, "call", *tags))
        self.assertIsNone(self.sealer.open_route(caller, "other", "caller", "callee"))
        self.assertIsNone(Sealer(KEY[::-1]).open_route(caller, "call", "caller", "callee"))
        # Nor does a token of one kind become one of another by its first letter.
        self.assertIsNone(self.sealer.open_route(CALLEE + caller[1:], "call", "callee", "caller"))
        self.assertIsNone(self.sealer.open_contact("C" + callee[1:], "call", "caller", NOW))

    @given(st.data())
    def test_any_change_is_seen(self, data: st.DataObject) -> None:
        """Another letter anywhere, or another spelling of the same octets: nothing is read."""
        sealer = Sealer(KEY)
        token = sealer.route(CALLER, RouteState(Reach(host="192.0.2.7"), until=NOW), "call", "caller", "callee")
        at = data.draw(st.integers(0, len(token) - 1))
        letter = data.draw(st.characters(codec="utf-8").filter(lambda c: c != token[at]))
        self.assertIsNone(sealer.open_route(token[:at] + letter + token[at + 1 :], "call", "caller", "callee"))
        for twin in (token + "=", token + "==", token + "\n", token + "A"):
            self.assertIsNone(sealer.open_route(twin, "call", "caller", "callee"))

    @given(st.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """No text whatever is read or raises."""
        sealer = Sealer(KEY)
        for token in (text, CALLER + text, CALLEE + text, "C" + text):
            self.assertIsNone(sealer.open_route(token, "call", "caller", "callee"))
            self.assertIsNone(sealer.open_contact(token, "call", "caller", NOW))

    def test_short(self) -> None:
        """The longest usual case, two browsers through a relay with IPv6, stays below 150 characters where no proxy is between."""
        browser = Reach("42130e5a9d-zz1", "0123456789a", websocket=True)
        holder = Holder("2001:db8:1:2:3:4:5:6", "42130e5a9d-zz2", "0123456789b", mark_of("alice@example.test"))
        state = RouteState(browser, holder, True, "n0123abc", "abcdefghijkl", True, until=NOW)
        self.assertLess(len(self.sealer.route(CALLER, state, "call", "caller", "callee")), 171)
        holder.host = "192.0.2.17"
        self.assertLessEqual(len(self.sealer.route(CALLER, state, "call", "caller", "callee")), 150)

    def test_nothing_to_be_read(self) -> None:
        """Neither address nor connection of the other end stands in the token in any form that its holder could read."""
        one = self.sealer.route(CALLEE, RouteState(Reach(host="192.0.2.7", port=5060), until=NOW), "call", "caller")
        other = self.sealer.route(CALLEE, RouteState(Reach(host="192.0.2.8", port=5060), until=NOW), "call", "caller")
        same = sum(a == b for a, b in zip(one[1:], other[1:], strict=True))
        self.assertLess(same, len(one) // 3)


class ContactTests(SynchronousTestCase):
    """Contacts that are passed on inside a dialog."""

    def test_round_trip(self) -> None:
        """It leads where it was sealed to, for its own dialog and party, until its time is over."""
        sealer = Sealer(KEY)
        far = Reach("", "", "192.0.2.7", 5062, "UDP", natted=True)
        seal = sealer.contact(far, NOW + 600, "call", "tag")
        self.assertEqual(sealer.open_contact(seal, "call", "tag", NOW), far)
        self.assertIsNone(sealer.open_contact(seal, "call", "other", NOW))
        self.assertIsNone(sealer.open_contact(seal, "other", "tag", NOW))
        self.assertIsNone(sealer.open_contact(seal, "call", "tag", NOW + 700))


class MarkTests(SynchronousTestCase):
    """The way through other proxies."""

    ROUTES = ("<sip:edge@192.0.2.9;lr;x=1>", "<sip:p2.example.net:5070;transport=tcp;lr>")

    def setUp(self) -> None:
        self.sealer = Sealer(KEY)
        self.mark = self.sealer.mark(list(self.ROUTES), "sip:bob@10.0.0.1:5062")

    def test_same_way(self) -> None:
        """Case of hosts, names around URIs and parameters that say nothing of the way don't count."""
        for routes in (self.ROUTES, ("<sip:edge@192.0.2.9;lr=on>", '"P" <sip:P2.example.net:5070;transport=TCP;lr;y>')):
            self.assertTrue(self.sealer.agrees(self.mark, list(routes), "sip:bob@10.0.0.1:5062;ob"))

    def test_another_way(self) -> None:
        """Another proxy, one more, one less, another order, another transport or target: it isn't the way of this dialog."""
        one, two = self.ROUTES
        for routes, uri in (
            ([one], "sip:bob@10.0.0.1:5062"),
            ([two, one], "sip:bob@10.0.0.1:5062"),
            ([one, two, "<sip:p3;lr>"], "sip:bob@10.0.0.1:5062"),
            ([one.replace("192.0.2.9", "192.0.2.8"), two], "sip:bob@10.0.0.1:5062"),
            ([one, two.replace("5070", "5071")], "sip:bob@10.0.0.1:5062"),
            ([one, two.replace("lr>", "lr;maddr=192.0.2.8>")], "sip:bob@10.0.0.1:5062"),
            ([one, two], "sip:+1900@10.0.0.1:5062"),
            ([one, two], "sip:bob@10.0.0.1:5063"),
            ([], "sip:bob@10.0.0.1:5062"),
        ):
            self.assertFalse(self.sealer.agrees(self.mark, routes, uri))

    def test_proved_contact(self) -> None:
        """With a sealed Contact the Routes alone have to agree."""
        self.assertTrue(self.sealer.agrees(self.mark, list(self.ROUTES), None))
        self.assertFalse(self.sealer.agrees(self.mark, [self.ROUTES[0]], None))

    def test_none(self) -> None:
        """Where no proxy is between there is no mark, and no Route may remain."""
        self.assertEqual(self.sealer.mark([], "sip:bob@10.0.0.1"), b"")
        self.assertTrue(self.sealer.agrees(b"", [], "sip:anything@x"))
        self.assertFalse(self.sealer.agrees(b"", ["<sip:p;lr>"], "sip:anything@x"))

    def test_unreadable(self) -> None:
        """What can't be read raises ParseError, for the caller to judge."""
        self.assertRaises(ParseError, self.sealer.mark, ["<sip:%%%>"], "")
