"""Connections that a proxy brings: it says first whose they are.

Implements: the PROXY protocol (:mod:`sipnode.transport.proxyproto`), before TLS and everything else. Invariant: only an address in
``[transport] proxies`` is believed, it has to say it on a listener with ``proxy_protocol``, and within ``handshake_seconds``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from sipnode.addresses import is_within, networks
from sipnode.transport.proxyproto import ProxyHeaderError, read_header
from sipnode.transport.sniff import attach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from sipnode.transport.admission import Ticket
    from sipnode.transport.connection import Hub
    from sipnode.transport.wheel import WheelTimer

_REMEMBERED = 1024
_EXPLAIN_SECONDS = 10.0


class Proxies:
    """Whether an address is that of a proxy.

    Args:
        texts: ``[transport] proxies``.

    Raises:
        ConfigError: one that is neither address nor network.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = networks(texts, "transport.proxies")
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __call__(self, host: str) -> bool:
        """One dictionary look-up for who was asked for before."""
        if not self._networks:
            return False
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[host] = is_within(host, self._networks)
        return known


class ProxiedPort(Factory):
    """Stands before the factory of a port.

    Args:
        hub: What connections share.
        inner: What a connection becomes once it is known whose it is; gives None to refuse it.
    """

    noisy = False
    log = Logger()

    def __init__(self, hub: Hub, inner: Any) -> None:
        self.hub = hub
        self.inner = inner
        self._explain_at = 0.0

    def doStart(self) -> None:
        self.inner.doStart()

    def doStop(self) -> None:
        self.inner.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        admission = self.hub.admission
        host = getattr(addr, "host", "")
        if not admission.proxy(host):
            return self.inner.buildProtocol(addr)
        ticket = admission.enter(host)
        return None if ticket is None else _Header(self, ticket)

    def explain(self, host: str, why: str) -> None:
        """Say what is wrong with a proxy's headers, now and then."""
        self.hub.admission.counts["proxy_header_wrong"] += 1
        now = self.hub.wheel.seconds()
        if now >= self._explain_at:
            self._explain_at = now + _EXPLAIN_SECONDS
            self.log.warn("a connection of the proxy {host} was closed: {why}", host=host, why=why)


class _Header(Protocol):
    """Reads the header, then hands the transport on."""

    def __init__(self, port: ProxiedPort, ticket: Ticket) -> None:
        self._port = port
        self._ticket = ticket
        self._octets = b""
        self._done = False
        self._timer: WheelTimer | None = None

    def connectionMade(self) -> None:
        hub, wire = self._port.hub, self._wire
        self._ticket.cut = lambda reason: wire.abortConnection()
        self._timer = hub.wheel.after(hub.transport.handshake_seconds, lambda: self._fault("no PROXY header in time"))

    @property
    def _wire(self) -> Any:
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        if self._done:
            return
        self._octets += data
        try:
            header = read_header(self._octets)
        except ProxyHeaderError as error:
            self._fault(str(error))
            return
        if header is None:
            return
        self._end()
        wire, rest = self._wire, self._octets[header.size :]
        peer: Any = wire.getPeer()
        if header.client is not None:
            host, port = header.client
            peer = (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
            wire.behind(peer)
        protocol = self._port.inner.buildProtocol(peer)
        if protocol is None:
            wire.abortConnection()
            return
        attach(protocol, wire)
        if rest:
            protocol.dataReceived(rest)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        self._end()

    def _fault(self, why: str) -> None:
        host = str(self._wire.getPeer().host)
        self._end()
        self._port.explain(host, why)
        self._wire.abortConnection()

    def _end(self) -> None:
        self._done = True
        self._ticket.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
