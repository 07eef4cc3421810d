"""SIP over UDP: one datagram is one message, and each peer address is a flow.

Implements: RFC 3261 §18.1-18.2 (UDP part), RFC 5626 §3.5.2 (STUN keepalive, answered). Invariant: a datagram
of a known peer costs one dict look-up and one call of the sink; nothing on this path logs, waits or makes an address
object.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port
from twisted.logger import Logger

from sipnode.base.flow import Flow, Listener
from sipnode.errors import FlowClosed
from sipnode.transport import stun
from sipnode.transport.listen import family_of
from sipnode.transport.portowner import port_taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IListeningPort, IReactorFDSet

    from sipnode.base.flow import MessageSink
    from sipnode.transport.descriptors import PassedSockets

MAX_DATAGRAM: Final = 65536
# Datagrams of one wake-up: enough to drain a burst, few enough that timers and streams get their turn.
READ_BATCH: Final = 256
# The peers that are remembered; twice as many objects at most.
MAX_PEERS: Final = 32768
# In messages. An answer is half as long again as the question, and goes to whom the sender names.
STUN_COST: Final = 4.0

# Full buffers are a lost datagram, which SIP over UDP repeats by itself; a refusal belongs to some earlier datagram.
_PASSING = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR, errno.ECONNREFUSED})


class UdpFlow(Flow):
    """A pair of UDP addresses; never closes while the port is open."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: UdpEndpoint, remote: tuple[str, int]) -> None:
        listener = endpoint.listener
        Flow.__init__(self, "UDP", listener, (listener.host, listener.port), remote)
        self._endpoint = endpoint

    def send(self, data: bytes) -> None:
        """Send one datagram now.

        Raises:
            FlowClosed: the kernel will never deliver it (no route, too long, refused by a filter, port closed).
        """
        try:
            self._endpoint.sendto(data, self.remote)
        except OSError as error:
            self._endpoint.send_failed(error)

    def close(self, reason: str) -> None:
        """UDP has no connection to drop."""


class UdpEndpoint(DatagramProtocol):
    """One UDP socket.

    Args:
        listener: What it is called.
        sink: Gets every datagram that isn't a keepalive.
        max_peers: Peer addresses in each of the two generations of flows.

    Attributes:
        sendto: The socket's own method while it is bound.
        lost: Datagrams that the kernel had no room for.
        spend: Whether a source may have one more STUN answer: ``(host, stream, cost, kind)``.
    """

    noisy = False

    def __init__(self, listener: Listener, sink: MessageSink, max_peers: int = MAX_PEERS) -> None:
        self.listener = listener
        self.lost = 0
        self.spend: Callable[[str, bool, float, str], bool] = lambda host, stream, cost, kind: True
        self._sink_received = sink.received
        self._max_peers = max_peers
        self._flows: dict[tuple[str, int], UdpFlow] = {}
        self._older: dict[tuple[str, int], UdpFlow] = {}
        self.sendto: Callable[[bytes, tuple[str, int]], int] = _not_bound

    def startProtocol(self) -> None:
        self.sendto = self.transport.getHandle().sendto  # type: ignore[union-attr]  # a Port is what makeConnection gave

    def stopProtocol(self) -> None:
        self.sendto = _not_bound

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        flow = self._flows.get(addr) or self.flow_to(addr)
        if datagram[:1] < b"!":
            self._not_a_start_line(datagram, flow)
        else:
            self._sink_received(datagram, flow)

    def flow_to(self, address: tuple[str, int]) -> UdpFlow:
        """The flow to a peer, made when there is none.

        The flows live in two generations: when the younger is full it becomes the older, and what the older still held
        is forgotten. That is nearly least-recently-used, and a hit costs no book-keeping.
        """
        flow = self._flows.get(address)
        if flow is None:
            flow = self._older.pop(address, None) or UdpFlow(self, address)
            if len(self._flows) >= self._max_peers:
                self._older, self._flows = self._flows, {}
            self._flows[address] = flow
        return flow

    def known(self, address: tuple[str, int]) -> UdpFlow | None:
        """The flow to a peer that was heard of or sent to lately."""
        return self._flows.get(address) or self._older.get(address)

    def send_failed(self, error: OSError) -> None:
        """Count what passes by itself; raise FlowClosed for the rest."""
        if error.errno not in _PASSING:
            raise FlowClosed(f"UDP: {error.strerror or error}") from None
        self.lost += 1

    def _not_a_start_line(self, datagram: bytes, flow: UdpFlow) -> None:
        """Keepalives: line ends and zero octets are ignored, a STUN binding request is answered."""
        rest = datagram.lstrip(b"\r\n")
        if rest[:1] >= b"!":
            self._sink_received(rest, flow)
            return
        answer = stun.binding_response(datagram, flow.remote)
        if answer and self.spend(flow.remote[0], False, STUN_COST, "stun"):
            try:
                flow.send(answer)
            except FlowClosed:
                self.lost += 1


