"""Promises of ``sipnode.transport.tls.wire``: however the octets are cut, what arrives is the same, and is there at once."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.tls.config import load_tls_config
from sipnode.transport.tls.contexts import TLSContexts
from sipnode.transport.tls.wire import TLSWireFactory

from .certificates import make
from .kit import Wire


class Hearer(Protocol):
    """Keeps what it hears, and echoes it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)
        self.transport.write(b"<" + data)  # type: ignore[union-attr]  # it is connected

    def connectionLost(self, reason: Any = None) -> None:
        self.end = reason


class WireTests(SynchronousTestCase):
    """A server of ours and a client that is OpenSSL alone."""

    def setUp(self) -> None:
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        make("one").save(folder, "one")
        path = os.path.join(folder, "tls.cfg")
        with open(path, "w") as file:
            file.write("[server:default]\ncertificate=one-cert.pem\nprivate_key=one-key.pem\n")
        self.creator = TLSContexts(load_tls_config(path)).for_server("127.0.0.1", 5061)
        self.connect()

    def connect(self, most: int = 0) -> None:
        self.hearer = Hearer()
        factory = TLSWireFactory(self.creator, False, Factory.forProtocol(lambda: self.hearer), Clock())  # type: ignore[arg-type]
        self.wire = Wire()
        self.wire.protocol = factory.buildProtocol(None)
        self.wire.protocol.makeConnection(self.wire)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(most)
        self.client = SSL.Connection(context, None)
        self.client.set_connect_state()
        for _ in range(4):
            try:
                self.client.do_handshake()
            except SSL.WantReadError:
                pass
            self.deliver(self.out())

    def out(self) -> bytes:
        """What the client wants to send."""
        try:
            return self.client.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def deliver(self, *parts: bytes) -> None:
        """Give octets to the server, its answers to the client."""
        for part in parts:
            if part:
                self.wire.protocol.dataReceived(part)
        answer = self.wire.take()
        if answer:
            self.client.bio_write(answer)

    def answer(self) -> bytes:
        """All that the client can read."""
        found = b""
        while True:
            try:
                found += self.client.recv(1 << 16)
            except SSL.WantReadError:
                return found

    def test_at_once(self) -> None:
        """A message in one record is handed on and answered in one record, without a turn of the reactor."""
        for most in (0, SSL.TLS1_2_VERSION):
            self.connect(most)
            self.client.send(b"REGISTER")
            self.wire.protocol.dataReceived(self.out())
            self.assertEqual(self.hearer.heard, [b"REGISTER"])
            record = self.wire.take()
            self.assertEqual(len(record), 5 + int.from_bytes(record[3:5], "big"))
            self.client.bio_write(record)
            self.assertEqual(self.answer(), b"<REGISTER")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), st.lists(st.integers(1, 400), max_size=8))
    def test_any_cut(self, messages: list[bytes], cuts: list[int]) -> None:
        """Records cut and joined anywhere give their octets in order as soon as the last of them is there."""
        self.connect()
        octets = b""
        for message in messages:
            self.client.send(message)
            octets += self.out()
        ends = sorted({cut for cut in cuts if cut < len(octets)} | {len(octets)})
        self.deliver(*(octets[start:end] for start, end in zip([0, *ends], ends, strict=False)))
        self.assertEqual(b"".join(self.hearer.heard), b"".join(messages))
        self.client.send(b"last")
        self.deliver(self.out())
        self.assertEqual(self.hearer.heard[-1], b"last")

    def test_a_header_that_is_none(self) -> None:
        """Half a record whose second half looks like a record of its own leaves nothing unread."""
        for size in (100, 200):
            self.connect()
            self.client.send(b"a" * size)
            octets = self.out()
            self.wire.protocol.dataReceived(octets[:30])
            self.wire.protocol.dataReceived(octets[30:])
            self.assertEqual(b"".join(self.hearer.heard), b"a" * size)

    def test_large(self) -> None:
        """What is more than a record is written whole."""
        self.wire.protocol.write(b"x" * 50000)
        self.deliver()
        self.assertEqual(self.answer(), b"x" * 50000)

    def test_goodbye(self) -> None:
        """A close alert in one record ends the connection in the orderly way."""
        self.client.shutdown()
        self.deliver(self.out())
        self.assertTrue(self.wire.disconnecting)
        self.wire.end()
        self.assertIsNotNone(self.hearer.end)

    def test_forged(self) -> None:
        """A record that was changed on its way ends the connection, and nothing of it is heard."""
        self.client.send(b"REGISTER")
        octets = bytearray(self.out())
        octets[-1] ^= 1
        self.wire.protocol.dataReceived(bytes(octets))
        self.assertEqual(self.hearer.heard, [])
        self.assertTrue(self.wire.disconnecting)

    def test_write_before_the_handshake(self) -> None:
        """What is written before the handshake is done goes out behind it."""
        self.hearer = Hearer()
        factory = TLSWireFactory(self.creator, False, Factory.forProtocol(lambda: self.hearer), Clock())  # type: ignore[arg-type]
        self.wire = Wire()
        self.wire.protocol = factory.buildProtocol(None)
        self.wire.protocol.makeConnection(self.wire)
        self.wire.protocol.write(b"early")
        self.client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.client.set_connect_state()
        for _ in range(4):
            try:
                self.client.do_handshake()
            except SSL.WantReadError:
                pass
            self.deliver(self.out())
        self.assertEqual(self.answer(), b"early")
