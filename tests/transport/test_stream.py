"""Promises of ``sipnode.transport.stream`` and ``sipnode.transport.connection``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import FlowClosed, FramingError
from sipnode.interfaces import IFlow
from sipnode.settings import LimitSettings, TransportSettings
from sipnode.transport.connection import LINGER_SECONDS, STALL_SECONDS
from sipnode.transport.stream import SipStream

from .kit import OK, OPTIONS, Bench, Wire, listener


class StreamTests(SynchronousTestCase):
    """One TCP connection in memory."""

    def setUp(self) -> None:
        limits = LimitSettings(write_buffer_bytes=200000, partial_seconds=10.0)
        self.bench = Bench(limits, TransportSettings(idle_seconds=100.0, silent_seconds=3600))
        self.sink = self.bench.sink
        self.wire = self.open()
        self.flow = self.sink.flows[0]

    def open(self) -> Wire:
        ticket = self.bench.admission.enter("127.0.0.9")
        stream = SipStream(self.bench.hub, "TCP", listener("TCP"), ticket)
        return self.bench.connect(stream)

    def receive(self, data: bytes) -> None:
        self.wire.protocol.dataReceived(data)

    def test_messages(self) -> None:
        """Messages come whole, however the octets are cut, all with one flow."""
        for octet in OPTIONS + b"\r\n" + OK:
            self.receive(bytes([octet]))
        self.receive(OPTIONS + OK + OPTIONS[:10])
        self.assertEqual(self.sink.texts, [OPTIONS, OK, OPTIONS, OK])
        self.assertEqual({flow for _, flow in self.sink.messages}, {self.flow})

    def test_flow(self) -> None:
        """The flow says what it is, and the table finds it by token and by address."""
        flow = self.flow
        self.assertEqual((flow.transport, flow.reliable, flow.websocket), ("TCP", True, False))
        self.assertEqual((flow.local, flow.remote), (("127.0.0.1", 5060), ("127.0.0.9", 40000)))
        self.assertRegex(flow.token, "^[0-9A-Za-z_-]+$")
        verifyObject(IFlow, flow)
        self.assertIs(self.bench.flows.by_token(flow.token), flow)
        self.assertIs(self.bench.flows.by_address("TCP", "127.0.0.9", 40000), flow)
        self.assertIsNone(self.bench.flows.by_address("TLS", "127.0.0.9", 40000))

    def test_keepalive(self) -> None:
        """CRLFCRLF gets CRLF back; a single CRLF gets nothing and never ends the connection."""
        self.receive(b"\r\n\r\n")
        self.assertEqual(self.wire.take(), b"\r\n")
        self.receive(b"\r\n")
        self.bench.pass_time(30)
        self.assertEqual((self.wire.take(), self.flow.closed), (b"", False))

    def test_many_keepalives(self) -> None:
        """A flood of keepalives is answered by a few octets."""
        self.receive(b"\r\n" * 2000)
        self.assertLessEqual(len(self.wire.take()), 16)

    def test_lost_frame(self) -> None:
        """A stream without a frame is given to the sink with its flow still open, then nothing of it is read."""
        self.sink.on_broken = lambda data, flow, error: flow.send(b"400")
        self.receive(OPTIONS + b"OPTIONS sip:a SIP/2.0\r\n\r\n" + OPTIONS)
        (head, flow, error), = self.sink.faults
        self.assertEqual((self.sink.texts, head[:9], flow), ([OPTIONS], b"OPTIONS s", self.flow))
        self.assertIsInstance(error, FramingError)
        self.assertEqual((self.wire.take(), self.wire.half_closed, self.flow.closed), (b"400", True, True))
        self.receive(OPTIONS)
        self.assertEqual(self.sink.texts, [OPTIONS])
        self.bench.pass_time(LINGER_SECONDS + 1)
        self.assertTrue(self.wire.ended)
        self.assertIn("lost its frame", self.sink.reasons[0])

    def test_partial_message(self) -> None:
        """A message that isn't whole in time closes the connection, though octets trickle in."""
        self.receive(OPTIONS[:20])
        for octet in OPTIONS[20:38]:
            self.bench.pass_time(0.5)
            self.receive(bytes([octet]))
        self.assertFalse(self.flow.closed)
        self.bench.pass_time(2)
        self.assertTrue(self.flow.closed and self.wire.disconnecting)
        self.wire.end()
        self.assertEqual(self.sink.reasons, ["message not finished in time"])

    def test_partial_again(self) -> None:
        """The limit counts for each message anew."""
        self.receive(OPTIONS[:20])
        for _ in range(5):
            self.bench.pass_time(8)
            self.receive(OPTIONS[20:] + OPTIONS[:20])
        self.assertFalse(self.flow.closed)
        self.receive(OPTIONS[20:])
        self.bench.pass_time(20)
        self.assertFalse(self.flow.closed)

    def test_slow_reader(self) -> None:
        """A peer that takes nothing is cut when more than the bound waits, and sending says so."""
        for _ in range(13):
            self.wire.producer.pauseProducing()
            self.flow.send(b"x" * 10000)
        self.assertRaises(FlowClosed, self.flow.send, b"x" * 10000)
        self.assertTrue(self.wire.ended)
        self.assertLessEqual(len(self.wire.value()), 200000)
        self.assertEqual(self.sink.reasons, ["peer reads too slowly"])
        self.assertRaises(FlowClosed, self.flow.send, b"x")

    def test_reader_that_catches_up(self) -> None:
        """What was queued counts no more when the peer has read it."""
        for _ in range(20):
            self.wire.producer.pauseProducing()
            self.flow.send(b"x" * 100000)
            self.wire.producer.resumeProducing()
        self.assertFalse(self.flow.closed)

    def test_stalled_reader(self) -> None:
        """A peer that takes nothing for 32 seconds is cut, however little waits."""
        self.wire.producer.pauseProducing()
        self.bench.pass_time(STALL_SECONDS * 2 + 2)
        self.assertEqual(self.sink.reasons, ["peer stopped reading"])

    def test_idle(self) -> None:
        """A connection without traffic is closed after idle_seconds, one with traffic isn't."""
        self.bench.pass_time(90)
        self.receive(b"\r\n\r\n")
        self.bench.pass_time(90)
        self.assertFalse(self.flow.closed)
        self.bench.pass_time(20)
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.assertEqual(self.sink.reasons, ["idle"])

    def test_half_close(self) -> None:
        """A peer that shuts its sending side still gets its answer, and no request; the connection ends a while later."""
        self.receive(OPTIONS)
        token = self.flow.token
        self.wire.peer_half_closes()
        self.assertEqual((self.bench.flows.by_token(token), self.flow.token, self.sink.log[-1]), (None, "", "closed TCP"))
        self.flow.send(OK)
        self.assertEqual(self.wire.take(), OK)
        self.assertFalse(self.wire.disconnecting)
        self.bench.pass_time(34)
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.assertEqual(self.sink.log.count("closed TCP"), 1)

    def test_goodbye_once(self) -> None:
        """Opened and closed are told once each, the place is given back, and nothing is left in table or wheel."""
        self.flow.close("enough")
        self.flow.close("again")
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.assertEqual((self.sink.log, self.sink.reasons), (["opened TCP", "closed TCP"], ["enough"]))
        self.assertEqual((self.bench.admission.open, self.bench.flows.counts(), self.bench.timers()), (0, {}, 0))
        self.assertIsNone(self.bench.flows.by_token(self.flow.token))
        self.assertRaises(FlowClosed, self.flow.send, b"x")

    def test_close_of_a_dead_peer(self) -> None:
        """A closed connection whose peer doesn't let go is cut."""
        self.flow.close("enough")
        self.bench.pass_time(LINGER_SECONDS + 1)
        self.assertTrue(self.wire.ended)

    def test_closed_flow_is_not_found(self) -> None:
        """A flow that closes is found by nobody, though its wire still stands."""
        self.flow.close("enough")
        self.assertIsNone(self.bench.flows.by_token(self.flow.token))
        self.assertIsNone(self.bench.flows.by_address("TCP", "127.0.0.9", 40000))

    def test_closed_by_the_sink(self) -> None:
        """When the sink closes the flow at one message, those behind it are not delivered."""
        self.sink.on_received = lambda data, flow: flow.close("1002 no")
        self.receive(OPTIONS + OPTIONS)
        self.assertEqual(self.sink.texts, [OPTIONS])

    def test_many(self) -> None:
        """Connections that come and go leave nothing behind."""
        self.flow.close("")
        self.wire.end()
        for _ in range(500):
            wire = self.open()
            wire.protocol.dataReceived(OPTIONS[:9])
            wire.end()
        self.assertEqual((self.bench.admission.open, self.bench.flows.counts(), self.bench.timers()), (0, {}, 0))
