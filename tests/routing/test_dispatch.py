"""The message sink: nothing that arrives raises, grows or silences."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import FramingError
from sipnode.fakes import FakeFlow
from sipnode.interfaces import IMessageSink
from sipnode.observe.wiretrace import WireTrace
from sipnode.routing.script import RoutingScript
from sipnode.sip import build
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message
from sipnode.testing import World

INVITE = (
    b"INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKd1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:alice@example.test>;tag=a\r\nTo: <sip:bob@example.test>\r\nCall-ID: d1@x\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.11>\r\nContent-Length: 0\r\n\r\n"
)


class DispatchTests(SynchronousTestCase):
    """What transports may bring."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def feed(self, data: bytes) -> list[int]:
        """The statuses that octets from alice draw."""
        self.world.sink.received(data, self.alice.flow)
        return self.alice.statuses()

    def test_interface(self) -> None:
        """It is an IMessageSink."""
        self.assertTrue(verifyObject(IMessageSink, self.world.sink))

    def test_flow_of_another_kind(self) -> None:
        """A flow that doesn't derive from Flow is refused with its class, compiled or not; one that does may be anybody's."""

        class Lookalike:
            """Has what a flow has."""

            transport, reliable, websocket, remote, token = "TCP", True, False, ("192.0.2.77", 5060), "t"

        other: Any = Lookalike()
        for arrive in (lambda: self.world.sink.received(INVITE, other), lambda: self.world.sink.opened(other)):
            error = self.assertRaises(TypeError, arrive)
            self.assertRegex(str(error), r"^sipnode\.base\.flow\.Flow object expected; got \S*Lookalike\b")
        self.assertEqual((self.bob.inbox, len(self.world.core.transactions)), ([], 0))

        class Mine(FakeFlow):
            """Derives from it."""

        self.world.sink.received(INVITE, Mine("UDP", ("192.0.2.77", 5060)))
        self.assertEqual(self.bob.methods(), ["INVITE"])

    def test_broken_requests_are_answered(self) -> None:
        """A request that can't be read gets its status, with its own Via and Call-ID; an ACK gets nothing."""
        for old, new, status in (
            (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nCSeq: 1 INVITE", 400),
            (b"Content-Length: 0", b"Content-Length: -1", 400),
            (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505),
            (b"Content-Length: 0", b"X: " + b"x" * 9000, 513),
            (b"Content-Length: 0", b"no header at all", 400),
        ):
            self.assertEqual((new[:30], self.feed(INVITE.replace(old, new))), (new[:30], [status]))
            self.assertEqual(self.feed(INVITE.replace(old, new).replace(b"INVITE", b"ACK")), [])
        self.assertEqual(self.bob.inbox, [])

    def test_reason_is_printable(self) -> None:
        """The reason of a 400 carries nothing of the sender's octets that could break a line."""
        self.world.sink.received(INVITE.replace(b"Content-Length: 0", b"\xff\xfe\x00: 1"), self.alice.flow)
        for data in self.alice.flow.sent:
            self.assertRegex(data.split(b"\r\n")[0], rb"^SIP/2.0 400 [ -~]*$")

    def test_alias(self) -> None:
        """A request over TLS whose Via has alias offers its connection, with the port of that Via; others offer nothing."""
        flow = FakeFlow("TLS", ("192.0.2.11", 40000))
        plain = INVITE.replace(b"SIP/2.0/UDP", b"SIP/2.0/TLS")
        self.world.sink.received(plain, flow)
        self.feed(INVITE.replace(b"z9hG4bKd1", b"z9hG4bKd2;alias"))
        self.assertEqual(self.world.flows.aliases, [])
        self.world.sink.received(plain.replace(b"z9hG4bKd1", b"z9hG4bKd3;alias"), flow)
        self.assertEqual(self.world.flows.aliases, [(flow, 5060)])

    def test_no_via(self) -> None:
        """A request whose Via can't be read has nobody to answer to."""
        self.assertEqual(self.feed(INVITE.replace(b"Via: SIP/2.0/UDP 192.0.2.11:5060;branch=z9hG4bKd1\r\n", b"")), [])
        self.assertEqual(self.feed(INVITE.replace(b"SIP/2.0/UDP", b"///")), [])

    def test_broken_responses_are_dropped(self) -> None:
        """A response that can't be read, or belongs to nothing, draws no octet."""
        response = INVITE.replace(b"INVITE sip:bob@example.test SIP/2.0", b"SIP/2.0 200 OK")
        for data in (
            response,
            response.replace(b"CSeq: 1 INVITE", b"CSeq: x"),
            response.replace(b"Via", b"X-Via"),
            response.replace(b"200 OK", b"999 ?"),
            response.replace(b"192.0.2.11:5060", b"192.0.2.1:5060"),
            response.replace(b"192.0.2.11:5060", b"192.0.2.1:5060").replace(b"\r\nMax", b"\r\nVia: nonsense\r\nMax"),
            response.replace(b"192.0.2.11:5060", b"192.0.2.1:5060").replace(b"\r\nMax", b"\r\nVia: SIP/2.0/UDP 203.0.113.7;rport=x\r\nMax"),
        ):
            self.assertEqual(self.feed(data), [])
        self.assertEqual(len(self.world.core.transactions.clients), 0)

    def late(self) -> tuple[SipRequest, bytes]:
        """An INVITE as the callee got it, whose transaction is gone, and the callee's 200."""
        self.alice.send("INVITE", self.bob.aor)
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 486)
        self.world.advance(70)
        self.alice.take()
        return invite, build.response_to(invite, 200, "", "late").to_bytes()

    def test_stray_2xx(self) -> None:
        """A 2xx that comes when its transaction is gone finds its way back, also after a restart, and also to an address that
        the server has not heard of since.
        """
        _, data = self.late()
        self.world.sink.received(data, self.bob.flow)
        self.assertEqual(self.alice.statuses(), [200])
        again = self.world.restart()
        again.sink.received(data, self.bob.flow)
        flow = again.flows.by_address("UDP", *self.alice.flow.remote)
        self.assertEqual([parse_message(one).start_line for one in flow.sent], ["SIP/2.0 200 OK"])

    def test_stray_2xx_to_others(self) -> None:
        """A stray 2xx goes nowhere but to where its INVITE came from, whatever is changed in it, and not for ever."""
        _, data = self.late()
        host = self.alice.flow.remote[0].encode()
        seal = data.partition(b";sealed=")[2].partition(b"\r\n")[0]
        before = len(self.world.flows.flows)
        for changed in (
            data.replace(b"received=" + host, b"received=203.0.113.7").replace(b"UDP " + host, b"UDP 203.0.113.7"),
            data.replace(b"rport=5060", b"rport=5061").replace(host + b":5060", host + b":5061"),
            data.replace(b"Call-ID: ", b"Call-ID: x"),
            data.replace(b";sealed=" + seal, b""),
            data.replace(seal, b"0" * 16 + seal[16:]),
            data.replace(seal, seal[:16] + b"ffffffffffff"),
            data.replace(seal, b"\xc3\xa9" + seal),
        ):
            self.assertNotEqual(changed, data)
            self.world.sink.received(changed, self.bob.flow)
            self.assertEqual(self.alice.statuses(), [])
        self.assertEqual((len(self.world.flows.flows), self.world.core.counters["unproved_responses"]), (before, 7))
        self.world.advance(1900)
        self.world.sink.received(data, self.bob.flow)
        self.assertEqual(self.alice.statuses(), [])

    def test_lost_frame(self) -> None:
        """A stream that lost its frame gets the status of the fault where a request can be seen."""
        flow = self.world.phone("tcp", "TCP").flow
        self.world.sink.broken(INVITE, flow, FramingError("no Content-Length", 400))
        self.assertTrue(flow.sent[0].startswith(b"SIP/2.0 400"))
        self.world.sink.broken(b"\x16\x03\x01", flow, FramingError("not SIP", 400))
        self.world.sink.broken(b"", flow, ValueError("odd"))
        self.assertEqual(len(flow.sent), 1)

    def test_fault_of_one_frame(self) -> None:
        """A WebSocket message whose Content-Length doesn't fit is answered with 400, and its connection goes on with the next."""
        tab = self.world.phone("tab", "WS")
        for fault in (INVITE + b"more", INVITE.replace(b"Content-Length: 0", b"Content-Length: 3")):
            self.world.sink.received(fault, tab.flow)
            self.assertEqual((tab.statuses(), tab.flow.closed), ([400], False))
        self.assertEqual(tab.register().status, 200)

    def test_too_large_closes(self) -> None:
        """A message that is too large for its stream ends the connection after the answer."""
        phone = self.world.phone("tcp", "TCP")
        self.world.sink.received(INVITE + b"x" * 70000, phone.flow)
        self.assertEqual((phone.statuses(), phone.flow.closed), ([513], True))

    def test_hooks_that_raise(self) -> None:
        """An exception of the site's onreply_route or websocket_closed is logged, and stops neither the reply nor the clearing."""
        closed: list[Any] = []

        class Broken(RoutingScript):
            def onreply_route(self, response: Any, flow: Any) -> bool:
                raise ValueError("a fault of the site")

            def websocket_closed(self, flow: Any) -> None:
                closed.append((flow.vars["reason"], flow.vars["users"]))
                raise ValueError("another")

        world = World(script=Broken)
        alice, tab = world.phone("alice"), world.phone("tab", "WS")
        tab.register()
        alice.send("INVITE", tab.aor)
        tab.reply(tab.got("INVITE"), 486)
        self.assertEqual(alice.statuses(), [100, 486])
        world.close(tab, "peer reset")
        self.assertEqual(closed, [("peer reset", ["tab@example.test"])])
        self.assertEqual(world.core.registrar.table.count(), 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_false_drops_the_reply(self) -> None:
        """An onreply_route that says False drops the reply."""

        class Deaf(RoutingScript):
            def onreply_route(self, response: Any, flow: Any) -> bool:
                return response.status != 486

        world = World(script=Deaf)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        bob.reply(received, 486)
        bob.reply(received, 603)
        self.assertEqual(alice.statuses(), [100, 603])

    def test_trace(self) -> None:
        """Every message that passes is seen by the trace, once a direction."""
        seen: list[str] = []

        class Trace(WireTrace):
            def _write(self, what: str, data: bytes, flow: Any) -> None:
                seen.append({"received from": "<", "sent to": ">"}[what] + data.split(b" ")[0].decode())

        self.world.core.tap.subscribe(Trace())
        invite = self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 200)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.assertEqual(seen, ["<INVITE", ">SIP/2.0", ">INVITE", "<SIP/2.0", ">SIP/2.0", "<ACK", ">ACK"])

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_mutations(self, data: st.DataObject) -> None:
        """An INVITE with anything cut out of it or put into it raises nothing, and at most one final answer comes."""
        octets = bytearray(INVITE)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(octets)))
            end = data.draw(st.integers(at, min(len(octets), at + 12)))
            octets[at:end] = data.draw(st.binary(max_size=12))
        world = World()
        alice = world.phone("alice")
        world.phone("bob").register()
        world.sink.received(bytes(octets), alice.flow)
        self.assertLessEqual(len([status for status in alice.statuses() if status >= 200]), 1)
        self.assertEqual(self.flushLoggedErrors(), [])
