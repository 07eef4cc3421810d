"""One stream port for SIP, HTTP and WebSocket, told apart by the first line.

Implements: RFC 3261 §7.1, RFC 9112 §3 (the version word of a start line), RFC 5626 §4.4.1. Invariant: a connection
speaks one protocol from its first line to its end; an undecided one lives ``handshake_seconds`` and holds 8 KiB at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol

from sipnode.transport.stream import SipStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from sipnode.base.flow import Listener
    from sipnode.transport.admission import Ticket
    from sipnode.transport.connection import Hub
    from sipnode.transport.wheel import WheelTimer

    HttpBuilder = Callable[[Ticket], Protocol]

SIP: Final = "sip"
HTTP: Final = "http"
DROP: Final = "drop"
_MOST: Final = 8192

FORBIDDEN: Final = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


def decide(octets: bytes) -> str:
    """The protocol that the first octets of a connection begin: :data:`SIP`, :data:`HTTP`, :data:`DROP`, or '' for not yet known."""
    text = octets.lstrip(b"\r\n")
    if not text:
        return SIP if len(octets) >= 4 else ""
    if text.startswith(b"SIP/2.0 "):
        return SIP
    line, newline, _ = text.partition(b"\n")
    if not newline:
        return "" if len(text) < _MOST and _is_text(text) else DROP
    version = line.rstrip(b"\r").rpartition(b" ")[2]
    if version.startswith(b"HTTP/"):
        return HTTP
    if version[:4].upper() == b"SIP/":
        # Also a version that we don't speak: the parser answers it 505.
        return SIP
    return SIP if _is_text(line) and b" " in line else DROP


def _is_text(octets: bytes) -> bool:
    """No control characters at the start: TLS, DTLS, RTP and port scanners are not text."""
    return not any(octet < 0x20 and octet not in b"\t\r\n" for octet in octets[:64])


class Sniffer(Protocol):
    """Reads until the kind is known, then hands the transport to the protocol of that kind.

    Args:
        port: The factory, which knows what the port takes.
        ticket: The place of this connection.
    """

    def __init__(self, port: StreamPort, ticket: Ticket) -> None:
        self._port = port
        self._ticket = ticket
        self._octets = b""
        self._timer: WheelTimer | None = None
        self._done = False

    def connectionMade(self) -> None:
        hub = self._port.hub
        wire: Any = self.transport
        self._ticket.cut = lambda reason: wire.abortConnection()
        self._timer = hub.wheel.after(hub.transport.handshake_seconds, self._too_slow)

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        self._octets += data
        kind = decide(self._octets)
        if kind:
            self._settle(kind)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        self._stop_timer()
        if not self._done:
            self._port.hub.admission.hung_up(self._peer_host())
            self._port.hub.admission.ended(end_of(reason, getattr(self.transport, "spoken", b"")))
            refusal = getattr(self.transport, "refusal", "")
            if refusal:
                self._ticket.disbelieved(refusal, self._port.hub.wheel.seconds())
        self._ticket.release()

    def _settle(self, kind: str) -> None:
        self._done = True
        self._stop_timer()
        self._ticket.settled()
        wire: Any = self.transport
        if kind == DROP:
            self._port.hub.admission.ended("not text")
            self._port.hub.admission.hung_up(self._peer_host())
            wire.abortConnection()
        elif kind == SIP:
            self._hand_over(self._port.sip(self._ticket))
        elif self._port.http is not None:
            self._hand_over(self._port.http(self._ticket))
        else:
            self._port.hub.admission.hung_up(self._peer_host())
            wire.write(FORBIDDEN)
            wire.loseConnection()
            self._timer = self._port.hub.wheel.after(self._port.hub.transport.handshake_seconds, wire.abortConnection)

    def _hand_over(self, protocol: Any) -> None:
        wire: Any = self.transport
        octets, self._octets = self._octets, b""
        attach(protocol, wire)
        protocol.dataReceived(octets)

    def _too_slow(self) -> None:
        self._done = True
        self._port.hub.admission.ended("silent")
        self.transport.abortConnection()  # type: ignore[union-attr]  # it is connected

    def _peer_host(self) -> str:
        peer = self.transport.getPeer()  # type: ignore[union-attr]  # it was connected
        return str(getattr(peer, "host", ""))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def end_of(reason: Failure, spoken: bytes = b"") -> str:
    """How a connection ended that never said a line.

    Args:
        reason: Of the end.
        spoken: The first octets, where they were not TLS on a TLS port.
    """
    if spoken:
        line = spoken.partition(b"\n")[0]
        return "plain sip" if b"SIP/2.0" in line else "plain http" if b" HTTP/1" in line else "not tls"
    fault = reason.value
    if not isinstance(fault, SSL.Error):
        return "closed"
    words = " ".join(str(part[-1]) for part in fault.args[0]) if fault.args else ""
    return "certificate" if "certificate" in words or "verify" in words else "handshake"


def attach(protocol: Any, wire: Any) -> None:
    """Let ``protocol`` take the place of the protocol that a transport feeds.

    Twisted has no public way; HTTP's own switch to another protocol works the same.
    """
    if hasattr(wire, "wrappedProtocol"):
        wire.wrappedProtocol = protocol
    else:
        wire.protocol = protocol
    protocol.makeConnection(wire)


class StreamPort(Factory):
    """Factory of one listening stream port.

    Args:
        hub: What connections share.
        listener: The listener for SIP over TCP or TLS on this port.
        http: Builds the protocol for HTTP and WebSocket; None when no ``ws`` or ``wss`` line names the port.
    """

    noisy = False

    def __init__(self, hub: Hub, listener: Listener, http: HttpBuilder | None = None) -> None:
        self.hub = hub
        self.listener = listener
        self.http = http

    def buildProtocol(self, addr: IAddress | None) -> Sniffer | None:
        ticket = self.hub.admission.enter(getattr(addr, "host", ""))
        return Sniffer(self, ticket) if ticket is not None else None

    def sip(self, ticket: Ticket) -> SipStream:
        """The protocol for a connection that speaks SIP."""
        return SipStream(self.hub, self.listener.transport, self.listener, ticket)
