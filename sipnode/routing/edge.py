"""This server as an edge proxy: REGISTERs of other domains go on to their registrar with a Path, and what comes back by it goes down the
flow that the REGISTER came by.

Implements: RFC 3327 §5.2 (a proxy in the path), RFC 5626 §5.1, §5.2, §5.3 (flow token, ``ob``, 430). The invariants: what is for those
domains goes to the one registrar of the settings and nowhere else; a request by a Path goes down the flow that was sealed in it, or is
refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ConfigError, Reject
from sipnode.nodes.address import parse_address
from sipnode.proxy.target import Target
from sipnode.records import BindingFlag, Reach
from sipnode.registrar.outbound import OUTBOUND, supports
from sipnode.routing.verdict import Flag
from sipnode.sip.address import NameAddr
from sipnode.sip.hosts import normal_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable
    from sipnode.proxy.core import Request
    from sipnode.proxy.record_route import RouteSigner
    from sipnode.settings import Settings
    from sipnode.sip.message import SipRequest

TOKEN: Final = "e1!"
"""Beginning of the user part of our Path; what follows is sealed."""
LIFETIME: Final = 86_400.0
"""Seconds that a Path opens its flow after the last REGISTER: a registrar may keep a binding for a day at most."""

_MARK: Final = f":{TOKEN}"


class Edge:
    """Writes and reads Paths.

    Args:
        settings: All sections; ``[edge]`` has a registrar.
        signer: Seals.
        flows: Live flows.
        is_own: ``(host, port) -> bool``: an address that we listen on or advertise.

    Raises:
        ConfigError: the registrar's address can't be read, or a domain is ours, too.
    """

    __slots__ = ("_domains", "_flows", "_is_own", "_registrar", "_signer")

    def __init__(self, settings: Settings, signer: RouteSigner, flows: FlowTable, is_own: Callable[[str, int], bool]) -> None:
        where = parse_address(settings.edge.registrar, "edge.registrar")
        self._registrar = Reach("", "", where.host.strip("[]"), where.port, where.transport)
        self._domains = frozenset(map(normal_host, settings.edge.domains))
        ours = self._domains.intersection(map(normal_host, settings.core.domains))
        if ours:
            raise ConfigError(f"{min(ours)} is in [core] domains, so its users sign in here", key="edge.domains")
        self._signer = signer
        self._flows = flows
        self._is_own = is_own

    def serves(self, host: str) -> bool:
        """Whether a domain's users sign in through us."""
        return normal_host(host) in self._domains

    def to_registrar(self, request: SipRequest, flow: Flow, natted: bool, now: float) -> Target:
        """Where a request for one of the domains goes; a REGISTER with our Path.

        Args:
            flow: That it came by.
            natted: Its sender isn't where it says.
            now: Epoch seconds.
        """
        target = Target(reach=self._registrar)
        if request.method == "REGISTER":
            where = (
                Reach(flow.token, "", "", 0, "", flow.websocket, natted)
                if flow.reliable
                else Reach("", "", *flow.remote, "UDP", natted=natted)
            )
            first = len(request.values("via")) == 1 and "path" not in request
            tail = ";lr;ob" if first and supports(request, OUTBOUND) else ";lr"
            target.path = f"<sip:{TOKEN}{self._signer.flow_token(where, now + LIFETIME)}@%s{tail}>"
        return target

    @staticmethod
    def spoken_for(request: SipRequest) -> list[tuple[str, str]]:
        """What a REGISTER needs beside our Path: ``Supported: path``, where its device doesn't say so itself.

        Without it a registrar may refuse any Path with 420 (RFC 3327 §5.3), and Asterisk does. A device that knows nothing of Path reads
        nothing of it in its 200 either.
        """
        return [] if request.method != "REGISTER" or supports(request, "path") else [("supported", "path")]

    def arrived(self, request: SipRequest, now: float) -> Target | None:
        """Where a request by one of our Paths goes; None for any other request.

        Raises:
            Reject: 403, it isn't our seal, or is too old; 430, its flow is gone.
        """
        value = request.get("route")
        if value is None or _MARK not in value:
            return None
        routes = request.values("route")
        uri = NameAddr.parse(routes[0]).uri
        if not uri.user.startswith(TOKEN) or not self._is_own(uri.host, uri.port):
            return None
        reach = self._signer.flow_of(uri.user[len(TOKEN) :], now)
        if reach is None:
            raise Reject(403, "Not Our Path")
        behind = tuple(routes[1:])
        flags = BindingFlag.NATB if reach.natted else 0
        if reach.host:
            return Target(host=reach.host, port=reach.port, flags=flags, routes=behind)
        if self._flows.by_token(reach.flow) is None:
            raise Reject(430)
        return Target(
            flow=reach.flow, websocket=reach.websocket, flags=flags | (BindingFlag.RTPWS if reach.websocket else 0), routes=behind
        )


def is_for(edge: Edge | None, r: Request) -> bool:
    """Whether a request outside of dialogs is for a domain whose users sign in through us."""
    return edge is not None and r.has(Flag.INITIAL) and edge.serves(r.request.ruri.host)
