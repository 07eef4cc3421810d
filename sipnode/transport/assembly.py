"""The transport room put together: from settings to services, flows and names.

The one place in this room that knows all its parts. Invariant: nothing listens, looks up or reads the clock before
the services are started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sipnode.sip.parser import Limits
from sipnode.transport.admission import Admission
from sipnode.transport.connect import Connector
from sipnode.transport.connection import Hub
from sipnode.transport.flow import Listener
from sipnode.transport.flowtable import FlowTable
from sipnode.transport.listen import ListenSpec, parse_listens
from sipnode.transport.listeners import OwnAddresses, StreamService, choose_listener
from sipnode.transport.sniff import StreamPort
from sipnode.transport.udp import UdpEndpoint, UdpService
from sipnode.transport.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import IService
    from twisted.web.resource import IResource

    from sipnode.interfaces import IMessageSink
    from sipnode.settings import Settings


@dataclass(slots=True)
class Transports:
    """What :func:`build_transports` hands over.

    Attributes:
        services: In starting order: ``flows`` first, then one for each socket, named as its listener.
        flows: ``IFlowTable``.
        listeners: Every ``IListener``, in the order of the configuration; ports are real once the services run.
        own: The addresses that are ours.
        admission: Counts of connections.
    """

    services: list[IService]
    flows: FlowTable
    listeners: list[Listener]
    own: OwnAddresses
    admission: Admission

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
    sink: IMessageSink,
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
    specs = parse_listens(settings.core.listen)
    wheel = Wheel(reactor)
    flows = FlowTable(wheel, reactor)
    admission = Admission(settings.limits.connections, settings.limits.connections_per_source)
    limits = settings.limits
    framing = Limits(limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values)
    hub = Hub(sink, flows, wheel, admission, limits, settings.transport, framing)
    own = OwnAddresses()
    made = Transports([flows], flows, [], own, admission)

    for spec in specs:
        if spec.transport == "UDP":
            endpoint = UdpEndpoint(Listener.from_spec(spec), sink)
            flows.add_endpoint(endpoint)
            made.listeners.append(endpoint.listener)
            made.services.append(UdpService(endpoint, settings.transport.udp_receive_buffer, reactor, own.add))
    implied: list[Listener] = []
    for group in stream_groups(specs):
        names = [Listener.from_spec(spec, websocket_port=any(each.transport in ("WS", "WSS") for each in group)) for spec in group]
        sip = next((each for each in names if each.transport in ("TCP", "TLS")), None)
        if sip is None:
            sip = Listener.from_spec(group[0], "TLS" if group[0].secure else "TCP", websocket_port=True)
            implied.append(sip)
        made.listeners.extend(names)
        bind = [*names, sip] if sip not in names else names
        made.services.append(StreamService(bind, StreamPort(hub, sip), reactor, own.add))

    def listener_for(transport: str, host: str) -> Listener:
        known = [*made.listeners, *implied]
        found = choose_listener(known, transport, host)
        if found is None:
            near = choose_listener(known, "UDP", host) or known[0]
            found = Listener(transport, near.host, near.port, near.via_host, near.via_port)
        return found

    flows.connector = Connector(hub, reactor, listener_for, _no_tls).connect
    return made


def stream_groups(specs: list[ListenSpec]) -> list[list[ListenSpec]]:
    """The stream listeners that share a socket, each group in the order of the configuration."""
    groups: dict[tuple[str, int, int], list[ListenSpec]] = {}
    for index, spec in enumerate(specs):
        if spec.transport != "UDP":
            # Port 0 is another port each time.
            groups.setdefault((spec.host, spec.port, 0 if spec.port else index + 1), []).append(spec)
    return list(groups.values())


def _no_tls(hop: Any) -> Any:
    from sipnode.errors import NoRoute

    raise NoRoute(f"no TLS connections from here, and {hop.host} wants one")
