"""One HTTP connection of a WebSocket port, with its bounds.

Implements: RFC 9112 §9.3 and §9.6, RFC 6585 §4 (429). Invariant: a request is whole within ``handshake_seconds``, the first one since the
connection was accepted; the next one is begun when the answer before it has gone, and what waits of an answer is two chunks at most.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from sipnode.transport.connection import STALL_SECONDS
from sipnode.transport.forwarded import client_of
from sipnode.transport.sniff import attach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.python.failure import Failure
    from twisted.web.server import Request, Site

    from sipnode.transport.admission import Ticket
    from sipnode.transport.connection import Hub
    from sipnode.transport.serialqueue import SerialQueue
    from sipnode.transport.wheel import WheelTimer

# A browser keeps a connection for its next request; longer is a place held for nothing.
_KEEP_ALIVE_SECONDS: Final = 60.0
# Octets handed to the transport at once; of a longer answer all connections share the octets.
_CHUNK: Final = 32768
_TOO_MANY: Final = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@implementer(IHalfCloseableProtocol)
class XHTTPChannel(HTTPChannel):
    """Twisted's HTTP connection with limits: a request in time, a body within bounds, one at a time, a place given back.

    Args:
        hub: What connections share.
        site: The site.
        ticket: The place of this connection.
        reactor: ``IReactorTime``.
        queue: Where requests wait that came behind others.
    """

    transport: Any
    # Twisted's own types forbid what Twisted's own factories set: another clock, a limit in fractions, another reader.
    callLater: Any
    timeOut: Any
    rawDataReceived: Any
    _buffer: bytes

    def __init__(self, hub: Hub, site: Site, ticket: Ticket, reactor: Any, queue: SerialQueue) -> None:
        HTTPChannel.__init__(self)
        self.site = site
        self.requestFactory = site.requestFactory
        self.factory = None
        self.callLater = reactor.callLater
        self.timeOut = _KEEP_ALIVE_SECONDS
        self._hub = hub
        self._ticket = ticket
        self._queue = queue
        self._deadline: WheelTimer | None = None
        self._stall: WheelTimer | None = None
        self._over = False
        self._first = True
        # An answer has been made, and the next request isn't begun yet.
        self._between = False
        self._half_closed = False
        self._closing = False
        self._unsent: deque[memoryview] = deque()
        self._told: IPv4Address | IPv6Address | None = None
        self._told_secure = False

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        if self._deadline is None and not self._handlingRequest:
            seconds, now = self._hub.transport.handshake_seconds, self._hub.wheel.seconds()
            # The first request has no more time than is left since the connection was accepted.
            end = (self._ticket.since if self._first else now) + seconds
            self._first = False
            self._deadline = self._hub.wheel.after(max(0.0, end - now), self._too_slow)
        HTTPChannel.dataReceived(self, data)

    def getPeer(self) -> Any:
        """The client: the peer, or whoever is behind our proxy."""
        return self._told or self.transport.getPeer()

    def isSecure(self) -> bool:
        """Whether it came by https, here or at our proxy."""
        return self._told_secure or bool(HTTPChannel.isSecure(self))

    def lineReceived(self, line: bytes) -> None:
        # Octets behind a request that was refused aren't read.
        if not self._over:
            HTTPChannel.lineReceived(self, line)

    def allHeadersReceived(self) -> None:
        if self.length is None or self.length > self._hub.limits.message_bytes:
            self.transport.write(_TOO_LARGE)
            self._end()
        else:
            HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        self._in_time()
        self._look_behind()
        if not self._hub.admission.spend(self.getPeer().host, True, 1.0, "http"):
            self.transport.write(_TOO_MANY)
            self._end()
            return
        self._ticket.spoke()
        HTTPChannel.allContentReceived(self)

    def requestDone(self, request: Request) -> None:
        """The answer is made. A request behind this one waits until it has gone, and until others had their turn."""
        del self.requests[0]
        if not self.persistent:
            self.loseConnection()
            return
        self._between = True
        if self._buffer or self._dataBuffer or self._half_closed:
            self._queue.add(self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if not self._between or self._over or self._waitingForTransport or self._unsent:
            return
        self._between = self._handlingRequest = False
        data, self._dataBuffer = b"".join(self._dataBuffer), []
        if self._half_closed and not data:
            self.loseConnection()
            return
        self.setTimeout(self._savedTimeOut or self.timeOut)  # type: ignore[no-untyped-call]  # Twisted's HTTP is not annotated
        self._networkProducer.resumeProducing()
        self.setLineMode(data)  # type: ignore[no-untyped-call]  # as above

    def write(self, data: bytes) -> None:
        """Hand on what the transport takes; the rest waits here, uncopied."""
        if self._unsent or len(data) > _CHUNK:
            self._unsent.append(memoryview(data))
            self._pump()
        else:
            self.transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        for data in iovec:
            self.write(data)

    def _pump(self) -> None:
        while self._unsent and not self._waitingForTransport:
            part = self._unsent[0]
            if len(part) > _CHUNK:
                self._unsent[0] = part[_CHUNK:]
            else:
                self._unsent.popleft()
            self.transport.write(bytes(part[:_CHUNK]))

    def pauseProducing(self) -> None:
        HTTPChannel.pauseProducing(self)
        # Twisted would go on reading without a bound while a request is under way.
        self._networkProducer.pauseProducing()
        if self._stall is None:
            self._stall = self._hub.wheel.after(STALL_SECONDS, self._stalled)

    def resumeProducing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        HTTPChannel.resumeProducing(self)
        self._pump()
        if self._closing and not self._unsent:
            self.loseConnection()
        elif self._between:
            self._queue.add(self._go_on)

    def loseConnection(self) -> None:
        """Close when all has gone; who doesn't take it is cut."""
        if self._unsent:
            self._closing = True
            return
        self._over = True
        self._in_time()
        self._deadline = self._hub.wheel.after(STALL_SECONDS, self.transport.abortConnection)
        HTTPChannel.loseConnection(self)

    def _stalled(self) -> None:
        self._stall = None
        self._hub.admission.counts["http_too_slow"] += 1
        self._too_slow()

    def _look_behind(self) -> None:
        """The true sender of this request, where one of our proxies brings it."""
        peer = self.transport.getPeer().host
        kind = self._hub.transport.forwarded
        if kind == "none" or not self._hub.admission.proxy(peer):
            return
        request = self.requests[-1]
        headers = request.requestHeaders

        def values(name: str) -> list[str]:
            return [value.decode("latin-1") for value in headers.getRawHeaders(name.encode()) or ()]

        found = client_of(
            peer,
            self._hub.admission.proxy,
            values("x-forwarded-for") if kind != "forwarded" else (),
            values("x-forwarded-proto"),
            values("forwarded") if kind != "x-forwarded-for" else (),
        )
        make = IPv6Address if ":" in found.host else IPv4Address
        self._told = make("TCP", found.host, self.transport.getPeer().port) if found.host != peer else None
        self._told_secure = found.secure
        request.client = self.getPeer()

    def refuses(self) -> bool:
        """Whether the client behind our proxy may have no WebSocket: it has too many, or is shut out."""
        return self._told is not None and not self._ticket.move(self._told.host)

    def timeoutConnection(self) -> None:
        self.setTimeout(None)  # type: ignore[no-untyped-call]  # Twisted's HTTP is not annotated
        self._end()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        self._in_time()
        if self._stall is not None:
            self._stall.cancel()
        self._over = True
        self._unsent.clear()
        HTTPChannel.connectionLost(self, reason)
        self._ticket.release()

    def readConnectionLost(self) -> None:
        """The client has sent all it will: answer what it asked, then close."""
        self._half_closed = True
        if not self._handlingRequest:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()

    def upgrade(self, protocol: Any, head: bytes) -> None:
        """Give transport and place to ``protocol``, and the octets of the handshake again."""
        wire: Any = self.transport
        wire.unregisterProducer()
        protocol.ticket = self._ticket
        protocol.client = self._told.host if self._told is not None else ""
        self.transport = None
        # Octets behind the handshake in the same segment are the protocol's as well.
        self.rawDataReceived = protocol.dataReceived
        self.requests.clear()
        attach(protocol, wire)
        protocol.dataReceived(head)

    def _end(self) -> None:
        self._over = True
        self._unsent.clear()
        self._in_time()
        wire: Any = self.transport
        wire.unregisterProducer()
        wire.loseConnection()
        self._deadline = self._hub.wheel.after(self._hub.transport.handshake_seconds, wire.abortConnection)

    def _too_slow(self) -> None:
        self._deadline = None
        self._over = True
        self.transport.abortConnection()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
