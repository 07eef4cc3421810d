"""Every SIP message, as it came and went, to a receiver of HEP: over UDP, TCP or TLS; secrets covered.

Invariant: nobody waits for the receiver. Messages that it can't take are bounded, then dropped and counted; one that is away is dialled
again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.base.tap import Watcher
from sipnode.insight.masking import masked

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IListeningPort, ITransport

    from sipnode.base.flow import Flow
    from sipnode.base.tap import Tap
    from sipnode.base.why import Why
    from sipnode.insight.hep import Framer
    from sipnode.sip.message import SipRequest, SipResponse

SOON: Final = 0.05
"""Seconds that messages are collected; covering and framing them is done together, beside no call."""
MOST_WAITING: Final = 20_000
AT_ONCE: Final = 500
AGAIN: Final = (1.0, 2.0, 5.0, 15.0, 60.0)

Seen = tuple[float, bytes, str, tuple[str, int], tuple[str, int]]


class _Watch(Watcher):
    """Hands on each message with where it came from and went to."""

    __slots__ = ("_seen",)

    def __init__(self, seen: Callable[[Seen], None]) -> None:
        self._seen = seen

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        self._seen((now, data, flow.transport, flow.remote, flow.local))

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        self._seen((now, data, flow.transport, flow.remote, flow.local))

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        self._seen((now, data, flow.transport, flow.remote, flow.local))

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        self._seen((now, data, flow.transport, flow.local, flow.remote))

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        self._seen((now, data, flow.transport, flow.local, flow.remote))


class _Datagrams(DatagramProtocol):
    """A socket that only sends. A receiver that isn't there refuses each datagram, which is no news."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def startProtocol(self) -> None:
        """Bind it to its receiver."""
        if self.transport is not None:
            self.transport.connect(*self._address)

    def send(self, frame: bytes) -> bool:
        """Whether it has left; False where it is too long, or there is no way."""
        try:
            if self.transport is not None:
                self.transport.write(frame, None)
        except OSError:
            return False
        return True

    def connectionRefused(self) -> None:
        """Nobody listens there."""


class _Stream(Protocol):
    """A connection that only sends."""

    def __init__(self, gone: Callable[[_Stream], None]) -> None:
        self._gone = gone
        self.full = False

    def connectionMade(self) -> None:
        """Be told when more is waiting than should."""
        self.transport.registerProducer(self, True)  # type: ignore[union-attr]  # a transport that is an IConsumer

    def pauseProducing(self) -> None:
        """The receiver is slow."""
        self.full = True

    def resumeProducing(self) -> None:
        """It has caught up."""
        self.full = False

    def stopProducing(self) -> None:
        """It is gone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._gone(self)


class Mirror(Service):
    """Sends what the tap tells.

    Args:
        reactor: Sockets and clock.
        tap: What it watches. framer: Makes frames. call_id: Finds the Call-ID of a message.
        transport: ``udp``, ``tcp`` or ``tls``. host, port: Of the receiver; over UDP an IP literal.
        connect: Makes a connection for a protocol, over TCP or TLS: ``connect(made) -> Deferred``; None over UDP.

    Attributes:
        sent: Messages that were handed over. dropped: Those for which there was no room.
    """

    name = "hep"
    log = Logger(namespace="sipnode.hep")

    def __init__(
        self,
        reactor: Any,
        tap: Tap,
        framer: Framer,
        call_id: Callable[[bytes], str],
        host: str,
        port: int,
        connect: Callable[[Protocol], Any] | None,
    ) -> None:
        self._reactor = reactor
        self._tap = tap
        self._framer = framer
        self._call_id = call_id
        self._address = (host, port)
        self._connect = connect
        self._waiting: deque[Seen] = deque()
        self._watch = _Watch(self.seen)
        self._loop = LoopingCall(self._flush)
        self._loop.clock = reactor
        self._port: IListeningPort | None = None
        self._datagrams: _Datagrams | None = None
        self._stream: _Stream | None = None
        self._again: IDelayedCall | None = None
        self._failures = 0
        self.sent = self.dropped = 0

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._connect is None:
            self._datagrams = _Datagrams(self._address)
            self._port = self._reactor.listenUDP(0, self._datagrams, interface="::" if ":" in self._address[0] else "")
        else:
            self._dial()
        self._tap.subscribe(self._watch)
        self._loop.start(SOON, now=False)

    def stopService(self) -> Any:
        """Send what waits, and let go."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        self._tap.unsubscribe(self._watch)
        if self._loop.running:
            self._loop.stop()
        while self._waiting and self._ready:
            self._flush()
        if self._again is not None and self._again.active():
            self._again.cancel()
        stream, self._stream = self._stream, None
        if stream is not None and stream.transport is not None:
            stream.transport.loseConnection()
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def seen(self, message: Seen) -> None:
        """A message came or went."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(message)

    @property
    def waiting(self) -> int:
        """Messages that aren't sent yet."""
        return len(self._waiting)

    @property
    def _ready(self) -> bool:
        return self._datagrams is not None if self._connect is None else self._stream is not None and not self._stream.full

    def _flush(self) -> None:
        if not self._waiting or not self._ready:
            return
        frames = []
        for _ in range(min(AT_ONCE, len(self._waiting))):
            now, data, transport, source, target = self._waiting.popleft()
            frames.append(self._framer.frame(now, transport, source, target, masked(data), self._call_id(data)))
        self.sent += len(frames)
        if self._datagrams is not None:
            self.dropped += sum(not self._datagrams.send(frame) for frame in frames)
        elif self._stream is not None and self._stream.transport is not None:
            self._stream.transport.write(b"".join(frames))

    # -- streams

    def _dial(self) -> None:
        self._again = None
        assert self._connect is not None
        self._connect(_Stream(self._gone)).addCallbacks(self._connected, self._refused)

    def _connected(self, stream: _Stream) -> None:
        if not self.running:
            transport: ITransport | None = stream.transport
            if transport is not None:
                transport.loseConnection()
            return
        if self._failures:
            self.log.info("messages go to {host}:{port} again", host=self._address[0], port=self._address[1])
        self._failures, self._stream = 0, stream

    def _refused(self, failure: Failure) -> None:
        if not self._failures:
            self.log.warn(
                "no messages to {host}:{port}: {reason}", host=self._address[0], port=self._address[1], reason=failure.getErrorMessage()
            )
        self._later()

    def _gone(self, stream: _Stream) -> None:
        if stream is self._stream:
            self._stream = None
            self._later()

    def _later(self) -> None:
        if self.running:
            wait = AGAIN[min(self._failures, len(AGAIN) - 1)]
            self._failures += 1
            self._again = self._reactor.callLater(wait, self._dial)
