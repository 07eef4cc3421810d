"""Wiring of this node among others: its paths, and whom it asks whether they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from sipnode.auth.secret import derive
from sipnode.errors import ConfigError
from sipnode.nodes.address import NodeAddress, parse_address
from sipnode.nodes.service import NodeService
from sipnode.nodes.sisters import SisterWatch
from sipnode.transport.listen import is_unspecified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.nodes.way import SisterWay
    from sipnode.records import Binding
    from sipnode.settings import NodeSettings, Settings

SHORTEST_SECRET = 32
# Of "uloc-BOOT-NUMBER"; Kamailio's names have more.
OWN_DASHES = 2
_log = Logger(namespace="sipnode.nodes")


def shared_secret(settings: NodeSettings, own: bytes) -> bytes:
    """The secret that Record-Route is signed with: that of the nodes, so that each knows what the others have seen to; else our own.

    Args:
        own: The server's secret.

    Raises:
        ConfigError: a secret that is too short, an address without a secret or without an id.
    """
    if settings.address:
        if not settings.id:
            raise ConfigError("a node that others reach needs a number of its own, 1 or more", key="node.id")
        if not settings.secret:
            raise ConfigError("needed with node.address, the same on all nodes: openssl rand -hex 32", key="node.secret")
    if not settings.secret:
        return own
    if len(settings.secret) < SHORTEST_SECRET:
        raise ConfigError(f"has {len(settings.secret)} characters, at least {SHORTEST_SECRET} are needed", key="node.secret")
    return derive(settings.secret.encode(), "nodes")


def own_address(settings: NodeSettings, listeners: Iterable[Any]) -> NodeAddress | None:
    """``[node] address``, after a look whether it is one of ours.

    Raises:
        ConfigError: it can't be read, or no listener has it.
    """
    if not settings.address:
        return None
    address = parse_address(settings.address)
    host = address.host.strip("[]")
    plain = []
    for listener in listeners:
        if listener.transport not in ("UDP", "TCP", "TLS"):
            continue
        plain.append(f"{listener.via_host}:{listener.via_port or listener.port};{listener.transport.lower()}")
        ports = {listener.port, listener.via_port} - {0}
        hosts = {listener.host, listener.via_host.strip("[]").lower()}
        if listener.transport == address.transport and address.port in ports and (host in hosts or is_unspecified(listener.host)):
            return address
    raise ConfigError(f"{settings.address!r} is none of our listeners ({', '.join(plain) or 'none for plain SIP'})", key="node.address")


def only_ours(node_id: int, watcher: Callable[[str, Binding], None]) -> Callable[[str, Binding], None]:
    """A watcher of the location table for whom a binding that another node wrote is one that has gone: who holds the flow
    pings it.
    """
    warned = False

    def told(kind: str, binding: Binding) -> None:
        nonlocal warned
        ours = binding.server_id == node_id
        if ours and not node_id and binding.ruid.count("-") > OWN_DASHES:
            ours = False
            if not warned:
                warned = True
                _log.warn("a Kamailio writes into the location table, and has no server_id as we have no [node] id: give both one")
        watcher(kind if ours else "elsewhere", binding)

    return told


def build_nodes(
    settings: Settings, reactor: IReactorTime, way: SisterWay, listeners: Iterable[Any], is_own: Callable[[str, int], bool], secret: bytes
) -> tuple[NodeService, SisterWatch | None]:
    """Make the node service, and the watch over sister nodes where there can be any.

    Args:
        listeners: IListener of all.
        secret: Of :func:`shared_secret`.

    Raises:
        ConfigError: ``[node] address`` isn't ours.
    """
    node = settings.node
    nodes = NodeService(node.id, own_address(node, listeners), derive(secret, "path"), is_own, reactor.seconds)
    if not node.id:
        return nodes, None
    domains = settings.core.domains
    identity = f"sip:node-{node.id}@{domains[0] if domains else 'localhost'}"
    nodes.watch = SisterWatch(node, reactor, way.ask, way.give_up, identity, derive(secret, "sisters"))
    return nodes, nodes.watch
