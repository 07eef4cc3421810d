"""The RPC put together: the families of methods that this server has, and the sockets that they are called by."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import MultiService

from sipnode import __version__, config, extensions
from sipnode.acc.quality import quality_of
from sipnode.addresses import is_loopback
from sipnode.base import management
from sipnode.base.management import Logs
from sipnode.errors import ConfigError
from sipnode.insight.service import Insight
from sipnode.lifecycle.live import LiveSettings
from sipnode.media.ongoing import OngoingMedia
from sipnode.rpc.commands.acc import AccCommands
from sipnode.rpc.commands.callmedia import CallMediaCommands
from sipnode.rpc.commands.cfg import ConfigCommands
from sipnode.rpc.commands.core import CoreCommands
from sipnode.rpc.commands.defence import DefenceCommands
from sipnode.rpc.commands.dlg import DialogCommands
from sipnode.rpc.commands.htable import HtableCommands
from sipnode.rpc.commands.presence import PresenceCommands
from sipnode.rpc.commands.recorder import RecorderCommands
from sipnode.rpc.commands.routing import RoutingCommands
from sipnode.rpc.commands.rtpengine import MediaCommands
from sipnode.rpc.commands.sipnode import SipnodeCommands
from sipnode.rpc.commands.stats import StatisticsCommands
from sipnode.rpc.commands.system import SystemCommands
from sipnode.rpc.commands.tls import TlsCommands
from sipnode.rpc.commands.tm import TransactionCommands
from sipnode.rpc.commands.trunk import TrunkCommands
from sipnode.rpc.commands.ul import LocationCommands
from sipnode.rpc.commands.ws import WebSocketCommands
from sipnode.rpc.endpoint import Endpoint
from sipnode.rpc.http import Door, HttpService
from sipnode.rpc.parts import Parts
from sipnode.rpc.registry import Registry
from sipnode.rpc.token import token_of
from sipnode.rpc.unix import UnixService

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.application.service import IService

    from sipnode.dialog.call import Call
    from sipnode.lifecycle.reload import Reloader
    from sipnode.media.service import MediaService
    from sipnode.nodes.sisters import SisterWatch
    from sipnode.routing.core import Core
    from sipnode.routing.versions import Versions
    from sipnode.settings import Settings


class Lifecycle(management.Lifecycle, Protocol):
    """A server's life, with the reloader that puts settings in force."""

    @property
    def reloader(self) -> Reloader:
        """Reads and changes settings."""


FAMILIES = (
    AccCommands,
    CallMediaCommands,
    ConfigCommands,
    CoreCommands,
    DialogCommands,
    LocationCommands,
    MediaCommands,
    RecorderCommands,
    RoutingCommands,
    SipnodeCommands,
    StatisticsCommands,
    TlsCommands,
    TransactionCommands,
    TrunkCommands,
    WebSocketCommands,
)


def registry_of(parts: Parts) -> Registry:
    """Every method that a server has."""
    registry = Registry()
    for family in FAMILIES:
        registry.add_family(family(parts))
    if parts.core.defence is not None:
        registry.add_family(HtableCommands(parts))
        registry.add_family(DefenceCommands(parts))
    if parts.core.presence is not None:
        registry.add_family(PresenceCommands(parts))
    registry.add_family(SystemCommands(registry, parts.version))
    return registry


