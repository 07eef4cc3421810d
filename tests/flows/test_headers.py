"""What a site writes into messages stays one header: nobody begins a line of its own by what a caller sent."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import Reject
from sipnode.routing import RoutingScript
from sipnode.sip.uri import SipUri
from sipnode.testing import World

BREAKS = ("\r", "\n", "\r\n", "\0")


class HeaderTests(SynchronousTestCase):
    """add_header, extra, Reject, reply, rewrite."""

    def sent(self, relay: Any) -> tuple[list[int], list[str]]:
        """The statuses that the caller sees, and the methods that the callee does, with a script that relays so."""
        script = type("Site", (RoutingScript,), {"relay": relay})
        world = World(script=script)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("MESSAGE", bob.aor)
        self.request = bob.inbox[0] if bob.inbox else None
        return alice.statuses(), bob.methods()

    def test_added(self) -> None:
        """One header more goes on, by any spelling of its name; what is removed doesn't."""

        def relay(script: RoutingScript, r: Any) -> Any:
            r.add_header("X-Class", "gold")
            r.add_header("s", "hello")
            r.remove_header("Contact")
            return r.relay()

        self.assertEqual(self.sent(relay), ([], ["MESSAGE"]))
        request = self.request
        assert request is not None
        self.assertEqual((request.get("x-class"), request.get("subject"), request.get("contact")), ("gold", "hello", None))
        self.assertIn("X-Class: gold", request.lines)

    def test_breaks(self) -> None:
        """A value with CR, LF or NUL is a fault of the script: 500, and nothing goes out."""
        for mark in BREAKS:
            value = f"a{mark}Route: <sip:evil.test>"

            def added(script: RoutingScript, r: Any, value: str = value) -> Any:
                r.add_header("x-class", value)
                return r.relay()

            def raw(script: RoutingScript, r: Any, value: str = value) -> Any:
                r.extra.append(("x-class", value))
                return r.relay()

            def answered(script: RoutingScript, r: Any, value: str = value) -> Any:
                return r.reply(403, headers=[("x-class", value)])

            def phrased(script: RoutingScript, r: Any, value: str = value) -> Any:
                return r.reply(403, value)

            def refused(script: RoutingScript, r: Any, value: str = value) -> Any:
                raise Reject(403, headers=(("x-class", value),))

            for relay in (added, raw, answered, phrased, refused):
                self.assertEqual((relay.__name__, *self.sent(relay)), (relay.__name__, [500], []))
                self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_names(self) -> None:
        """What is no name of a header, or the proxy's own, is refused, too."""
        for name in ("", "x y", "x:", "Via", "v", "Route", "call-id"):

            def relay(script: RoutingScript, r: Any, name: str = name) -> Any:
                r.add_header(name, "a")

            self.assertEqual((name, *self.sent(relay)), (name, [500], []))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_reject(self) -> None:
        """A Reject refuses, and says so in one line."""
        for status in (200, 0, 700):
            self.assertRaises(ValueError, Reject, status)
        for mark in BREAKS:
            self.assertRaises(ValueError, Reject, 403, f"No{mark}Way")
            self.assertRaises(ValueError, Reject, 403, "", ((f"x{mark}", "a"),))

    def test_rewritten(self) -> None:
        """Another user or host of a URI; what can't stand in one is refused."""
        for text, user, host, expected in (
            ("sip:100@example.test;user=phone", "alice", "", "sip:alice@example.test;user=phone"),
            ("sips:100@example.test:5061?x=y", "", "other.test", "sips:100@other.test?x=y"),
            ("sip:example.test", "bob", "", "sip:bob@example.test"),
            ("tel:+4930", "+49301", "", "tel:+49301"),
            ("tel:+4930;phone-context=x", "", "gw.test:5070", "sip:+4930@gw.test:5070"),
        ):
            self.assertEqual(SipUri.parse(text).rewritten(user, host), expected)
        for user, host in (("a b", ""), ("a@b", ""), ("a:b", ""), ("a\r\nVia: x", ""), ("", "x y"), ("a", "h>"), ("%", "")):
            self.assertRaises(ValueError, SipUri.parse("sip:100@example.test").rewritten, user, host)
