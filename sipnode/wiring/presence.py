"""Presence put together: the packages that are served, what they may ask, and how a subscriber is reached."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import IService
from twisted.internet.defer import Deferred, succeed
from twisted.plugin import getPlugins
from zope.interface import implementer

import sipnode.plugins
from sipnode.errors import ConfigError, ParseError
from sipnode.interfaces import IEventPackage, IPresenceSources
from sipnode.presence.moving import take_over
from sipnode.presence.recent import Recent
from sipnode.presence.service import PresenceService
from sipnode.presence.subscription import Origin
from sipnode.records import Hop
from sipnode.registrar.location import instance_key
from sipnode.registrar.register import is_lost
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri
from sipnode.storage.writer import GroupCommitWriter

if TYPE_CHECKING:
    from sipnode.records import Binding, PartyCall, Publication, Subscription, Watcher
    from sipnode.routing.core import Core
    from sipnode.sip.message import SipRequest

_LITERALS: Final = 16384


@implementer(IPresenceSources)
class Sources:
    """What event packages may ask.

    Args:
        core: The services.
        node: Number of this node.
    """

    def __init__(self, core: Core, node: int) -> None:
        self._core = core
        self._node = node
        self._gone: Recent[tuple[str, Binding]] = Recent()
        self.service: PresenceService | None = None

    def now(self) -> float:
        """Epoch seconds."""
        return self._core.clock()

    def bindings(self, aor: str) -> list[Binding]:
        """Registrations that haven't expired, best first."""
        registrar = self._core.registrar
        found: list[Binding] = registrar.table.lookup(registrar.canonical(aor), self._core.clock())
        return found

    def is_reachable(self, binding: Binding) -> bool:
        """Whether a request would get to that registration now."""
        nodes = self._core.nodes
        if nodes is not None and binding.path and binding.server_id != self._node:
            reached: bool = nodes.reaches(binding)
            return reached
        return not is_lost(binding)

    def gone(self, aor: str) -> list[tuple[str, Binding]]:
        """Registrations that ended just now."""
        return self._gone.of(aor, self._core.clock())

    def calls(self, aor: str) -> list[PartyCall]:
        """Calls that an address-of-record takes part in."""
        return self.service.calls.of(aor) if self.service is not None else []

    def published(self, resource: str, event: str) -> list[Publication]:
        """Publications that haven't expired."""
        return self.service.publications.at(event, resource, self._core.clock()) if self.service is not None else []

    def watchers(self, resource: str, event: str) -> list[Watcher]:
        """Who watches a resource."""
        return self.service.watchers(resource, event) if self.service is not None else []

    def binding_changed(self, kind: str, binding: Binding) -> None:
        """News of the registrar: remembered where somebody watches."""
        service = self.service
        assert service is not None
        if kind not in ("registered", "refreshed") and service.is_followed(binding.aor, "bindings"):
            self._gone.add(binding.aor, (kind, binding), self._core.clock())
        service.binding_changed(kind, binding)


