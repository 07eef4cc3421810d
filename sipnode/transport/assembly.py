"""The transport room put together: from settings to services, flows and names.

The one place in this room that knows all its parts. Invariant: nothing listens, looks up or reads the clock before
the services are started.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autobahn.websocket import USES_NVX

from sipnode.base.flow import WEBSOCKET, Listener
from sipnode.errors import ConfigError, NoRoute
from sipnode.sip.hosts import bare_host
from sipnode.sip.parser import Limits
from sipnode.transport.admission import Admission
from sipnode.transport.advertise import advertised
from sipnode.transport.connect import Connector
from sipnode.transport.connection import Hub
from sipnode.transport.descriptors import AcceptLog
from sipnode.transport.flowtable import FlowTable
from sipnode.transport.handshake import HandshakeRules
from sipnode.transport.http import Refused, WebPort, XHTTPRoot
from sipnode.transport.listen import ListenSpec, family_of
from sipnode.transport.listeners import OwnAddresses, StreamService, choose_listener
from sipnode.transport.memory import MemoryService, c_library
from sipnode.transport.outgoing import Outgoing
from sipnode.transport.proxied import ProxiedPort, Proxies
from sipnode.transport.resolver import Resolver
from sipnode.transport.sniff import StreamPort
from sipnode.transport.tls.config import TLSConfig, load_tls_config
from sipnode.transport.tls.contexts import TLSContexts
from sipnode.transport.tls.watch import TLSWatch
from sipnode.transport.tls.wire import TLSWireFactory
from sipnode.transport.udp import UdpEndpoint, UdpService
from sipnode.transport.websocket import websocket_factory
from sipnode.transport.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import IService
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
    from twisted.web.resource import IResource

    from sipnode.base.flow import MessageSink
    from sipnode.records import Hop
    from sipnode.settings import Settings


@dataclass(slots=True)
class Transports:
    """Result of :func:`build_transports`.

    Attributes:
        services: In starting order: ``flows`` first, then one for each socket, named as its listener.
        flows: ``IFlowTable``.
        resolver: ``IResolver``; its ``failed(hop)`` puts a target to rest.
        listeners: Every ``IListener``, in the order of the configuration; ports are real once the services run.
        own: The addresses that are ours.
        admission: Counts of connections.
        outgoing: Counts of those that we open.
        warnings: What should be said at start, e.g. about ``tls.cfg``.
    """

    services: list[IService]
    flows: FlowTable
    resolver: Resolver
    own: OwnAddresses
    admission: Admission
    outgoing: Outgoing
    tls: TLSWatch
    listeners: list[Listener] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def is_own_address(self, host: str, port: int) -> bool:
        """Whether ``host:port`` (IPv6 with or without brackets, port 0 for none given) is bound or advertised by us."""
        return self.own.has(host, port)

    def listener(self, name: str) -> Listener | None:
        """The listener with that name, e.g. ``'udp:127.0.0.1:5060'``."""
        for each in self.listeners:
            if each.name == name:
                return each
        return None


def build_transports(
    settings: Settings,
    sink: MessageSink,
    reactor: Any,
    page: IResource | None = None,
    xhttp_request: Callable[[Any], int | None] | None = None,
    conf_dir: str = "",
) -> Transports:
    """Make the transports of a process.

    Args:
        settings: All sections; ``core``, ``limits``, ``transport``, ``tls`` and ``proxy`` are read.
        sink: Gets messages and news of connections.
        reactor: The reactor.
        page: What plain HTTP on a WebSocket port shows; None answers 404.
        xhttp_request: Asked for each HTTP request: a status refuses it.
        conf_dir: Where the path of ``tls.config`` starts.

    Raises:
        ConfigError: a listener or a TLS file that cannot be.
    """
    return TransportBuilder(settings, reactor, conf_dir).build(sink, page, xhttp_request)


class TransportBuilder:
    """Transports in two steps: tables and names first, for those who make the sink; then the ports that lead to it.

    Args:
        settings: All sections. reactor: The reactor. conf_dir: Where the path of ``tls.config`` starts.

    Attributes:
        made: With everything but the services of ports.

    Raises:
        ConfigError: a listener or a TLS file that cannot be.
    """

    def __init__(self, settings: Settings, reactor: Any, conf_dir: str = "") -> None:
        self.settings = settings
        self.reactor = reactor
        self.specs = advertised(settings.core)
        limits = settings.limits
        self.wheel = wheel = Wheel(reactor)
        flows = FlowTable(wheel, reactor)
        admission = Admission(limits.connections, limits.connections_per_source, limits.handshakes_per_source, wheel.seconds)
        admission.proxy = self.proxies = Proxies(settings.transport.proxies)
        outgoing = Outgoing(admission, limits.outgoing, limits.outgoing_per_user, wheel.seconds)
        # Listeners that no line names: SIP over TCP on a ws port, over TLS on a wss port.
        self.implied: list[Listener] = []
        self.accepts = AcceptLog(wheel.seconds, lambda: admission.count("out_of_descriptors"))
        self.tls_path = os.path.join(conf_dir, settings.tls.config)
        self.tls = self._load_tls()
        self.contexts = TLSContexts(self.tls)
        self.datagrams = [spec.listener() for spec in self.specs if spec.transport == "UDP"]
        # The certificates are looked at now, so that what is wrong with them is told first.
        self.streams = [(group, _names_of(group), self._server_creator(group[0])) for group in stream_groups(self.specs)]
        families = list(dict.fromkeys(family_of(spec.host) for spec in self.specs))
        rest = settings.proxy.failed_target_seconds
        resolver = Resolver(reactor, None, ("UDP", "TCP", "TLS") if self.datagrams else ("TCP", "TLS"), families, rest)
        watch = TLSWatch(self.contexts, os.path.normpath(self.tls_path), reactor, settings.tls.watch_seconds)
        listeners = [*self.datagrams, *(name for _, names, _ in self.streams for name in names)]
        self.made = Transports([flows], flows, resolver, OwnAddresses(), admission, outgoing, watch, listeners, list(self.tls.warnings))

    def build(
        self,
        sink: MessageSink,
        page: IResource | None = None,
        xhttp_request: Callable[[Any], int | None] | None = None,
        refused: Refused | None = None,
    ) -> Transports:
        """The ports; what is given is as :func:`build_transports` says. Once.

        Args:
            refused: Told of each WebSocket handshake that isn't let in.

        Raises:
            ConfigError: a listener that cannot be.
        """
        made, limits = self.made, self.settings.limits
        framing = Limits(limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values)
        self.page = page
        self.xhttp_request = xhttp_request
        self.refused = refused
        self.hub = Hub(sink, made.flows, self.wheel, made.admission, limits, self.settings.transport, framing)
        for listener in self.datagrams:
            endpoint = UdpEndpoint(listener, sink)
            endpoint.spend = made.admission.allows
            made.flows.add_endpoint(endpoint)
            made.services.append(UdpService(endpoint, self.hub.transport.udp_receive_buffer, self.reactor, made.own.add))
        for group, names, creator in self.streams:
            made.services.append(self._stream_port(group, names, creator))
        if self.tls.profiles:
            made.services.append(made.tls)
        made.services.append(MemoryService(lambda: made.admission.open, self.reactor, c_library()))
        if any(spec.transport in WEBSOCKET for spec in self.specs) and not USES_NVX:
            made.warnings.append("autobahn runs without its compiled part (NVX): a WebSocket message costs several times as much")
        made.warnings.extend(self.tls.unused([(spec.host, spec.port) for spec in self.specs if spec.secure]))
        made.flows.connector = Connector(self.hub, self.reactor, self._listener_for, self._client_creator, made.outgoing).connect
        return made

    def _stream_port(self, group: list[ListenSpec], names: list[Listener], creator: Any) -> StreamService:
        sip = next((each for each in names if each.transport not in WEBSOCKET), None)
        if sip is None:
            sip = group[0].listener("TLS" if group[0].secure else "TCP", True)
            self.implied.append(sip)
            names = [*names, sip]
        port = StreamPort(self.hub, sip)
        for listener in names:
            if listener.transport in WEBSOCKET:
                port.http = WebPort(self.hub, self._root(listener), self.reactor).channel
        factory: Any = port
        if creator is not None:
            factory = TLSWireFactory(creator, False, port, self.reactor)
        told = [spec for spec in group if spec.proxy_protocol]
        if told:
            if not self.proxies:
                raise ConfigError(f"{told[0].line!r}: proxy_protocol needs [transport] proxies, those who may speak it", key="core.listen")
            factory = ProxiedPort(self.hub, factory)
        return StreamService(names, factory, self.reactor, self.made.own.add, self.accepts)

    def _root(self, listener: Listener) -> XHTTPRoot:
        transport, core = self.settings.transport, self.settings.core
        names = {bare_host(name) for name in (*core.domains, *transport.hosts)}
        own = self.made.own
        rules = HandshakeRules(lambda host: bare_host(host) in names or own.has_host(host), transport.origins, transport.require_origin)
        websockets = websocket_factory(self.hub, listener, self.reactor)
        return XHTTPRoot(rules, websockets, self.page, self.xhttp_request, core.server, self.refused)

    def _load_tls(self) -> TLSConfig:
        """The file; it may be missing where nothing listens with TLS."""
        if os.path.exists(self.tls_path) or any(spec.secure for spec in self.specs):
            return load_tls_config(os.path.normpath(self.tls_path))
        return TLSConfig([], [])

    def _server_creator(self, spec: ListenSpec) -> Any:
        return self.contexts.for_server(spec.host, spec.port) if spec.secure else None

    def _client_creator(self, hop: Hop) -> IOpenSSLClientConnectionCreator:
        try:
            return self.contexts.for_client(hop)
        except ConfigError as error:
            raise NoRoute(f"TLS: {error}", 503) from None

    def _listener_for(self, transport: str, host: str) -> Listener:
        known = [*self.made.listeners, *self.implied]
        found = choose_listener(known, transport, host)
        if found is None:
            # Nothing listens with that transport: what comes back comes on the connection, the address is for the eye.
            near = choose_listener(known, "UDP", host) or known[0]
            found = Listener(transport, near.host, near.port, near.via_host, near.via_port)
        return found


def _names_of(group: list[ListenSpec]) -> list[Listener]:
    web = any(spec.transport in WEBSOCKET for spec in group)
    return [spec.listener(websocket_port=web) for spec in group]


def stream_groups(specs: list[ListenSpec]) -> list[list[ListenSpec]]:
    """The stream listeners that share a socket, each group in the order of the configuration."""
    groups: dict[tuple[str, int, int], list[ListenSpec]] = {}
    for index, spec in enumerate(specs):
        if spec.transport != "UDP":
            # Port 0 is another port each time.
            groups.setdefault((spec.host, spec.port, 0 if spec.port else index + 1), []).append(spec)
    return list(groups.values())
