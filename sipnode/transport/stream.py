"""SIP over TCP and TLS.

Implements: RFC 3261 §18.3 (framing by Content-Length), RFC 5626 §4.4.1 (CRLFCRLF keepalive). Invariant: after a
stream has lost its frame nothing of it is read any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from sipnode.errors import FramingError
from sipnode.sip.framing import StreamFramer
from sipnode.transport.connection import STALL_SECONDS, ConnectionFlow, Hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from sipnode.base.flow import Listener
    from sipnode.records import Hop
    from sipnode.transport.admission import Ticket
    from sipnode.transport.outgoing import OutgoingPlace
    from sipnode.transport.wheel import WheelTimer

# A peer that has shut its sending side still gets answers for as long as a transaction may take (RFC 3261 §17, 64*T1).
HALF_OPEN_SECONDS: Final = STALL_SECONDS


class StreamFlow(ConnectionFlow):
    """One TCP or TLS connection."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        """Queue one message.

        Raises:
            FlowClosed: the connection is gone.
        """
        self.write(data)

    def finish(self, reason: str) -> None:
        """Close so that a last answer arrives: stop sending, let the peer close, cut after a while.

        Closing with octets unread makes the kernel send a reset, which can overtake the answer (RFC 9112 §9.6 tells the same
        of HTTP).
        """
        if self.closed:
            return
        self.give_up(reason)
        self._wire.unregisterProducer()
        if self.transport == "TCP" and hasattr(self._wire, "loseWriteConnection"):
            self._wire.loseWriteConnection()
        else:
            self._wire.loseConnection()


@implementer(IHalfCloseableProtocol)
class SipStream(Protocol):
    """The protocol around one connection.

    Args:
        hub: What connections share.
        transport_name: 'TCP' or 'TLS'.
        listener: Where it came in, or whose address is advertised on it.
        ticket: The place it holds.
    """

    def __init__(self, hub: Hub, transport_name: str, listener: Listener, ticket: Ticket | OutgoingPlace | None) -> None:
        self.hub = hub
        self.flow: StreamFlow | None = None
        self._transport_name = transport_name
        self._listener = listener
        self._ticket = ticket
        self._framer = StreamFramer(hub.framing)
        self._partial: WheelTimer | None = None

    def connectionMade(self) -> None:
        wire: Any = self.transport
        set_no_delay(wire)
        self.flow = StreamFlow(self.hub, wire, self._transport_name, self._listener, self._ticket)
        self.flow.open()

    def dataReceived(self, data: bytes) -> None:
        flow = self.flow
        if flow is None or flow.closed:
            return
        flow.last = self.hub.wheel.seconds()
        try:
            self._feed(data, flow)
        except FramingError as error:
            self._cancel_partial()
            self.hub.sink.broken(error.head, flow, error)
            flow.finish(f"stream lost its frame: {error.reason}")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        self._cancel_partial()
        flow, self.flow = self.flow, None
        if flow is not None:
            flow.lost(plain_reason(reason))
        elif self._ticket is not None:
            self._ticket.release()

    def readConnectionLost(self) -> None:
        flow = self.flow
        if flow is None or flow.closed:
            self.transport.loseConnection()  # type: ignore[union-attr]  # it is connected
        else:
            flow.out_of_use("peer closed")
            self.hub.wheel.after(HALF_OPEN_SECONDS, lambda: flow.close("peer closed"))

    def writeConnectionLost(self) -> None:
        flow = self.flow
        if flow is not None and not flow.closed:
            flow.close("peer takes no more")

    def _feed(self, data: bytes, flow: StreamFlow) -> None:
        framer = self._framer
        messages = framer.feed(data)
        if framer.pings:
            if flow.spend(framer.pings, "keepalives"):
                flow.write(b"\r\n" * min(framer.pings, 8))
            elif flow.closed:
                self._cancel_partial()
                return
        if messages and flow.silent:
            flow.said()
        received = self.hub.sink.received
        while messages:
            for message in messages:
                received(message, flow)
                if flow.closed:
                    self._cancel_partial()
                    return
            messages = framer.feed(b"") if framer.partial else []
            self._cancel_partial()
        if not framer.partial:
            self._cancel_partial()
        elif self._partial is None and data.strip(b"\r\n"):
            self._partial = self.hub.wheel.after(self.hub.limits.partial_seconds, self._partial_expired)

    def _partial_expired(self) -> None:
        self._partial = None
        if self.flow is not None and not self.flow.closed:
            self.flow.close("message not finished in time")

    def _cancel_partial(self) -> None:
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None


@implementer(IHandshakeListener)
class TlsClientStream(SipStream):
    """A TLS connection that we open: usable when the handshake is done and the peer's identity is checked.

    Args:
        done: Called with the flow when it is usable.
        hop: Where to; its ``server_name`` is what the certificate was checked for.
        place: The place it holds.
    """

    def __init__(
        self, hub: Hub, listener: Listener, hop: Hop, done: Callable[[StreamFlow], None], place: OutgoingPlace | None = None
    ) -> None:
        SipStream.__init__(self, hub, "TLS", listener, place)
        self._hop = hop
        self._done = done

    def connectionMade(self) -> None:
        """Wait for the handshake."""

    def handshakeCompleted(self) -> None:
        SipStream.connectionMade(self)
        if self.flow is not None:
            self.flow.server_name, self.flow.server_id = self._hop.server_name, self._hop.server_id
            handle: Any = self.transport.getHandle()  # type: ignore[union-attr]  # it is connected
            self.flow.offers_alias = handle.get_certificate() is not None and bool(handle.get_verify_mode() & SSL.VERIFY_PEER)
            self._done(self.flow)


def set_no_delay(wire: Any) -> None:
    """Switch Nagle off: a SIP message is one write, and waits for nothing."""
    try:
        wire.setTcpNoDelay(True)
    except (AttributeError, OSError):
        # A transport of a test, or a socket that the peer has reset already.
        return


def plain_reason(reason: Failure) -> str:
    """Why a connection ended, in a few words."""
    if reason.check(ConnectionDone):
        return "peer closed the connection"
    if reason.check(ConnectionLost):
        return "connection lost"
    text: str = reason.getErrorMessage()
    return text.rstrip(".").replace("\n", " ")[:200] or "connection lost"
