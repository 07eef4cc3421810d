"""What REQINIT refuses, and the way of a request that it lets pass."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import CoreSettings, Settings
from sipnode.testing import DOMAIN, Phone, World


class ReqInitTests(SynchronousTestCase):
    """Broken and exhausted requests."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def raw(self, phone: Phone, **changes: str) -> None:
        """An INVITE as text; each change replaces a header line, "" leaves it out."""
        lines = {
            "Via": "SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKraw1",
            "Max_Forwards": "70",
            "From": "<sip:alice@example.test>;tag=a",
            "To": "<sip:bob@example.test>",
            "Call_ID": "raw@test",
            "CSeq": "1 INVITE",
            "Contact": "<sip:alice@192.0.2.11>",
        } | changes
        start = lines.pop("start", "INVITE sip:bob@example.test SIP/2.0")
        text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value)
        self.world.sink.received(f"{start}\r\n{text}\r\n".encode(), phone.flow)

    def test_exhausted(self) -> None:
        """Max-Forwards 0 is answered with 483 and goes no further."""
        self.raw(self.alice, Max_Forwards="0")
        self.assertEqual(self.alice.statuses(), [483])
        self.assertEqual(self.bob.inbox, [])

    def test_decremented(self) -> None:
        """Max-Forwards goes out one less."""
        self.raw(self.alice, Max_Forwards="12")
        self.assertEqual(self.bob.got("INVITE").get("max-forwards"), "11")

    def test_added(self) -> None:
        """A request without Max-Forwards goes out with the configured number."""
        world = World(Settings(core=replace(CoreSettings(), max_forwards=33)))
        self.world, alice, bob = world, world.phone("alice"), world.phone("bob")
        bob.register()
        self.raw(alice, Max_Forwards="")
        self.assertEqual(bob.got("INVITE").get("max-forwards"), "33")

    def test_unreadable_max_forwards(self) -> None:
        """Max-Forwards that is no number up to 255 is answered with 400."""
        self.raw(self.alice, Max_Forwards="300")
        self.raw(self.alice, Max_Forwards="x")
        self.assertEqual(self.alice.statuses(), [400, 400])

    def test_proxy_require(self) -> None:
        """An extension that the proxy would have to know is answered with 420, which names it."""
        self.raw(self.alice, Proxy_Require="teleport, levitate")
        answer = self.alice.response()
        self.assertEqual((answer.status, answer.get("unsupported")), (420, "teleport, levitate"))

    def test_sanity(self) -> None:
        """Each fault of the seed's sanity mask draws its own status, and nothing is forwarded."""
        for changes, status in (
            ({"start": "INVITE sip:bob@example.test SIP/3.0"}, 505),
            ({"start": "INVITE http://example.test/ SIP/2.0"}, 416),
            ({"Call_ID": ""}, 400),
            ({"From": ""}, 400),
            ({"CSeq": "1 BYE"}, 400),
            ({"CSeq": "4294967296 INVITE"}, 400),
            ({"Content_Length": "77"}, 400),
            ({"start": "INVITE sip:bob@example.test:99999 SIP/2.0"}, 400),
            ({"To": "<sip:@>"}, 400),
            ({"start": "SUBSCRIBE sip:bob@example.test SIP/2.0", "CSeq": "1 SUBSCRIBE", "Expires": "soon"}, 400),
        ):
            self.raw(self.alice, **changes)
            self.assertEqual((changes, self.alice.statuses()), (changes, [status]))
        self.assertEqual(self.bob.inbox, [])

    def test_hostile_bytes(self) -> None:
        """What is no SIP at all gets no answer, and no exception leaves the sink."""
        for start in (b"\x00", b"GET / HTTP/1.1", b"\xff" * 200, b"INVITE", b"SIP/2.0 abc", b"SIP/2.0 200 OK"):
            data = start + b"\r\n\r\n"
            self.world.sink.received(data, self.alice.flow)
        self.assertEqual(self.alice.inbox, [])

    def test_ack_is_never_answered(self) -> None:
        """Whatever is wrong with an ACK, nobody answers it."""
        self.raw(self.alice, start="ACK sip:bob@example.test SIP/2.0", CSeq="1 ACK")
        self.raw(self.alice, start="ACK sip:bob@example.test SIP/2.0", CSeq="1 ACK", Max_Forwards="0")
        self.raw(self.alice, start="ACK sip:bob@example.test SIP/2.0", CSeq="1 BYE")
        self.assertEqual(self.alice.inbox, [])
        self.assertEqual(self.bob.inbox, [])

    def test_unknown_user(self) -> None:
        """An unknown user is 404, a URI without a user 484, a method that no contact takes 405 with Allow."""
        self.alice.send("INVITE", f"sip:nobody@{DOMAIN}")
        self.alice.send("INVITE", f"sip:{DOMAIN}")
        self.assertEqual(self.alice.statuses(), [404, 484])
        carol = self.world.phone("carol")
        carol.register(headers=(("allow", "INVITE, ACK, BYE, CANCEL"),))
        self.alice.send("MESSAGE", carol.aor, body=b"hi", content_type="text/plain")
        answer = self.alice.response("MESSAGE")
        self.assertEqual(answer.status, 405)
        self.assertIn("MESSAGE", answer.get("allow") or "")

    def test_options_to_the_server(self) -> None:
        """OPTIONS to the server itself is 200 with what it can do; OPTIONS to a user goes to the user."""
        self.alice.send("OPTIONS", f"sip:{DOMAIN}")
        answer = self.alice.response("OPTIONS")
        self.assertEqual(answer.status, 200)
        self.assertIn("INVITE", answer.get("allow") or "")
        self.alice.send("OPTIONS", self.bob.aor)
        self.assertEqual(self.bob.got("OPTIONS").ruri.user, "bob")


