"""The parts of a core, for the one call that makes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.auth.authenticator import Authenticator
    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable, Resolver
    from sipnode.defence.service import DefenceService
    from sipnode.interfaces import IMediaRelay
    from sipnode.nodes.service import NodeService
    from sipnode.proxy.destinations import Destinations
    from sipnode.registrar.service import RegistrarService
    from sipnode.routing.http import HttpClient
    from sipnode.sip.message import SipResponse
    from sipnode.trunk.trunks import Trunks


def _no_ping(response: SipResponse, flow: Flow) -> bool:
    return False


def _let_be(flow: Flow) -> None:
    """Nobody counts what can't be read."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """Services that a core is made of; the rest it makes itself.

    Attributes:
        flows: Live flows. resolver: Names to addresses.
        is_own: ``(host, port) -> bool``: an address that we listen on or advertise. own_host: The same whatever the port.
        destinations: Permits what a message may make us send to.
        media: The relay. authenticator: Who proves users. registrar: The location table. http: What the script asks.
        busy: Why new calls are refused just now; see :class:`~sipnode.routing.core.Core`.
        ping_answered: Takes responses to keepalives. misbehaved: Told of a flow that sent what can't be read.
        defence, nodes, trunks: None where there are none.
    """

    flows: FlowTable
    resolver: Resolver
    is_own: Callable[[str, int], bool]
    own_host: Callable[[str], bool]
    destinations: Destinations
    media: IMediaRelay
    authenticator: Authenticator
    registrar: RegistrarService
    http: HttpClient
    busy: dict[str, Callable[[], int]] = field(default_factory=dict)
    ping_answered: Callable[[SipResponse, Flow], bool] = _no_ping
    misbehaved: Callable[[Flow], None] = _let_be
    defence: DefenceService | None = None
    nodes: NodeService | None = None
    trunks: Trunks | None = None