def _shown(settings: Settings) -> dict[str, Any]:
    """Settings as JSON has them, secrets masked."""
    return {
        section: {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        for section, values in asdict(config.masked(settings)).items()
    }


def _in_force(core: Core, logs: Logs | None, settings: Settings) -> Settings:
    """Settings with what ``defence.set_limit`` and ``sipnode.set_log_level`` have changed."""
    if core.defence is not None:
        limits = core.defence.limits()
        defence, caps = (
            {each.name: limits[each.name] for each in fields(kind) if each.name in limits} for kind in (settings.defence, settings.limits)
        )
        settings = replace(settings, defence=replace(settings.defence, **defence), limits=replace(settings.limits, **caps))
    if logs is not None:
        settings = replace(settings, log=replace(settings.log, level=logs.level))
    return settings


def parts_of(
    core: Core,
    settings: Settings,
    transports: Any = None,
    media: Any = None,
    storage: Any = None,
    logs: Logs | None = None,
    lifecycle: Lifecycle | None = None,
    insight: Insight | None = None,
) -> Parts:
    """The parts that the families work on; without ``lifecycle`` nothing of a server can be changed by a reload."""
    parts = Parts(core, settings, __version__, core.clock(), transports, media, storage, logs, lifecycle)
    parts.insight = insight or Insight(None)
    parts.ongoing_media = lambda call: _ongoing(core, call)
    parts.quality = lambda reply: [leg.shown for leg in quality_of(reply)]
    parts.admit = core.registrar.admit
    parts.flush = core.registrar.flushed
    reloader = lifecycle.reloader if lifecycle is not None else None
    parts.live = LiveSettings(reloader, settings, lambda known: _in_force(core, logs, known))
    parts.conf = lambda: _shown(parts.live.settings())
    return parts


def _ongoing(core: Core, call: Call) -> OngoingMedia:
    """The media of a call, at the node that has it now."""
    held = core.media_control.held.get(call.media_call or call.call_id)
    node = held.node if held is not None else call.node
    return OngoingMedia(core.media, call.media_call, call.call_id, node, (call.from_tag, call.to_tag))


def add_plugins(registry: Registry, core: Core, names: Iterable[str]) -> None:
    """Add the methods of the plugins that the configuration names.

    Raises:
        ConfigError: one that isn't installed or can't be used, or a method that can't be.
    """
    for name in names:
        plugin = extensions.find(extensions.RPC, name)
        methods = plugin.made(lambda commands: commands.methods(core))
        try:
            registry.add_all(methods)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"{plugin}: {error}", key="rpc.plugins") from None


class RpcService(MultiService):
    """The sockets of the RPC.

    Attributes:
        parts: The methods work on them. registry: The methods. endpoint: Runs them.
    """

    def __init__(self, parts: Parts, registry: Registry, endpoint: Endpoint) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.setName("rpc")  # type: ignore[no-untyped-call]  # as above
        self.parts = parts
        self.registry = registry
        self.endpoint = endpoint


def _reload_media(media: MediaService, conf_dir: Path) -> tuple[list[str], list[str]]:
    return media.reload(config.load(str(conf_dir)).media.nodes)


def rpc_service(
    core: Core,
    settings: Settings,
    state_dir: Path,
    reactor: Any,
    transports: Any,
    media: MediaService,
    storage: Any,
    conf_dir: Path,
    logs: Logs,
    lifecycle: Lifecycle,
    scripts: Versions,
    insight: Insight,
    watch: SisterWatch | None = None,
) -> RpcService:
    """The RPC of a server.

    Args:
        watch: Over the sister nodes.
    """
    parts = parts_of(core, settings, transports, media, storage, logs, lifecycle, insight)
    parts.scripts = scripts
    parts.reload_media = lambda: _reload_media(media, conf_dir)
    if watch is not None:
        parts.sisters = watch.sisters
    parts.tls_profiles = transports.tls.profiles
    parts.reload_tls = transports.tls.reload
    registry = registry_of(parts)
    add_plugins(registry, core, settings.rpc.plugins)
    endpoint = Endpoint(registry)
    root = RpcService(parts, registry, endpoint)
    if settings.rpc.socket:
        unix: IService = UnixService(str(state_dir.absolute() / settings.rpc.socket), endpoint, settings.rpc.max_bytes, reactor)
        unix.setServiceParent(root)
    if settings.rpc.listen:
        door = Door(settings.rpc.allow, token_of(settings.rpc.token, state_dir), settings.rpc.max_bytes)
        service = HttpService(settings.rpc.listen, endpoint, door, reactor)
        if not is_loopback(service.host):
            service.log.warn("the RPC listens on {host}: its token goes over the network in the clear", host=service.host)
        http: IService = service
        http.setServiceParent(root)
    return root