class RepeatTests(SynchronousTestCase):
    """Retransmissions."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def test_absorbed(self) -> None:
        """A repeated INVITE gets the last answer again and is forwarded once."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.alice.send_again(invite)
        self.assertEqual(self.alice.statuses(), [100, 100])
        received = self.bob.got("INVITE")
        self.assertEqual(self.bob.inbox, [])
        self.bob.reply(received, 180)
        self.alice.send_again(invite)
        self.assertEqual(self.alice.statuses(), [180, 180])
        self.bob.reply(received, 486)
        first = self.alice.take()[-1].to_bytes()
        self.alice.send_again(invite)
        self.assertEqual([m.to_bytes() for m in self.alice.take()], [first])
        self.assertEqual(self.bob.methods(), ["ACK"])

    def test_stateless_answers_are_the_same(self) -> None:
        """A refusal without a transaction is the same octets for a repeat, To tag included."""
        invite = self.alice.send("INVITE", f"sip:nobody@{DOMAIN}")
        self.alice.send_again(invite)
        first, second = (m.to_bytes() for m in self.alice.take())
        self.assertEqual(first, second)
        self.assertIn(b";tag=", first.partition(b"\r\nTo:")[2].partition(b"\r\n")[0])

    def test_non_invite(self) -> None:
        """A repeated BYE or MESSAGE is forwarded once, and gets the final answer again."""
        message = self.alice.send("MESSAGE", self.bob.aor, body=b"hi", content_type="text/plain")
        self.alice.send_again(message)
        received = self.bob.got("MESSAGE")
        self.assertEqual(self.bob.inbox, [])
        self.assertEqual(self.alice.inbox, [])
        self.bob.reply(received, 200)
        self.alice.send_again(message)
        self.assertEqual(self.alice.statuses(), [200, 200])

    def test_untouched_headers_are_octet_equal(self) -> None:
        """Headers that nobody touches go out as they came: spelling, order, folds, compact forms."""
        text = (
            "INVITE sip:bob@example.test SIP/2.0\r\n"
            "v: SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKequal\r\n"
            "max-FORWARDS: 70\r\n"
            'f: "A\\"lice" <sip:alice@example.test>;tag=x\r\n'
            "t:   <sip:bob@example.test>\r\n"
            "i: equal@test\r\n"
            "CSeq:  7   INVITE\r\n"
            "Subject: first\r\n second\r\n"
            "X-Odd:\t\u00fc \r\n"
            "m: <sip:alice@192.0.2.11>\r\n"
            "l: 3\r\n\r\nv=0"
        ).encode()
        self.world.sink.received(text, self.alice.flow)
        lines = self.bob.flow.sent[-1].partition(b"\r\n\r\n")[0].decode().split("\r\n")
        for line in ('f: "A\\"lice" <sip:alice@example.test>;tag=x', "t:   <sip:bob@example.test>", "i: equal@test", "CSeq:  7   INVITE"):
            self.assertIn(line, lines)
        self.assertIn(b"Subject: first\r\n second\r\nX-Odd:\t\xc3\xbc \r\n", self.bob.flow.sent[-1])
        self.assertTrue(self.bob.flow.sent[-1].endswith(b"\r\nl: 3\r\n\r\nv=0"))


class BusyTests(SynchronousTestCase):
    """A server that has too much to do, or is about to stop."""

    def test_new_calls_only(self) -> None:
        """New calls get 503 with the longest wait; calls that are up, registrations and OPTIONS go on; then all is as before."""
        world = World()
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        call = world.call(alice, bob)
        world.core.busy["overload"] = lambda: 3
        world.core.busy["drain"] = lambda: 7
        alice.send("INVITE", bob.aor)
        refused = alice.response("INVITE")
        self.assertEqual((refused.status, refused.get("retry-after")), (503, "7"))
        self.assertEqual(bob.register().status, 200)
        call.from_caller("INVITE")
        bob.reply(bob.got("INVITE"), 200)
        self.assertEqual(alice.response("INVITE").status, 200)
        world.core.busy.clear()
        world.call(alice, bob)
