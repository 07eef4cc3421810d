"""Presence put together: the packages that are served, and what they may ask."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from sipnode import extensions
from sipnode.errors import ConfigError
from sipnode.interfaces import IEventPackage, IPresenceSources
from sipnode.presence.packages import BUILT_IN, built_in
from sipnode.presence.recent import Recent
from sipnode.presence.service import PresenceService
from sipnode.presence.takeover import take_over
from sipnode.registrar.location import instance_key
from sipnode.registrar.register import is_lost
from sipnode.routing.subscribers import Subscribers
from sipnode.storage.writer import GroupCommitWriter

if TYPE_CHECKING:
    from sipnode.interfaces import IStorage
    from sipnode.records import Binding, PartyCall, Publication, Watcher
    from sipnode.routing.core import Core


@implementer(IPresenceSources)
class Sources:
    """The services that event packages may ask.

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
        """Watchers of a resource."""
        return self.service.watchers(resource, event) if self.service is not None else []

    def binding_changed(self, kind: str, binding: Binding) -> None:
        """News of the registrar: remembered where somebody watches."""
        service = self.service
        assert service is not None
        if kind not in ("registered", "refreshed") and service.is_followed(binding.aor, "bindings"):
            self._gone.add(binding.aor, (kind, binding), self._core.clock())
        service.binding_changed(kind, binding)


def named_packages(names: Sequence[str]) -> list[IEventPackage]:
    """The event packages that the configuration names, in its order.

    Raises:
        ConfigError: one isn't installed, or is a plugin that can't be used.
    """
    # Two servers in one process have packages of their own, as each of them asks its own server.
    return [built_in(name) if name in BUILT_IN else copy(extensions.find(extensions.PACKAGES, name).object) for name in names]


def _started(package: IEventPackage, sources: Sources) -> None:
    try:
        package.start(sources)
    except Exception as error:
        raise ConfigError(f"event package {package.name!r}: {type(error).__name__}: {error}", key="presence.packages") from error


def build_presence(core: Core, storage: IStorage | None, packages: Sequence[IEventPackage] | None = None) -> PresenceService | None:
    """The presence service of a core, which hears of its bindings and calls; None where no event package is served.

    Args:
        storage: IStorage; None to keep all in memory.
        packages: IEventPackage of all to serve; None for those that ``[presence] packages`` names.

    Raises:
        ConfigError: a package that isn't installed.
    """
    settings = core.settings
    if packages is None:
        packages = named_packages(settings.presence.packages)
    if not packages:
        return None
    node = settings.node.id
    sources, way = Sources(core, node), Subscribers(core, node)
    for package in packages:
        _started(package, sources)
    reactor, durable = core.reactor, storage is not None and settings.location.db_mode != 0
    backend: Any = storage.presence if storage is not None and durable else None
    writer = GroupCommitWriter(backend, reactor, settings.location, eager=True) if backend is not None else None
    ready = core.registrar.when_ready
    service = PresenceService(
        settings.presence, reactor, packages, way.flow, way.transmit, way.origin, way.is_watcher, backend, writer, node, ready
    )
    sources.service = service

    # A script that is loaded anew is another object.
    service.policy.hook = lambda watcher, resource, event: core.script.presence_policy(watcher, resource, event)

    def binding_changed(kind: str, binding: Binding) -> None:
        sources.binding_changed(kind, binding)
        if kind in ("registered", "refreshed") and service.notifier.waits_for_keys:
            service.notifier.wake(instance_key(binding.aor, binding.instance, binding.contact))
        if node and kind in ("registered", "refreshed"):
            origin = way.of_binding(binding)
            if origin is not None:
                take_over(service, origin)

    core.registrar.on_change(binding_changed)
    core.dialogs.on_change(service.calls.changed)
    service.calls.reachable = lambda aor: any(sources.is_reachable(binding) for binding in sources.bindings(aor))
    core.dialogs.on_unknown = service.calls.passed
    return service
