"""Stand-ins for the kernel and for the message sink."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from sipnode.base.flow import Listener, MessageSink
from sipnode.interfaces import IMessageSink
from sipnode.settings import LimitSettings, TransportSettings
from sipnode.sip.parser import Limits
from sipnode.transport.admission import Admission
from sipnode.transport.connection import Hub
from sipnode.transport.flowtable import FlowTable
from sipnode.transport.wheel import Wheel

OPTIONS = b"OPTIONS sip:example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n"
OK = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


class RecordingSink(MessageSink):
    """Keeps what it was told; ``on_received`` may do something with a message."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Any]] = []
        self.faults: list[tuple[bytes, Any, Exception]] = []
        self.log: list[str] = []
        self.reasons: list[str] = []
        self.flows: list[Any] = []
        self.on_received: Any = lambda data, flow: None
        self.on_broken: Any = lambda data, flow, error: None

    def received(self, data: bytes, flow: Any) -> None:
        self.messages.append((data, flow))
        self.on_received(data, flow)

    def broken(self, data: bytes, flow: Any, error: Exception) -> None:
        self.faults.append((data, flow, error))
        self.on_broken(data, flow, error)

    def opened(self, flow: Any) -> None:
        self.flows.append(flow)
        self.log.append(f"opened {flow.transport}")

    def closed(self, flow: Any, reason: str) -> None:
        self.log.append(f"closed {flow.transport}")
        self.reasons.append(reason)

    @property
    def texts(self) -> list[bytes]:
        """The messages alone."""
        return [data for data, _ in self.messages]


verifyObject(IMessageSink, RecordingSink())


class Wire(StringTransport):
    """A TCP transport in memory that can be told to stop taking octets, and that ends as a real one does."""

    def __init__(self, peer: str = "127.0.0.9", peer_port: int = 40000) -> None:
        StringTransport.__init__(self, IPv4Address("TCP", "127.0.0.1", 5060), IPv4Address("TCP", peer, peer_port))
        self.protocol: Any = None
        self.half_closed = False
        self.ended = False

    def behind(self, peer: Any) -> None:
        """A proxy brought it."""
        self.peerAddr = peer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.disconnected = True
        self.end(ConnectionLost())

    def loseConnection(self) -> None:
        self.disconnecting = True

    def end(self, reason: Exception | None = None) -> None:
        """What the reactor does when the socket is gone."""
        if not self.ended:
            self.ended = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def peer_half_closes(self) -> None:
        """The peer shuts its sending side."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.end()

    def take(self) -> bytes:
        """What was written since the last time."""
        data: bytes = self.value()
        self.clear()
        return data


class Bench:
    """A hub on a clock that tests move."""

    def __init__(self, limits: LimitSettings | None = None, transport: TransportSettings | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.sink = RecordingSink()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.flows = FlowTable(self.wheel, self.clock)
        self.limits = limits or LimitSettings()
        self.transport = transport or TransportSettings()
        self.admission = Admission(self.limits.connections, self.limits.connections_per_source, seconds=self.clock.seconds)
        framing = Limits(message_bytes=self.limits.message_bytes)
        self.hub = Hub(self.sink, self.flows, self.wheel, self.admission, self.limits, self.transport, framing)

    def connect(self, protocol: Any, peer: str = "127.0.0.9", peer_port: int = 40000) -> Wire:
        """Make a connection for ``protocol``."""
        wire = Wire(peer, peer_port)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def pass_time(self, seconds: float) -> None:
        """Move the clock in steps of half a second."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)

    def timers(self) -> int:
        """Callbacks that the wheel still holds."""
        return sum(1 for bucket in self.wheel._buckets.values() for timer in bucket if timer.callback is not None)


def listener(transport: str, port: int = 5060, websocket_port: bool = False) -> Listener:
    """A listener on loopback."""
    return Listener(transport, "127.0.0.1", port, "127.0.0.1", websocket_port=websocket_port)