class Reach:
    """The way to a subscriber.

    Args:
        core: The services.
        node: Number of this node.
    """

    def __init__(self, core: Core, node: int) -> None:
        self._core = core
        self._node = node
        self._literals: dict[str, Hop] = {}

    def origin(self, ctx: Any) -> Origin:
        """Where a SUBSCRIBE came from."""
        flow, side = ctx.flow, self._core.near_side(ctx)
        host, port = (side.host, side.port) if side.natted and not side.flow else ("", 0)
        return Origin(flow.listener.name, _contact(flow), side.flow, side.key, host, port, flow.websocket, self._node)

    def of_binding(self, binding: Binding) -> Origin | None:
        """The same of a device that has registered here; None where it is on no connection of ours."""
        flow = self._core.flows.by_token(binding.connection_id) if binding.server_id == self._node and binding.connection_id else None
        if flow is None:
            return None
        key = instance_key(binding.aor, binding.instance, binding.contact)
        return Origin(flow.listener.name, _contact(flow), flow.token, key, "", 0, flow.websocket, self._node)

    def flow(self, subscription: Subscription) -> Any:
        """The flow that leads to a subscriber, a Deferred of it, or None while there is none."""
        core = self._core
        if subscription.flow or subscription.websocket:
            flow = core.flows.by_token(subscription.flow) or (core.flow_by_key(subscription.key) if subscription.key else None)
            if flow is not None or subscription.websocket:
                return flow
            binding = core.registrar.by_key(subscription.key) if subscription.key else None
            if binding is not None and is_lost(binding):
                return None
        if subscription.host:
            return core.flows.udp(Hop("UDP", subscription.host, subscription.port), subscription.socket)
        known = self._literals.get(subscription.routes or subscription.contact)
        if known is not None:
            return core.flows.udp(known, subscription.socket)
        try:
            uri = NameAddr.parse(subscription.routes.partition(",")[0]).uri if subscription.routes else SipUri.parse(subscription.contact)
        except ParseError:
            return None
        transport = uri.params.get("transport", "").upper()
        if transport in ("WS", "WSS") or not uri.host or uri.host.endswith(".invalid"):
            return None
        hops = core.resolver.numeric(uri.host, uri.port, transport, uri.secure)
        if hops and hops[0].transport == "UDP":
            if len(self._literals) >= _LITERALS:
                self._literals.clear()
            self._literals[subscription.routes or subscription.contact] = hops[0]
            return core.flows.udp(hops[0], subscription.socket)
        finding: Deferred[Any] = succeed(hops) if hops else core.resolver.resolve(uri.host, uri.port, transport, uri.secure)
        return finding.addCallback(lambda found: core.flows.connect(found[0], subscription.watcher))

    def transmit(self, request: SipRequest, branch: str, flow: Any, user: Any) -> Any:
        """Send a NOTIFY."""
        core = self._core
        core.traffic.own += 1
        if core.trace is not None:
            core.trace.sent(request.to_bytes(), flow)
        return core.transactions.send_request(request, branch, flow, user, core.clock())


def _contact(flow: Any) -> str:
    listener = flow.listener
    transport = "" if flow.transport == "UDP" else f";transport={'ws' if flow.websocket else flow.transport.lower()}"
    return f"sip:{listener.via_host}:{listener.via_port}{transport}"


def named_packages(names: Sequence[str]) -> list[Any]:
    """The event packages that the configuration names, in its order.

    Raises:
        ConfigError: one isn't installed.
    """
    if not names:
        return []
    found = {package.name: package for package in getPlugins(IEventPackage, sipnode.plugins)}
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"no plugin has an event package {', '.join(missing)}; there are: {', '.join(sorted(found)) or 'none'}", key="presence.packages"
        )
    # Two servers in one process have packages of their own, as each of them asks its own server.
    return [copy(found[name]) for name in names]


def build_presence(core: Core, storage: Any, reactor: Any, packages: Sequence[Any] | None = None) -> list[IService]:
    """Make the presence service of a core and hook it in.

    Args:
        storage: IStorage; None to keep all in memory.
        packages: IEventPackage of all to serve; None for those that ``[presence] packages`` names.

    Returns:
        Services to start after the registrar.

    Raises:
        ConfigError: a package that isn't installed.
    """
    settings = core.settings
    if packages is None:
        packages = named_packages(settings.presence.packages)
    if not packages:
        return []
    node = settings.node.id
    sources, reach = Sources(core, node), Reach(core, node)
    for package in packages:
        package.start(sources)
    durable = storage is not None and settings.location.db_mode != 0
    backend = storage.presence if durable else None
    writer = GroupCommitWriter(storage.presence, reactor, settings.location, eager=True) if durable else None
    ready = core.registrar.when_ready
    service = PresenceService(settings.presence, reactor, packages, reach.flow, reach.transmit, reach.origin, backend, writer, node, ready)
    sources.service = core.presence = service

    # A script that is loaded anew is another object.
    service.policy.hook = lambda watcher, resource, event: core.script.presence_policy(watcher, resource, event)

    def binding_changed(kind: str, binding: Binding) -> None:
        sources.binding_changed(kind, binding)
        if kind in ("registered", "refreshed") and service.notifier.waits_for_keys:
            service.notifier.wake(instance_key(binding.aor, binding.instance, binding.contact))
        if node and kind in ("registered", "refreshed"):
            origin = reach.of_binding(binding)
            if origin is not None:
                take_over(service, origin)

    core.registrar.on_change(binding_changed)
    core.dialogs.on_change(service.calls.changed)
    service.calls.reachable = lambda aor: any(sources.is_reachable(binding) for binding in sources.bindings(aor))
    core.dialogs.on_unknown = service.calls.passed
    return [service]
