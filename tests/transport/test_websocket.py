"""Promises of ``sipnode.transport.websocket``."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import FlowClosed
from sipnode.interfaces import IFlow
from sipnode.settings import LimitSettings, TransportSettings
from sipnode.transport.connection import LINGER_SECONDS
from sipnode.transport.frames import frame, whole_message
from sipnode.transport.websocket import SipWebSocket, websocket_factory

from .kit import OK, OPTIONS, Bench, listener
from .test_http import UPGRADE, request

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def masked(first: int, payload: bytes, mask: bytes = b"mask") -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + struct.pack("!H", size)
    else:
        head = bytes((first, 0xFF)) + struct.pack("!Q", size)
    return head + mask + bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))


class WebSocketTests(SynchronousTestCase):
    """One open WebSocket in memory."""

    def setUp(self) -> None:
        limits = LimitSettings(message_bytes=2000, write_buffer_bytes=100000)
        self.bench = Bench(limits, TransportSettings(ping_interval=30.0, silent_seconds=3600))
        self.factory = websocket_factory(self.bench.hub, listener("WS", 8080, websocket_port=True), self.bench.clock)
        self.open()

    def open(self) -> None:
        protocol = self.factory.buildProtocol(None)
        protocol.ticket = self.bench.admission.enter("127.0.0.9")
        self.wire = self.bench.connect(protocol)
        protocol.dataReceived(request(UPGRADE))
        self.assertIn(b" 101 ", self.wire.take())
        self.flow = self.bench.sink.flows[-1]
        self.sink = self.bench.sink

    def receive(self, first: int, payload: bytes) -> bytes:
        self.wire.protocol.dataReceived(masked(first, payload))
        return self.wire.take()

    def test_flow(self) -> None:
        """The flow is a WebSocket flow."""
        verifyObject(IFlow, self.flow)
        self.assertEqual((self.flow.transport, self.flow.websocket, self.flow.reliable), ("WS", True, True))

    def test_in_kind(self) -> None:
        """Text is answered by text, binary by binary."""
        self.sink.on_received = lambda data, flow: flow.send(OK)
        self.assertEqual(self.receive(TEXT, OPTIONS), bytes((TEXT, len(OK))) + OK)
        self.assertEqual(self.receive(BINARY, OPTIONS), bytes((BINARY, len(OK))) + OK)
        self.assertEqual(self.receive(TEXT, OPTIONS)[0], TEXT)
        self.assertEqual(self.sink.texts, [OPTIONS] * 3)

    def test_octets_that_are_no_text(self) -> None:
        """A message that isn't UTF-8 goes out binary: a text frame of it would end the connection."""
        self.flow.send(b"\xff\xfe")
        self.flow.send("grün".encode())
        self.assertEqual(self.wire.take(), bytes((BINARY, 2)) + b"\xff\xfe" + bytes((TEXT, 5)) + "grün".encode())

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.sampled_from((TEXT, BINARY, PING, 0x01, 0x80)), st.integers(0, 400)), max_size=6), st.data())
    def test_any_cut(self, frames: list[tuple[int, int]], data: st.DataObject) -> None:
        """Frames in one read each, the short way, mean the same as the same octets cut anywhere, autobahn's way."""
        octets = [masked(first, bytes(33 + index % 90 for index in range(size % 126 if first == PING else size))) for first, size in frames]
        outcomes = []
        stream = b"".join(octets)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
        for parts in (octets, [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]):
            self.open()
            before = len(self.sink.messages)
            for part in parts:
                if not self.wire.ended:
                    self.wire.protocol.dataReceived(part)
            kinds = [(text, flow.binary) for text, flow in self.sink.messages[before:]]
            outcomes.append((kinds, self.wire.take()))
        self.assertEqual(outcomes[0], outcomes[1])

    def test_whole_message(self) -> None:
        """Only what is one masked text or binary frame of a bearable length, in its shortest form, goes the short way."""
        self.assertEqual(whole_message(masked(TEXT, b"a" * 300), 300), b"a" * 300)
        self.assertEqual(whole_message(masked(BINARY, b"a"), 300), b"a")
        for octets in (
            masked(TEXT, b"a" * 301),
            masked(TEXT, b""),
            masked(PING, b"a"),
            masked(0x01, b"a"),
            masked(0xC1, b"a"),
            masked(TEXT, b"a") + b"b",
            masked(TEXT, b"a")[:-1],
            frame(TEXT, b"abcdef"),
            bytes((TEXT, 0xFE, 0, 3)) + b"maskabc",
            b"",
        ):
            self.assertEqual(whole_message(octets, 300), b"", octets)

    def test_all_options_are_said(self) -> None:
        """Each option that autobahn would take from its factory stands in the class or is set for the port."""
        base = SipWebSocket.__mro__[1]
        missing = [name for name in base.CONFIG_ATTRS if not hasattr(self.factory.protocol, name)]
        self.assertEqual(missing, [])

    @settings(max_examples=30)
    @given(st.integers(0, 70000))
    def test_lengths(self, size: int) -> None:
        """Every length is written in the shortest of the three forms (RFC 6455 §5.2)."""
        octets = frame(BINARY, bytes(size))
        head = 2 if size < 126 else 4 if size < 65536 else 10
        self.assertEqual(len(octets), head + size)
        said = octets[1] if size < 126 else int.from_bytes(octets[2:head], "big")
        self.assertEqual((octets[0], said), (BINARY, size))

    def test_fragments(self) -> None:
        """A message in fragments is joined, with a ping between them answered."""
        self.receive(0x01, OPTIONS[:10])
        self.assertEqual(self.receive(PING, b"hi"), b"\x8a\x02hi")
        self.receive(0x00, OPTIONS[10:20])
        self.receive(0x80, OPTIONS[20:])
        self.assertEqual(self.sink.texts, [OPTIONS])

    def test_keepalive(self) -> None:
        """CRLFCRLF gets CRLF in kind, a lone CRLF and an empty message get nothing."""
        self.assertEqual(self.receive(TEXT, b"\r\n\r\n"), b"\x81\x02\r\n")
        self.assertEqual(self.receive(BINARY, b"\r\n\r\n"), b"\x82\x02\r\n")
        self.assertEqual(self.receive(TEXT, b"\r\n") + self.receive(TEXT, b""), b"")
        self.assertEqual(self.sink.texts, [])

    def closing(self, octets: bytes, code: int) -> None:
        self.assertEqual((octets[0], int.from_bytes(octets[2:4], "big")), (CLOSE, code))
        self.assertTrue(self.flow.closed)
        self.assertRaises(FlowClosed, self.flow.send, OK)
        self.bench.pass_time(LINGER_SECONDS + 1)
        self.assertTrue(self.wire.ended)
        self.assertEqual(self.sink.log, ["opened WS", "closed WS"])
        self.assertTrue(self.sink.reasons[0].startswith(str(code)), self.sink.reasons)

    def test_too_big(self) -> None:
        """A message over the limit closes with 1009."""
        self.closing(self.receive(TEXT, b"x" * 2001), 1009)

    def test_too_big_in_fragments(self) -> None:
        """Fragments count together."""
        octets = b""
        for first in (0x01, 0x00, 0x00):
            octets += self.receive(first, b"x" * 900)
        self.closing(octets, 1009)

    def test_not_utf8(self) -> None:
        """Text that isn't UTF-8 closes with 1007 and reaches nobody."""
        octets = self.receive(TEXT, b"OPTIONS \xff")
        self.assertEqual(self.sink.texts, [])
        self.closing(octets, 1007)

    def test_binary_needs_no_utf8(self) -> None:
        """A binary message is passed on as it is."""
        self.receive(BINARY, b"OPTIONS \xff")
        self.assertEqual(self.sink.texts, [b"OPTIONS \xff"])

    def test_unmasked(self) -> None:
        """A frame without a mask is a protocol error."""
        self.wire.protocol.dataReceived(frame(TEXT, OPTIONS))
        self.closing(self.wire.take(), 1002)

    def test_closed_by_code(self) -> None:
        """A reason that begins with a code closes with that code, any other with 1001."""
        self.flow.close("1002 two messages in a frame")
        self.closing(self.wire.take(), 1002)
        self.sink.log.clear()
        self.sink.reasons.clear()
        self.open()
        self.flow.close("server stops")
        octets = self.wire.take()
        self.assertEqual(octets[:4] + octets[4:], b"\x88\x0e\x03\xe9server stops")

    def test_peer_leaves(self) -> None:
        """A close frame is answered, and the reason told once in words."""
        octets = self.receive(CLOSE, struct.pack("!H", 1001))
        self.assertEqual(octets[0], CLOSE)
        self.assertRaises(FlowClosed, self.flow.send, OK)
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.assertEqual(self.sink.reasons, ["1001 page left"])

    def test_wire_breaks(self) -> None:
        """A connection that breaks without a close frame is 1006."""
        self.wire.end()
        self.assertEqual(self.sink.reasons, ["1006 peer closed the connection"])
        self.assertEqual((self.bench.admission.open, self.bench.timers(), self.bench.flows.counts()), (0, 0, {}))

    def test_ping(self) -> None:
        """A peer that answers pings stays, one that misses two is cut after 90 seconds at most."""
        for _ in range(5):
            self.bench.pass_time(31)
            self.assertEqual(self.wire.take(), b"\x89\x00")
            self.receive(PONG, b"")
        self.assertFalse(self.flow.closed)
        self.bench.pass_time(62)
        self.assertFalse(self.wire.ended)
        self.bench.pass_time(31)
        self.assertEqual((self.wire.ended, self.sink.reasons), (True, ["ping timeout"]))

    def test_messages_count_as_life(self) -> None:
        """Any octets after a ping answer it."""
        for _ in range(6):
            self.bench.pass_time(31)
            self.receive(TEXT, OPTIONS)
        self.assertFalse(self.flow.closed)

    def test_slow_reader(self) -> None:
        """A browser that reads nothing is cut at the bound, by messages and by pongs alike."""
        self.wire.producer.pauseProducing()
        for _ in range(300):
            self.wire.protocol.dataReceived(masked(PING, b"x" * 125))
            if self.wire.ended:
                break
        self.assertEqual(self.sink.reasons, ["peer reads too slowly"])

    def test_garbage(self) -> None:
        """Any octets after the handshake leave the log without a word and the sink with one goodbye at most."""
        for number in range(40):
            self.open()
            self.wire.protocol.dataReceived(bytes((number * 7 + each * each * 31) % 256 for each in range(300)))
            self.wire.end()
        self.assertEqual(self.bench.admission.open, 1)

    def test_handshake_is_forgotten(self) -> None:
        """An open connection keeps no text of its handshake."""
        kept = self.wire.protocol.__dict__
        self.assertFalse([name for name in kept if name.startswith("http_") and len(str(kept[name])) > 60])
