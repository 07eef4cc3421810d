"""A port of the console's own: where it may be, what it bounds, and that it is the same console."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.console.listener import MOST_CONNECTIONS, MOST_OCTETS, Listener
from sipnode.errors import ConfigError
from sipnode.settings import ConsoleSettings
from tests.console.kit import USERS, ConsoleCase
from tests.web.kit import Wire


class ListenerTests(SynchronousTestCase):
    """Listener."""

    def test_others(self) -> None:
        """An address that others reach is refused: passwords would travel there in the clear."""
        for listen in ("0.0.0.0:8090", "192.0.2.1:8090", "[::]:8090"):
            self.assertRaises(ConfigError, Listener, listen, None, None)


class PortTests(ConsoleCase):
    """The console by it."""

    console_settings = ConsoleSettings(enabled=True, users=USERS, listen="127.0.0.1:8090")

    def reactor(self) -> Any:
        self.memory = MemoryReactorClock()
        return self.memory

    def setUp(self) -> None:
        super().setUp()
        _, self.factory, _, self.host = self.memory.tcpServers[0][:4]

    def connect(self) -> tuple[Any, Any]:
        """A connection, and its wire."""
        channel = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
        wire = Wire(peerAddress=IPv4Address("TCP", "127.0.0.1", 4000))
        if channel is not None:
            channel.makeConnection(wire)
        return channel, wire

    def said(self, request: bytes) -> bytes:
        """The answer to a request."""
        channel, wire = self.connect()
        channel.dataReceived(request)
        return bytes(wire.value())

    def test_same(self) -> None:
        """It is the same console, at /console/ of that port, and not at the WebSocket ports any more."""
        self.assertEqual(self.host, "127.0.0.1")
        self.assertIn(b" 200 ", self.said(b"GET /console/ HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n\r\n"))
        self.assertIn(b"Location: /console/", self.said(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n\r\n"))
        self.assertIn(b" 401 ", self.said(b"GET /console/api/calls HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n\r\n"))
        self.assertIn(b" 404 ", self.said(b"GET /console/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"))
        self.assertIsNone(self.root)

    def test_bounds(self) -> None:
        """A body that is too long, or of no length, is refused unread; there are so many connections, and places are given back."""
        head = b"POST /console/api/signin HTTP/1.1\r\nHost: localhost\r\n"
        self.assertIn(b" 413 ", self.said(head + b"Content-Length: %d\r\n\r\n" % (MOST_OCTETS + 1)))
        self.assertIn(b" 413 ", self.said(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 3))
        before = self.factory.open
        opened = [self.connect()[0] for _ in range(MOST_CONNECTIONS - before)]
        self.assertIsNone(self.connect()[0])
        opened[0].connectionLost()
        self.assertIsNotNone(self.connect()[0])

    def test_idle(self) -> None:
        """A connection that says nothing is closed."""
        _, wire = self.connect()
        self.memory.advance(61)
        self.assertTrue(wire.disconnecting)
