"""``sipnode.transport.nodelay`` on real sockets: at once where the kernel takes it, in order where it doesn't."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.transport.nodelay import NoDelayServer

reactor: Any = _reactor


class EagerTests(TestCase):
    """One connection."""

    timeout = 20

    def setUp(self) -> None:
        self.made: Deferred[Any] = Deferred()
        self.gone: Deferred[Any] = Deferred()
        case = self

        class Server(Protocol):
            def connectionMade(self) -> None:
                case.made.callback(self.transport)

            def connectionLost(self, reason: Any = None) -> None:
                case.gone.callback(None)

        factory = Factory.forProtocol(Server)
        factory.noisy = False
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port.transport = NoDelayServer
        self.peer = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        self.addCleanup(self.finish)

    async def finish(self) -> None:
        self.peer.close()
        await self.port.stopListening()
        await self.gone

    async def test_at_once(self) -> None:
        """A write is with the peer before the reactor turns."""
        wire = await self.made
        wire.write(b"one")
        self.assertEqual(self.peer.recv(100), b"one")
        self.assertEqual((wire.dataBuffer, wire._tempDataBuffer), (b"", []))

    async def test_order(self) -> None:
        """What the kernel doesn't take waits, and what is written behind it stays behind it."""
        wire = await self.made
        parts = [bytes((number,)) * 300_000 for number in range(20)]
        for part in parts:
            wire.write(part)
        self.assertTrue(wire._tempDataBuffer)
        wire.loseConnection()

        def read() -> bytes:
            found = b""
            while octets := self.peer.recv(1 << 16):
                found += octets
            return found

        self.assertTrue(await deferToThread(read) == b"".join(parts))

    async def test_pauses(self) -> None:
        """A peer that reads nothing pauses the producer, as with Twisted's own."""
        wire = await self.made
        paused: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                paused.append("paused")

            def resumeProducing(self) -> None:
                """Nothing waits."""

            def stopProducing(self) -> None:
                """It is over."""

        wire.registerProducer(Producer(), True)
        for _ in range(200):
            wire.write(b"x" * 65536)
        self.assertTrue(paused)
        wire.unregisterProducer()

    async def test_reset(self) -> None:
        """A write to a connection that was reset raises nothing; it ends by itself."""
        wire = await self.made
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.peer.close()
        wire.write(b"one")
        wire.write(b"two")
        await self.gone
