"""The core, everything that a request meets on its way: the services that the script, the engine and the proxy use.

Made once, in one call, by :mod:`sipnode.wiring.core`; read by everybody. Its parts stay as they are (``Final``, which mypy sees to, and the
compiler); what has to change while it runs, the script and settings of a reload, changes by its own verbs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sipnode.base.tap import ABANDONED
from sipnode.dialog.request import Request as DialogRequest
from sipnode.dialog.service import DialogService
from sipnode.errors import NoRoute, Reject
from sipnode.nat.rules import NatRules
from sipnode.nat.tests import same_host
from sipnode.proxy import reach
from sipnode.proxy.core import ProxyCore
from sipnode.proxy.core import Request as ProxyRequest
from sipnode.proxy.reach import as_named
from sipnode.proxy.seal import mark_of
from sipnode.proxy.target import Target
from sipnode.records import BindingFlag, Reach
from sipnode.registrar.edge import is_edge_path
from sipnode.registrar.location import instance_key
from sipnode.routing.edge import Edge
from sipnode.routing.natmanage import NatManage
from sipnode.routing.verdict import Flag
from sipnode.sip.address import NameAddr
from sipnode.sip.grammar import split_commas
from sipnode.sip.hosts import normal_host
from sipnode.sip.uri import SipUri
from sipnode.transaction.states import ACCEPTED

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.iweb import IRequest

    from sipnode.base.flow import Flow
    from sipnode.base.tap import Watcher
    from sipnode.nodes.flowtoken import Reach as FlowReach
    from sipnode.presence.service import PresenceService
    from sipnode.proxy.core import Branch, Fork
    from sipnode.proxy.seal import RouteState
    from sipnode.records import Binding
    from sipnode.routing.parts import Parts
    from sipnode.routing.role import Script
    from sipnode.settings import Settings
    from sipnode.sip.message import SipRequest, SipResponse
    from sipnode.transaction.layer import TransactionLayer

_LOST: Final = (("reason", 'SIP;cause=480;text="Connection lost"'),)

_RTPWS: Final = BindingFlag.RTPWS
MOST_FOREIGN: Final = 20
"""Domains that aren't ours of which REGISTERs are counted, between two lines of the log."""


class Runner:
    """The engine as the core knows it, which takes a request through the stages of a script: :class:`~sipnode.routing.engine.Engine`.

    Attributes:
        names: Of the stages, in order.
        methods: Those that a stage is for, by its name; empty for all.
    """

    names: tuple[str, ...]
    methods: dict[str, frozenset[str]]

    def begin(self, core: Core, request: SipRequest, flow: Flow, key: str, now: float) -> None:
        """Take a request that is new through all stages; never raises."""
        raise NotImplementedError

    def stage_at(self, method: str, position: int) -> str:
        """Name of a stage of those that a method meets."""
        raise NotImplementedError


