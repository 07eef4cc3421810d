"""The way to a subscriber, and whether a SUBSCRIBE comes from one.

The invariant: a subscriber whose address isn't trusted is reached down its own connection, at its source, at another port of that host, or
at a contact that it has registered; see :mod:`sipnode.presence.whereto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed

from sipnode.base.outbox import NOTIFY
from sipnode.errors import ParseError
from sipnode.presence.subscription import Origin
from sipnode.presence.whereto import destination, is_same_place
from sipnode.proxy.destinations import witness
from sipnode.records import Hop
from sipnode.registrar.location import instance_key
from sipnode.registrar.register import is_lost
from sipnode.routing.verdict import Flag
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.base.request import Request
    from sipnode.records import Binding, Subscription
    from sipnode.routing.core import Core
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.machine import ClientTransaction, TransactionUser

_LITERALS: Final = 16384


class Subscribers:
    """The ways to subscribers.

    Args:
        core: The services.
        node: Number of this node.
    """

    def __init__(self, core: Core, node: int) -> None:
        self._core = core
        self._node = node
        self._literals: dict[tuple[str, str], Hop] = {}

    # -- where it came from

    def origin(self, ctx: Request) -> Origin:
        """Where a SUBSCRIBE came from, and where its NOTIFYs go."""
        core, flow = self._core, ctx.flow
        here = Origin(flow.listener.name, _contact(flow), websocket=flow.websocket, node=self._node)
        trusted = core.authenticator.trusts(flow)
        if not trusted:
            here.source = f"{flow.remote[0]}:{flow.remote[1]}"
        watcher = ctx.identity or ctx.request.from_.uri.aor
        if flow.reliable:
            here.flow = flow.token
            aor = core.registrar.canonical(watcher)
            for binding in core.registrar.table.on_flow(flow.token):
                if binding.aor == aor:
                    here.key = instance_key(binding.aor, binding.instance, binding.contact)
        elif not trusted:
            here.host, here.port = self._destination(ctx, watcher)
        elif ctx.has(Flag.NATS):
            here.host, here.port = flow.remote
        return here

    def _destination(self, ctx: Request, watcher: str) -> tuple[str, int]:
        source: tuple[str, int] = ctx.flow.remote
        request, registrar = ctx.request, self._core.registrar
        try:
            contacts, routes = request.values("contact"), request.values("record-route")
            contact = NameAddr.parse(contacts[0]).uri if contacts else None
            route = NameAddr.parse(routes[0]).uri if routes else None
        except ParseError:
            return source
        if contact is None:
            return source
        bindings = registrar.table.lookup(registrar.canonical(watcher), self._core.clock())
        return destination(source, ctx.has(Flag.NATS), contact, route, bindings, self._numeric)

    def _numeric(self, uri: SipUri) -> Hop | None:
        hops = self._core.resolver.numeric(uri.host, uri.port, uri.params.get("transport", "").upper(), uri.secure) if uri.host else None
        return hops[0] if hops else None

    def is_watcher(self, ctx: Request, there: Subscription) -> bool:
        """Whether a SUBSCRIBE comes from who has that subscription: who has proved to be its watcher, or speaks for everybody, or is
        where it is. Where nobody is asked for a password, the same host is enough: connections come and go.
        """
        if ctx.identity:
            return bool(ctx.identity == there.watcher)
        core = self._core
        if core.authenticator.trusts(ctx.flow):
            return bool(ctx.request.from_.uri.aor == there.watcher)
        asked = core.settings.auth.enabled and core.is_local(there.watcher.rpartition("@")[2])
        return is_same_place(there, self.origin(ctx), not asked)

    def of_binding(self, binding: Binding) -> Origin | None:
        """The same as :meth:`origin` of a device that has registered here; None where it is on no connection of ours."""
        flow = self._core.flows.by_token(binding.connection_id) if binding.server_id == self._node and binding.connection_id else None
        if flow is None:
            return None
        key = instance_key(binding.aor, binding.instance, binding.contact)
        return Origin(flow.listener.name, _contact(flow), flow.token, key, "", 0, flow.websocket, self._node)

    # -- the way back

    def flow(self, subscription: Subscription) -> Flow | Deferred[Flow] | None:
        """The flow that leads to a subscriber, a Deferred of it, or None while there is none."""
        core = self._core
        if subscription.flow or subscription.websocket:
            flow = core.flows.by_token(subscription.flow) or (core.flow_by_key(subscription.key) if subscription.key else None)
            if flow is not None or subscription.websocket:
                return flow
            binding = core.registrar.by_key(subscription.key) if subscription.key else None
            if binding is not None and is_lost(binding):
                return None
        # A peer on this machine may name what another may not.
        peer = subscription.source.rpartition(":")[0] or witness(subscription.socket)
        if subscription.host:
            hop = Hop("UDP", subscription.host, subscription.port)
            return core.flows.udp(hop, subscription.socket) if self._may_send(hop, peer) else None
        target = (subscription.routes or subscription.contact, peer)
        known = self._literals.get(target)
        if known is not None and self._is_open(subscription, known):
            return core.flows.udp(known, subscription.socket)
        try:
            uri = NameAddr.parse(subscription.routes.partition(",")[0]).uri if subscription.routes else SipUri.parse(subscription.contact)
        except ParseError:
            return None
        transport = uri.params.get("transport", "").upper()
        if transport in ("WS", "WSS") or not uri.host or uri.host.endswith(".invalid"):
            return None
        hops = core.resolver.numeric(uri.host, uri.port, transport, uri.secure)
        if not self._is_open(subscription, hops[0] if hops else None):
            return None
        if hops and not self._may_send(hops[0], peer):
            return None
        if hops and hops[0].transport == "UDP":
            if len(self._literals) >= _LITERALS:
                self._literals.clear()
            self._literals[target] = hops[0]
            return core.flows.udp(hops[0], subscription.socket)
        finding: Deferred[list[Hop]] = succeed(hops) if hops else core.resolver.resolve(uri.host, uri.port, transport, uri.secure)
        return finding.addCallback(lambda found: core.flows.connect(core.destinations.permitted(found, peer)[0], subscription.watcher))

    def _may_send(self, hop: Hop, peer: str) -> bool:
        """Whether a subscriber may have us send there."""
        rule = self._core.destinations.refusal(hop.host, hop.port, peer)
        if rule:
            self._core.counters[f"refused_destination_{rule}"] += 1
        return not rule

    def _is_open(self, subscription: Subscription, hop: Hop | None) -> bool:
        """Whether a subscriber whose connection is gone may be reached there: it listens on the host that it came from."""
        if not subscription.flow or not subscription.source:
            return True
        return hop is not None and hop.host == subscription.source.rpartition(":")[0]

    def transmit(self, request: SipRequest, branch: str, flow: Flow, user: TransactionUser | None) -> ClientTransaction:
        """Send a NOTIFY."""
        core = self._core
        return core.transactions.send_request(request, branch, flow, user, core.clock(), why=NOTIFY)


def _contact(flow: Flow) -> str:
    listener = flow.listener
    transport = "" if flow.transport == "UDP" else f";transport={'ws' if flow.websocket else flow.transport.lower()}"
    return f"sip:{listener.via_host}:{listener.via_port}{transport}"
