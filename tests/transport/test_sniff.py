"""Promises of ``sipnode.transport.sniff``."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import LimitSettings
from sipnode.transport.sniff import DROP, HTTP, SIP, StreamPort, decide

from .kit import OPTIONS, Bench, Wire, listener

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Decide(SynchronousTestCase):
    """The first octets."""

    def test_kinds(self) -> None:
        """SIP, HTTP and what is neither are told apart by the first line."""
        for octets, kind in (
            (OPTIONS, SIP),
            (b"SIP/2.0 200 OK", SIP),
            (b"\r\n\r\n", SIP),
            (b"\r\n\r\n" + GET, HTTP),
            (GET, HTTP),
            (b"POST /x HTTP/1.0\r\n", HTTP),
            (b"INVITE sip:a SIP/7.0\r\n", SIP),
            (b"INVITE sip:a\r\n", SIP),
            (b"hello\n", DROP),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", DROP),
            (b"x" * 9000, DROP),
            (b"", ""),
            (b"\r\n", ""),
            (b"GET / HT", ""),
            (b"SIP/2.", ""),
        ):
            self.assertEqual(decide(octets), kind, octets[:30])

    @given(st.sampled_from([OPTIONS, GET, b"SIP/2.0 200 OK\r\n\r\n", b"\r\n" + GET]), st.integers(0, 30))
    def test_never_changes_its_mind(self, message: bytes, cut: int) -> None:
        """A part of a message is never taken for another kind than the whole."""
        self.assertIn(decide(message[:cut]), ("", decide(message)))

    @given(st.binary(max_size=200))
    def test_any_octets(self, octets: bytes) -> None:
        """Any octets have an answer."""
        self.assertIn(decide(octets), (SIP, HTTP, DROP, ""))


class FakeHttp(Protocol):
    """Takes what it gets."""

    def __init__(self, ticket: Any) -> None:
        self.ticket = ticket
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any) -> None:
        self.ticket.release()


class StreamPortTests(SynchronousTestCase):
    """Connections of one port."""

    def setUp(self) -> None:
        self.bench = Bench(LimitSettings(connections=5, connections_per_source=2))

    def connect(self, http: Any = None, peer: str = "127.0.0.9") -> Wire:
        port = StreamPort(self.bench.hub, listener("TCP"), http)
        protocol = port.buildProtocol(IPv4Address("TCP", peer, 40000))
        self.assertIsNotNone(protocol)
        return self.bench.connect(protocol, peer)

    def test_sip(self) -> None:
        """SIP goes to the sink with the octets that told it."""
        wire = self.connect(FakeHttp)
        wire.protocol.dataReceived(OPTIONS[:5])
        self.assertEqual(self.bench.sink.log, [])
        wire.protocol.dataReceived(OPTIONS[5:])
        self.assertEqual((self.bench.sink.texts, self.bench.sink.log), ([OPTIONS], ["opened TCP"]))

    def test_http(self) -> None:
        """HTTP goes to the builder, with the connection's place."""
        wire = self.connect(FakeHttp)
        wire.protocol.dataReceived(GET[:3])
        wire.protocol.dataReceived(GET[3:])
        self.assertEqual((wire.protocol.data, self.bench.sink.log, self.bench.admission.open), (GET, [], 1))
        wire.end()
        self.assertEqual(self.bench.admission.open, 0)

    def test_http_where_it_is_not_named(self) -> None:
        """HTTP on a port that no ws line names gets 403, and the connection ends."""
        wire = self.connect()
        wire.protocol.dataReceived(GET)
        self.assertTrue(wire.take().startswith(b"HTTP/1.1 403 "))
        self.assertTrue(wire.disconnecting)

    def test_garbage(self) -> None:
        """What is no text ends the connection without an answer."""
        wire = self.connect(FakeHttp)
        wire.protocol.dataReceived(b"\x16\x03\x01\0\0")
        self.assertTrue(wire.ended)
        self.assertEqual((wire.value(), self.bench.admission.open, self.bench.timers()), (b"", 0, 0))

    def test_silence(self) -> None:
        """A connection that says nothing is cut after handshake_seconds."""
        wire = self.connect()
        wire.protocol.dataReceived(b"OPT")
        self.bench.pass_time(9)
        self.assertFalse(wire.ended)
        self.bench.pass_time(2)
        self.assertTrue(wire.ended)
        self.assertEqual(self.bench.admission.open, 0)

    def test_caps(self) -> None:
        """Over the cap of a source the oldest that said nothing has to go; where all are users' a connection is not taken."""
        first, second = self.connect(), self.connect()
        port = StreamPort(self.bench.hub, listener("TCP"))
        third = self.bench.connect(port.buildProtocol(IPv4Address("TCP", "127.0.0.9", 40000)))
        self.assertEqual((first.ended, second.ended, self.bench.admission.open), (True, False, 2))
        for wire in (second, third):
            wire.protocol.dataReceived(OPTIONS)
        for flow in self.bench.sink.flows:
            self.assertTrue(flow.prove("alice@example.com"))
        self.assertIsNone(port.buildProtocol(IPv4Address("TCP", "127.0.0.9", 40000)))
        self.assertIsNotNone(port.buildProtocol(IPv4Address("TCP", "127.0.0.8", 40000)))