class Core(ProxyCore):
    """The server's services.

    Args:
        transactions: The transaction layer; outbox and tap are its own.
        secret: Of what is sealed.
        parts: Services that know no core; most are attributes by the same name.
        presence, script: Make the two that ask the core itself, when all else is there.

    Attributes:
        settings: All sections.
        reactor: Delayed calls. clock: Epoch seconds.
        media: The relay. media_control: What it holds. rtpengine: What is asked of it.
        http: Asks HTTP services for the script.
        script: The routing script. engine: What runs it.
        registrar: The location table. dialogs: The calls.
        presence: None where no event package is served.
        traffic: Messages by method and status.
        foreign: How many REGISTERs lately were for which domains that aren't ours.
        is_own: ``(host, port) -> bool``: an address that we listen on or advertise. own_host: the same whatever the port.
        nat_rules: None where there are none.
        ping_answered: Takes the responses to keepalives, with the flow that they came by.
        misbehaved: Told of a flow that sent what can't be read. defence: None without one.
        busy: Why new calls are refused with 503 just now (``overload``, ``drain``): what says the seconds of Retry-After, by
            the reason's name. Calls that are up go on.
        nodes: None where the server knows of no others. trunks: None where it has none. edge: None where it is no edge proxy.
    """

    log: ClassVar[Logger] = Logger(namespace="sipnode")

    __slots__ = (
        "_domains", "_waiting", "busy", "defence", "dialogs", "edge", "engine", "foreign", "http", "misbehaved", "nat_rules", "nodes",
        "own_host", "ping_answered", "presence", "registrar", "script", "settings", "traffic", "trunks",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        reactor: IReactorTime,
        transactions: TransactionLayer,
        secret: bytes,
        parts: Parts,
        presence: Callable[[Core], PresenceService | None],
        script: Callable[[Core], tuple[Script, Runner]],
    ) -> None:
        registrar = parts.registrar
        super().__init__(
            settings, reactor, transactions, secret, flows=parts.flows, resolver=parts.resolver, authenticator=parts.authenticator,
            destinations=parts.destinations, is_own=parts.is_own, media=parts.media, canonical=registrar.canonical, media_policy=NatManage,
        )  # fmt: skip
        self.settings = settings
        self.own_host: Final = parts.own_host
        self.registrar: Final = registrar
        self.http: Final = parts.http
        self.busy: Final = parts.busy
        self.ping_answered: Final = parts.ping_answered
        self.misbehaved: Final = parts.misbehaved
        self.defence: Final = parts.defence
        self.nodes: Final = parts.nodes
        self.trunks: Final = parts.trunks
        self.foreign: Final[Counter[str]] = Counter()
        self.traffic: Final = transactions.outbox.traffic
        self.nat_rules: Final = NatRules(settings.nat.rules) if settings.nat.rules else None
        self._domains: Final = frozenset(map(normal_host, settings.core.domains))
        self.edge: Final = Edge(settings, self.signer, self.flows, self.is_own) if settings.edge.registrar else None
        self._waiting: Final[dict[str, list[Deferred[Flow]]]] = {}
        self.tap.failed = self._watcher_failed
        registrar.on_change(self.binding_changed)
        self.dialogs: Final = DialogService(settings.dialog, reactor, self)
        self.presence: Final = presence(self)
        self.script, self.engine = script(self)

    # -- what changes while it runs

    def use(self, script: Script, engine: Runner) -> None:
        """Have requests from now on go by another script; those that have begun keep theirs."""
        self.script, self.engine = script, engine

    def renew(self, settings: Settings) -> None:
        """Take settings of a reload: those that are read each time they are needed."""
        self.settings = settings

    def _watcher_failed(self, watcher: Watcher) -> None:
        self.failed(f"watcher {type(watcher).__name__}", Failure())

    def hang_up(self, call_id: str, from_tag: str, to_tag: str, reason: str) -> None:
        """End a call that can have no media."""
        self.dialogs.end(call_id, from_tag, to_tag, reason)

    def is_local(self, host: str) -> bool:
        """Whether a host is a domain or an address of ours (``myself``)."""
        if host in self._domains:
            return True
        host = normal_host(host)
        return host in self._domains or self.own_host(host)

    def is_domain(self, host: str) -> bool:
        """Whether a host is one of ``[core] domains``, addresses of listeners left out."""
        return normal_host(host) in self._domains

    def xhttp_request(self, http: IRequest) -> int | None:
        """The script's word on an HTTP request; it may be replaced while the server runs."""
        return self.script.xhttp_request(http)

    # -- sides of a dialog

    def near_side(self, ctx: ProxyRequest) -> Reach:
        """How the sender of a request is reached later."""
        near = ctx.reach
        if near is None:
            near = ctx.reach = self._near_side(ctx)
            if self.trunks is not None:
                near.key = near.key or self.trunks.key_of(ctx.flow, ctx.request.ruri.user)
        return near

    def _near_side(self, ctx: ProxyRequest) -> Reach:
        flow, request = ctx.flow, ctx.request
        natted = ctx.has(Flag.NATS)
        if not flow.reliable and natted:
            return Reach("", "", flow.remote[0], flow.remote[1], "UDP", natted=True)
        key = ""
        if flow.reliable:
            for binding in self.registrar.table.on_flow(flow.token):
                key = instance_key(binding.aor, binding.instance, binding.contact)
                if binding.aor == ctx.identity:
                    break
        routes = request.values("record-route") if "record-route" in request else []
        if flow.reliable and (flow.websocket or natted):
            where = reach.by_connection(request, routes, flow, key)
            where.natted = natted
            return where
        named = as_named(request, routes, flow, self.destinations.refusal)
        if flow.reliable:
            named.flow, named.key = flow.token, key
        return named

    def find(self, where: Reach) -> Flow | Deferred[Flow]:
        """The flow that leads to a party; see :func:`sipnode.proxy.reach.find`."""
        return reach.find(self, where)

    # -- who speaks in a dialog

    def may_speak(self, ctx: ProxyRequest, route: RouteState) -> bool:
        """Whether a request comes from the end that its token was made for: by its address, its connection, its device, or from
        where that end has proved itself since.
        """
        holder, flow = route.holder, ctx.flow
        host = flow.remote[0]
        if holder.host == host or (holder.flow and holder.flow == flow.token):
            return True
        if holder.key and flow.token:
            binding = self.registrar.by_key(holder.key)
            if binding is not None and binding.connection_id == flow.token:
                return True
        if same_host(holder.host, host) or self.authenticator.trusts(flow) or (self.trunks and self.trunks.speaks(holder.key, flow)):
            return True
        return self.dialogs.access.is_at(ctx.request, host)

    def proved(self, ctx: ProxyRequest, route: RouteState) -> bool:
        """Whether the user who has proved a password for a request is the one that its token was made for; where it sends from now
        on belongs to the call.
        """
        if not ctx.identity or route.holder.who != mark_of(ctx.identity):
            return False
        self.dialogs.access.moved_to(ctx.request, ctx.flow.remote[0])
        return True

    def flow_by_key(self, key: str) -> Flow | None:
        """The live connection of the binding with that instance key, or None."""
        binding = self.registrar.by_key(key)
        if binding is None or not binding.connection_id:
            return None
        return self.flows.by_token(binding.connection_id)

    def has_key(self, key: str) -> bool:
        """Whether the device of that instance key has a live connection here."""
        return self.flow_by_key(key) is not None

    def wait_for_key(self, key: str) -> Deferred[Flow]:
        """Fires with the connection of that instance as soon as it has registered again; fails with NoRoute (481) when it
        doesn't within ``dialog.lost_flow_seconds``.
        """
        waiter: Deferred[Flow] = Deferred()
        waiters = self._waiting.setdefault(key, [])
        waiters.append(waiter)

        def give_up() -> None:
            waiters.remove(waiter)
            if not waiters:
                self._waiting.pop(key, None)
            waiter.errback(NoRoute("its connection is gone and didn't come back", 481))

        call = self.reactor.callLater(self.settings.dialog.lost_flow_seconds, give_up)

        def arrived(result: Flow | Failure) -> Flow | Failure:
            if call.active():
                call.cancel()
            return result

        return waiter.addBoth(arrived)

    def binding_changed(self, kind: str, binding: Binding) -> None:
        """The registrar's news: somebody may be waiting for this device."""
        if self._waiting and kind in ("registered", "refreshed") and binding.connection_id:
            key = instance_key(binding.aor, binding.instance, binding.contact)
            flow = self.flows.by_token(binding.connection_id)
            if flow is not None:
                for waiter in self._waiting.pop(key, ()):
                    waiter.callback(flow)

    # -- verbs of the script

    def preloaded(self, request: SipRequest) -> tuple[str, ...]:
        """Route values of a request that isn't in a dialog, without those that name us."""
        return tuple(value for value in request.values("route") if not self._names_us(value))

    def _names_us(self, value: str) -> bool:
        uri = NameAddr.parse(value).uri
        return self.is_own(uri.host, uri.port) or uri.host in self._domains

    def target(self, binding: Binding) -> Target:
        """A binding as a target."""
        websocket = bool(binding.cflags & _RTPWS)
        target = Target(binding.contact, flags=binding.cflags, q=binding.q, websocket=websocket)
        if is_edge_path(binding.path):
            target.routes = tuple(split_commas(binding.path))
            target.named_by = SipUri.parse(binding.received).host.strip("[]") if binding.received else ""
        elif binding.path and self.nodes is not None and self.nodes.is_foreign(binding):
            target.beyond = True
            target.routes, target.source = self.nodes.route(binding)
        elif binding.connection_id:
            target.flow = binding.connection_id
            target.key = instance_key(binding.aor, binding.instance, binding.contact)
        elif binding.received and binding.socket[:1] == "u":
            received = SipUri.parse(binding.received)
            target.host, target.port = received.host.strip("[]"), received.port or 5060
        elif binding.received:
            # Its connection is gone; it listens at the address that it came from.
            target.named_by = SipUri.parse(binding.received).host.strip("[]")
        elif binding.server_id == self.settings.node.id and self.destinations.is_machine(SipUri.parse(binding.contact).host):
            # No REGISTER from elsewhere gets such a contact in; what others wrote into the table is their word.
            target.named_by = "127.0.0.1"
        return target

    def from_path(self, ctx: ProxyRequest, reach: FlowReach) -> Target:
        """Where a request goes that another node sent by the Path of one of our bindings.

        Raises:
            Reject: 480, its flow is gone (or nobody is registered on it any more).
        """
        if reach.host:
            return Target(host=reach.host, port=reach.port, flags=BindingFlag.NATB)
        flow = self.flows.by_token(reach.flow)
        bindings = self.registrar.table.on_flow(reach.flow)
        if flow is None or not bindings:
            raise Reject(480)
        binding = next((one for one in bindings if one.contact == ctx.request.uri), bindings[0])
        key = instance_key(binding.aor, binding.instance, binding.contact)
        return Target(flow=reach.flow, key=key, websocket=flow.websocket, flags=binding.cflags)

    def calling(self, fork: Fork) -> None:
        """An INVITE goes on. Should the connection of a browser go before the answer, the phones stop ringing."""
        self.dialogs.trying(_whole(fork), fork)
        flow = fork.ctx.flow
        if flow.websocket:
            flow.vars["calls"] = [other for other in flow.vars.get("calls", ()) if not other.finished] + [fork]

    def cancel_calls(self, flow: Flow) -> None:
        """Cancel the calls that a connection which is gone had begun: nobody can tell its end the answer."""
        for fork in flow.vars.pop("calls", ()):
            watcher = self.tap.on_noted
            if watcher is not None:
                watcher.noted(self.clock(), fork.ctx.request.get("call-id") or "", ABANDONED, ())
            fork.cancel(_LOST)

    def turn_away(self, status: int, headers: Callable[[], tuple[tuple[str, str], ...]], reason: tuple[tuple[str, str], ...]) -> int:
        """Send away the calls that still ring, by a final response of ours and CANCEL for what was begun; gives how many that were.

        Args:
            headers: Gives those of each response.
            reason: ``(name, value)`` of headers of each CANCEL.
        """
        ringing = [
            server.user.fork
            for server in self.transactions.servers.values()
            if server.invite and server.state < ACCEPTED and isinstance(server.user, ProxyRequest) and server.user.fork is not None
        ]
        for fork in ringing:
            fork.turn_away(status, headers(), reason)
        return len(ringing)

    def foreign_register(self, domain: str) -> None:
        """A REGISTER for a domain that isn't ours: the commonest fault of a first configuration, and strangers send it too."""
        if domain in self.foreign or len(self.foreign) < MOST_FOREIGN:
            self.foreign[domain[:100]] += 1

    # -- what the proxy tells

    def call_early(self, fork: Fork, response: SipResponse) -> None:
        """A 101..199 of an INVITE went to the caller."""
        self.dialogs.early(_whole(fork), response)

    def call_established(self, fork: Fork, branch: Branch, response: SipResponse) -> None:
        """A 2xx of an INVITE went to the caller."""
        self.dialogs.established(_whole(fork), branch, response)

    def failed(self, where: str, failure: Failure) -> None:
        """An exception of policy code, logged; the message that it happened on gets its answer elsewhere."""
        self.log.failure("{where} failed", failure, where=where)


def _whole(fork: Fork) -> DialogRequest:
    """The request of a fork, with its call."""
    request = fork.ctx
    assert isinstance(request, DialogRequest)
    return request
