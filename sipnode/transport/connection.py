"""The common part of every connection, whatever carries it: a bounded way out, an idle limit, one goodbye.

Implements: RFC 3261 §18 (connections), RFC 5626 §3 (flow identity). Invariant: ``opened`` and ``closed`` of the sink are
called exactly once each, in this order, and what waits to be written is never more than ``write_buffer_bytes`` and one
message. Octets that are no message are bounded for each connection by itself, and counted against its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from OpenSSL import SSL
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from sipnode.base.flow import SECURE, Flow, Listener
from sipnode.errors import FlowClosed
from sipnode.transport.admission import Ticket
from sipnode.transport.identity import sip_domains

if TYPE_CHECKING:
    from sipnode.base.flow import MessageSink
    from sipnode.records import Hop
    from sipnode.settings import LimitSettings, TransportSettings
    from sipnode.sip.parser import Limits
    from sipnode.transport.admission import Admission
    from sipnode.transport.outgoing import OutgoingPlace
    from sipnode.transport.wheel import Wheel, WheelTimer

# Twisted's transports pause a producer when so much waits (abstract.FileDescriptor.bufferSize).
_PAUSE_MARK: Final = 65536
# 64*T1: a peer that takes nothing for so long has let every transaction on it time out (RFC 3261 §17).
STALL_SECONDS: Final = 32.0
# How long a connection that we close may take to drain before it is cut.
LINGER_SECONDS: Final = 3.0
# Pings, pongs, fragments and keepalives of one connection: so many a second, and so many at once. Nobody's phone sends one a second.
FRAMES_A_SECOND: Final = 20.0
FRAMES_AT_ONCE: Final = 300.0
# Where its source is over its limit, a connection that has sent so many of them is what it is over its limit for.
FRAMES_TO_BLAME: Final = 60.0


class Connections(Protocol):
    """The table of live connections, as one of them knows it."""

    def new_token(self) -> str:
        """A name that no other connection of this or an earlier run has."""

    def opened(self, flow: ConnectionFlow) -> None:
        """A connection is usable."""

    def closed(self, flow: ConnectionFlow) -> None:
        """A connection is gone."""


class Hub:
    """The common state of all connections of a process; one object, so that a connection holds one reference.

    Args:
        sink: Gets messages and news of connections.
        flows: The table of live connections.
        wheel: Coarse timers.
        admission: Caps on connections.
        limits: ``[limits]``.
        transport: ``[transport]``.
        framing: Bounds for the stream framer.
    """

    __slots__ = ("admission", "flows", "framing", "limits", "sink", "transport", "wheel")

    def __init__(
        self,
        sink: MessageSink,
        flows: Connections,
        wheel: Wheel,
        admission: Admission,
        limits: LimitSettings,
        transport: TransportSettings,
        framing: Limits,
    ) -> None:
        self.sink = sink
        self.flows = flows
        self.wheel = wheel
        self.admission = admission
        self.limits = limits
        self.transport = transport
        self.framing = framing


@implementer(IPushProducer)
class ConnectionFlow(Flow):
    """A live connection; it is also the producer that the Twisted transport pauses when the peer reads too slowly.

    Attributes:
        last: Clock time of the last octets received.
        silent: Nothing valid has come by it yet.
        alias_port: Port of the peer's address whose requests may go by it as well (RFC 5923), 0 for none.
    """

    __slots__ = (
        "_backlog",
        "_blocked_since",
        "_frames",
        "_frames_at",
        "_hub",
        "_opened",
        "_peer",
        "_reason",
        "_rest",
        "_said_at",
        "_ticket",
        "_timer",
        "_wire",
        "alias_port",
        "last",
        "server_id",
        "server_name",
        "silent",
    )

    def __init__(
        self, hub: Hub, wire: Any, transport: str, listener: Listener, ticket: Ticket | OutgoingPlace | None, client: str = ""
    ) -> None:
        host, peer = wire.getHost(), wire.getPeer()
        # Behind a proxy the port is that of the proxy's connection, which tells two of one client apart.
        Flow.__init__(self, transport, listener, (host.host, host.port), (client or peer.host, peer.port), hub.flows.new_token())
        self._hub = hub
        self._wire = wire
        self._ticket = ticket
        self._backlog = 0
        self._blocked_since = 0.0
        self._reason = ""
        self._peer: tuple[str, ...] | None = None
        self._opened = False
        self._timer: WheelTimer | None = None
        self._rest: WheelTimer | None = None
        self._frames = FRAMES_AT_ONCE
        self.last = self._frames_at = hub.wheel.seconds()
        self._said_at = 0.0
        self.silent = False
        if isinstance(ticket, Ticket):
            self.silent = True
            ticket.cut = self.abort
        elif ticket is not None:
            ticket.flow = self
        self.server_name = self.server_id = ""
        self.alias_port = 0

    @property
    def cipher(self) -> str:
        """Cipher suite and version of its TLS, "" for none."""
        handle = self._wire.getHandle() if self.transport in SECURE else None
        name = handle.get_cipher_name() if handle is not None else None
        return f"{name} {handle.get_protocol_version_name()}" if handle is not None and name else ""

    @property
    def peer_domains(self) -> tuple[str, ...]:
        """As of the handshake; read from the certificate when it is first asked for."""
        if self._peer is None:
            self._peer = ()
            handle = self._wire.getHandle() if self.transport in SECURE else None
            if handle is not None and handle.get_verify_mode() & SSL.VERIFY_PEER:
                certificate = handle.get_peer_certificate()
                self._peer = sip_domains(certificate) if certificate is not None else ()
        return self._peer

    def serves(self, hop: Hop) -> bool:
        """Whether a request to that hop may go by this connection: its peer has proved that name, and to the same section."""
        if hop.server_id != self.server_id:
            return False
        if not hop.server_name or self.server_name:
            return hop.server_name in ("", self.server_name)
        return hop.server_name in self.peer_domains

    def open(self) -> None:
        """The connection can carry messages: tell the table and the sink."""
        self._opened = True
        self._wire.registerProducer(self, True)
        self._watch()
        self._hub.flows.opened(self)
        self._hub.sink.opened(self)

    @property
    def signed_in(self) -> str:
        """The user that has shown a password by it, "" for nobody."""
        return self._ticket.user if isinstance(self._ticket, Ticket) else ""

    def prove(self, user: str) -> bool:
        """That user has; the connection keeps its place from now on, unless that user has too many."""
        return isinstance(self._ticket, Ticket) and self._ticket.prove(user)

    def said(self) -> None:
        """A message came that seems to be one."""
        self.silent = False
        self._said_at = self.last
        if isinstance(self._ticket, Ticket):
            self._ticket.spoke()

    def unsaid(self) -> None:
        """It wasn't: where it was the first, nothing has been said yet."""
        if self._said_at == self.last and isinstance(self._ticket, Ticket) and not self._ticket.user:
            self.silent = True
            self._ticket.unsaid()

    def spend(self, cost: float, kind: str) -> bool:
        """Count what came and is no message; who sends far too much of it is disconnected.

        Args:
            cost: In messages.
            kind: For the count, 'frames' or 'keepalives'.

        Returns:
            Whether it is to be answered.
        """
        hub, now = self._hub, self._hub.wheel.seconds()
        left = min(FRAMES_AT_ONCE, self._frames + (now - self._frames_at) * FRAMES_A_SECOND) - cost
        self._frames, self._frames_at = max(left, 0.0), now
        paid = left >= 0.0 and hub.admission.spend(self.remote[0], True, cost, kind)
        if left < 0.0 or not (paid or left > FRAMES_AT_ONCE - FRAMES_TO_BLAME):
            hub.admission.counts["too_many_frames"] += 1
            self.close(f"1008 too many {kind}")
        return paid

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: what the peer sends meanwhile waits with it."""
        if self._rest is None and not self.closed:
            self._rest = self._hub.wheel.after(seconds, self._go_on)
            self._wire.pauseProducing()

    def write(self, octets: bytes) -> None:
        """Queue octets, within the bound.

        Raises:
            FlowClosed: the connection is gone, or goes now because its peer doesn't read.
        """
        if self.closed:
            raise FlowClosed(self._reason or "connection closed")
        if self._blocked_since:
            self._backlog += len(octets)
            if self._backlog > self._hub.limits.write_buffer_bytes:
                self.abort("peer reads too slowly")
                raise FlowClosed(self._reason)
        self._wire.write(octets)

    def pauseProducing(self) -> None:
        # Twisted says it again at each write while its buffer is full.
        if self._blocked_since:
            return
        self._blocked_since = self._hub.wheel.seconds() or 1e-9
        self._backlog = _PAUSE_MARK

    def resumeProducing(self) -> None:
        self._blocked_since = 0.0

    def stopProducing(self) -> None:
        """The transport is going; ``connectionLost`` follows."""

    def close(self, reason: str) -> None:
        """Let what is queued go out, then close; cut after :data:`LINGER_SECONDS`."""
        if not self.closed:
            self.give_up(reason)
            self._wire.unregisterProducer()
            self._wire.loseConnection()

    def abort(self, reason: str) -> None:
        """Cut the connection now."""
        self.give_up(reason)
        self._wire.unregisterProducer()
        self._wire.abortConnection()

    def give_up(self, reason: str) -> None:
        """Nothing is sent any more; if the wire still stands after :data:`LINGER_SECONDS`, it is cut."""
        self.closed = True
        self._reason = self._reason or reason
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._hub.wheel.after(LINGER_SECONDS, self._cut)

    def lost(self, reason: str) -> None:
        """The wire is gone: leave the table, free the place, tell the sink once."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ticket is not None:
            self._ticket.release()
        self.out_of_use(self._reason or reason)

    def out_of_use(self, reason: str) -> None:
        """No request goes by it any more, as nothing would answer it; what its peer has asked is still answered while the wire stands."""
        if self._opened:
            self._opened = False
            self._hub.flows.closed(self)
            self._hub.sink.closed(self, reason)
            self.token = ""

    def alive(self, now: float) -> float:
        """Do something about a silent peer, e.g. a ping.

        Returns:
            Seconds until it wants to be asked again.
        """
        return self.last + self._hub.transport.idle_seconds - now

    def _watch(self) -> None:
        now = self._hub.wheel.seconds()
        if self._blocked_since and now - self._blocked_since > STALL_SECONDS:
            self.abort("peer stopped reading")
            return
        if now - self.last >= self._hub.transport.idle_seconds:
            self.close("idle")
            return
        wait = self.alive(now)
        if self.silent and isinstance(self._ticket, Ticket):
            left = self._ticket.since + self._hub.transport.silent_seconds - now
            if left <= 0:
                self._hub.admission.counts["said_nothing"] += 1
                self.close("1008 said nothing")
                return
            wait = min(wait, left)
        if not self.closed:
            self._timer = self._hub.wheel.after(min(max(wait, 0.5), STALL_SECONDS), self._watch)

    def _go_on(self) -> None:
        self._rest = None
        if not self.closed:
            self._wire.resumeProducing()

    def _cut(self) -> None:
        self._wire.abortConnection()