class SipUdpPort(Port):
    """Twisted's UDP port with a reading loop of its own.

    The stock loop compares address families and sets up a handler for each datagram; this one reads until the
    socket is empty, at most :data:`READ_BATCH` datagrams, and an IPv6 socket takes no IPv4.
    """

    _log: ClassVar[Logger] = Logger(namespace="sipnode.transport")

    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = Port.createInternetSocket(self)
        if self.addressFamily == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return sock

    def doRead(self) -> None:
        recvfrom = self.socket.recvfrom
        received = self.protocol.datagramReceived
        ipv6 = self.addressFamily == socket.AF_INET6
        for _ in range(READ_BATCH):
            try:
                data, addr = recvfrom(MAX_DATAGRAM)
            except OSError:
                return
            try:
                received(data, addr[:2] if ipv6 else addr)
            except Exception:
                self._log.failure("a datagram was not handled")


class UdpService(Service):
    """Binds one UDP endpoint; the port is known once it is started.

    Args:
        endpoint: The protocol.
        receive_buffer: SO_RCVBUF in octets.
        reactor: ``IReactorFDSet``.
        bound: Called with the listener when it is bound.

    Attributes:
        passed: Sockets that the service manager has bound (``take(host, port, datagrams)``), or None.
    """

    def __init__(self, endpoint: UdpEndpoint, receive_buffer: int, reactor: IReactorFDSet, bound: Callable[[Listener], None]) -> None:
        self.endpoint = endpoint
        self.name = endpoint.listener.name
        self._receive_buffer = receive_buffer
        self._reactor = reactor
        self._bound = bound
        self._port: IListeningPort | None = None
        self.passed: PassedSockets | None = None

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        self._bind()

    def startService(self) -> None:
        self._bind()
        Service.startService(self)

    def stopService(self) -> object:
        Service.stopService(self)
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def _bind(self) -> None:
        if self._port is not None:
            return
        listener = self.endpoint.listener
        make_port: Any = SipUdpPort  # Twisted's constructor has no annotations
        passed = self.passed.take(listener.host, listener.port, True) if self.passed is not None else None
        if passed is not None:
            # The reactor's own adoptDatagramPort would make a stock Port of it.
            with passed:
                adopt = make_port._fromListeningDescriptor
                port: Any = adopt(self._reactor, passed.fileno(), passed.family, self.endpoint, MAX_DATAGRAM)
        else:
            port = make_port(listener.port, self.endpoint, listener.host, MAX_DATAGRAM, self._reactor)
        try:
            port.startListening()
        except CannotListenError as error:
            raise port_taken(listener, error.socketError) from None
        try:
            port.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        except OSError:
            SipUdpPort._log.warn("{name}: SO_RCVBUF of {size} refused", name=listener.name, size=self._receive_buffer)
        self._port = port
        listener.bound(port.getHost().port)
        self._bound(listener)


def endpoint_family(endpoint: UdpEndpoint) -> int:
    """``socket.AF_INET`` or ``AF_INET6``."""
    return family_of(endpoint.listener.host)


def _not_bound(_data: bytes, _address: tuple[str, int]) -> int:
    raise OSError(errno.EBADF, "the port is closed")
