"""The live flows: by token, by address, and the way to a hop.

Implements: RFC 3261 §18.1.1 (reuse of connections), RFC 5923 §8 (an alias names a connection that the peer opened), RFC 5626 §5.3
(a token names one connection), RFC 7118 §5 (a server never opens a WebSocket). Invariant: a flow is in the table from ``opened``
to ``closed`` and not a moment longer.
"""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFDSet

from sipnode.base import flows as base
from sipnode.base.flow import WEBSOCKET, Flow
from sipnode.errors import NoRoute
from sipnode.transport.connection import ConnectionFlow
from sipnode.transport.listen import family_of, is_loopback, is_unspecified
from sipnode.transport.sounding import Soundings
from sipnode.transport.udp import UdpEndpoint, endpoint_family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from sipnode.records import Hop
    from sipnode.transport.udp import UdpFlow
    from sipnode.transport.wheel import Wheel

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
# Destinations whose local socket is remembered, where there is more than one socket to choose from.
_MAX_ROUTES: Final = 8192
# How long stopService waits for connections to say goodbye.
_GOODBYE_SECONDS: Final = 1.0


class FlowTable(base.FlowTable, Service):
    """All live flows of the process; as a service it turns the wheel and ends connections on stop.

    Args:
        wheel: The timers of the connections.
        clock: ``IReactorTime``.

    Attributes:
        connector: Opens TCP and TLS connections; set once by the assembly.
    """

    name = "flows"

    def __init__(self, wheel: Wheel, clock: IReactorTime) -> None:
        self._wheel = wheel
        self._clock = clock
        self._prefix = secrets.token_hex(5) + "-"
        self._count = 0
        self._soundings: Soundings | None = None
        self._tokens: dict[str, ConnectionFlow] = {}
        self._addresses: dict[tuple[str, str, int], ConnectionFlow] = {}
        self._aliases: dict[tuple[str, int], ConnectionFlow] = {}
        self._endpoints: dict[int, list[UdpEndpoint]] = {}
        self._routes: dict[str, UdpEndpoint] = {}
        self._drained: Deferred[None] | None = None
        self._patience = _GOODBYE_SECONDS
        self.connector: Callable[[Hop, str], Deferred[Flow]] = _no_connector

    def startService(self) -> None:
        Service.startService(self)
        self._wheel.start()

    def stopService(self) -> Deferred[None]:
        """Close every connection (WebSocket: 1001), and wait a moment for them."""
        Service.stopService(self)
        if self._soundings is not None:
            self._soundings.stop()
        for flow in list(self._tokens.values()):
            flow.close("server stops")
        done: Deferred[None] = Deferred()
        if not self._tokens:
            self._wheel.stop()
            return succeed(None)
        self._drained = done
        call = self._clock.callLater(self._patience, self._cut_all)

        def finished(_: None) -> None:
            if call.active():
                call.cancel()
            self._wheel.stop()

        return done.addCallback(finished)

    def hurry(self) -> None:
        """Wait for no goodbyes, be it now or at the stop to come."""
        self._patience = 0.0
        if self._drained is not None:
            self._cut_all()

    def new_token(self) -> str:
        """A name that no other connection of this or an earlier run has: [0-9a-z-]."""
        self._count += 1
        number, text = self._count, ""
        while number:
            number, digit = divmod(number, 36)
            text = _DIGITS[digit] + text
        return self._prefix + text

    def opened(self, flow: ConnectionFlow) -> None:
        """A connection is usable."""
        self._tokens[flow.token] = flow
        self._addresses[(flow.transport, *flow.remote)] = flow

    def closed(self, flow: ConnectionFlow) -> None:
        """A connection is gone."""
        self._tokens.pop(flow.token, None)
        key = (flow.transport, *flow.remote)
        if self._addresses.get(key) is flow:
            del self._addresses[key]
        self._forget_alias(flow)
        if not self._tokens and self._drained is not None:
            done, self._drained = self._drained, None
            done.callback(None)

    def alias(self, flow: Flow, port: int) -> None:
        """Let requests to a port of the peer's address go by its connection, for the names that its certificate proved.

        Args:
            flow: Where a request with ``alias`` in its Via came in (RFC 5923 §8.2); one alias each, the last that was said.
            port: Of that Via, 0 for none.
        """
        port = port or 5061
        if isinstance(flow, ConnectionFlow) and flow.transport == "TLS" and flow.alias_port != port and flow.peer_domains:
            self._forget_alias(flow)
            flow.alias_port = port
            self._aliases[flow.remote[0], port] = flow

    def add_endpoint(self, endpoint: UdpEndpoint) -> None:
        """A UDP socket that :meth:`udp` may choose."""
        self._endpoints.setdefault(endpoint_family(endpoint), []).append(endpoint)

    def by_token(self, token: str) -> ConnectionFlow | None:
        """The live connection with that token."""
        flow = self._tokens.get(token)
        return None if flow is None or flow.closed else flow

    def by_address(self, transport: str, host: str, port: int) -> Flow | None:
        """A live connection, or a known UDP pair, to that peer address (host without brackets)."""
        if transport == "UDP":
            for endpoints in self._endpoints.values():
                for endpoint in endpoints:
                    found = endpoint.known((host, port))
                    if found is not None:
                        return found
            return None
        flow = self._addresses.get((transport, host, port))
        return None if flow is None or flow.closed else flow

    def connect(self, hop: Hop, cause: str = "") -> Deferred[Flow]:
        """A flow to that hop; see :class:`sipnode.base.flows.FlowTable`."""
        if hop.transport == "UDP":
            flow = self.udp(hop)
            if flow is None:
                return fail(NoRoute(f"no UDP listener for {hop.host}"))
            return succeed(flow)
        if hop.transport in WEBSOCKET:
            return fail(NoRoute("a WebSocket is never opened from here", 480))
        for live in (self._addresses.get((hop.transport, hop.host, hop.port)), self._aliases.get((hop.host, hop.port))):
            if live is not None and not live.closed and live.transport == hop.transport and live.serves(hop):
                return succeed(live)
        return self.connector(hop, cause)

    def udp(self, hop: Hop, listener_name: str = "") -> UdpFlow | None:
        """The UDP flow to that hop, at once.

        Args:
            hop: Where to.
            listener_name: ``udp:address:port`` of the socket to send from, when one is wanted and still there.
        """
        endpoint = self._routes.get(hop.host) if not listener_name else None
        if endpoint is None:
            endpoint = self._choose(hop.host, listener_name)
            if endpoint is None:
                return None
        return endpoint.flow_to((hop.host, hop.port))

    def sound(self, address: tuple[str, int], refused: Callable[[], None]) -> None:
        """See :meth:`sipnode.base.flows.FlowTable.sound`."""
        if self._soundings is None and IReactorFDSet.providedBy(self._clock):
            self._soundings = Soundings(self._clock)
        if self._soundings is not None:
            self._soundings.ask(address, refused)

    def connections(self) -> Iterator[ConnectionFlow]:
        """All live connections."""
        return iter(list(self._tokens.values()))

    def counts(self) -> dict[str, int]:
        """Live connections by transport."""
        counts: dict[str, int] = {}
        for flow in self._tokens.values():
            counts[flow.transport] = counts.get(flow.transport, 0) + 1
        return counts

    def _forget_alias(self, flow: ConnectionFlow) -> None:
        if flow.alias_port and self._aliases.get((flow.remote[0], flow.alias_port)) is flow:
            del self._aliases[flow.remote[0], flow.alias_port]

    def _choose(self, host: str, listener_name: str) -> UdpEndpoint | None:
        endpoints = self._endpoints.get(family_of(host), [])
        for endpoint in endpoints:
            if listener_name and endpoint.listener.name == listener_name:
                return endpoint
        if not endpoints:
            return None
        chosen = endpoints[0] if len(endpoints) == 1 else _best(endpoints, host)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[host] = chosen
        return chosen

    def _cut_all(self) -> None:
        for flow in list(self._tokens.values()):
            flow.abort("server stops")


def _best(endpoints: list[UdpEndpoint], host: str) -> UdpEndpoint:
    """The socket whose address the kernel itself would send from; else one that can reach the host at all."""
    source = source_address(host)
    for endpoint in endpoints:
        if endpoint.listener.host == source:
            return endpoint
    for endpoint in endpoints:
        if is_unspecified(endpoint.listener.host) or is_loopback(endpoint.listener.host) == is_loopback(host):
            return endpoint
    return endpoints[0]


def source_address(host: str) -> str:
    """The local address that the kernel uses towards an IP literal; '' when there is no route. Nothing is sent."""
    with socket.socket(family_of(host) or socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _no_connector(hop: Hop, cause: str) -> Deferred[Flow]:
    return fail(NoRoute(f"no {hop.transport} connections from here"))
