"""Wiring of this node among others: its paths, and whom it asks whether they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.auth.secret import derive
from sipnode.base.outbox import NODE
from sipnode.errors import ConfigError
from sipnode.nodes.address import NodeAddress, parse_address
from sipnode.nodes.service import NodeService
from sipnode.nodes.sisters import SisterWatch
from sipnode.proxy.forward import via_host
from sipnode.sip import ids
from sipnode.transaction.states import PROCEEDING
from sipnode.transport.listen import is_unspecified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.application.service import IService

    from sipnode.base.flow import Flow
    from sipnode.records import Binding, Hop
    from sipnode.routing.core import Core
    from sipnode.settings import NodeSettings
    from sipnode.sip.message import SipRequest

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


def build_nodes(core: Core, listeners: Iterable[Any], reactor: Any, secret: bytes) -> list[IService]:
    """Make the node service of a core and hook it in.

    Args:
        listeners: IListener of all.
        reactor: Clock.
        secret: Of :func:`shared_secret`.

    Returns:
        Services to start after the listeners.

    Raises:
        ConfigError: ``[node] address`` isn't ours.
    """
    settings = core.settings.node
    nodes = NodeService(settings.id, own_address(settings, listeners), derive(secret, "path"), lambda h, p: core.is_own(h, p), core.clock)
    core.nodes = core.registrar.node = nodes
    if not settings.id:
        return []
    domains = core.settings.core.domains
    identity = f"sip:node-{settings.id}@{domains[0] if domains else 'localhost'}"

    def send(address: NodeAddress, request: SipRequest) -> Deferred[Any]:
        return _flow_to(core, address).addCallback(_send, core, request)

    watch = SisterWatch(settings, reactor, send, lambda address: _fail_waiting(core, address), identity, derive(secret, "sisters"))
    nodes.watch = watch
    core.registrar.on_change(nodes.changed)
    before = core.ping_answered
    core.ping_answered = lambda response, flow: watch.answered(response, flow) or before(response, flow)
    return [watch]


def _flow_to(core: Core, address: NodeAddress) -> Deferred[Any]:
    hops = core.resolver.numeric(address.host, address.port, address.transport, False)
    finding: Deferred[list[Hop]] = (
        succeed(hops) if hops is not None else core.resolver.resolve(address.host, address.port, address.transport, False)
    )
    return finding.addCallback(lambda found: core.flows.connect(found[0]))


def _send(flow: Flow, core: Core, request: SipRequest) -> Any:
    request.prepend("via", f"SIP/2.0/{flow.transport} {via_host(flow.listener)};branch={ids.new_branch()};rport")
    # One that can't be sent is a lost question, as any other.
    core.outbox.send(core.clock(), request.to_bytes(), flow, NODE, request.method)
    return flow


def _fail_waiting(core: Core, address: NodeAddress) -> None:
    """End the waiting for answers of a node that has fallen silent."""
    layer = core.transactions
    remote = (address.host.strip("[]"), address.port)
    for transaction in list(layer.clients.values()):
        user = transaction.user
        if user is not None and transaction.flow.remote == remote and transaction.state <= PROCEEDING:
            layer.end(transaction)
            user.send_failed()
