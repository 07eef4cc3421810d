"""The composition root: settings in, one service out. Everything that knows everything is here, and only here.

::

    sipnode (OrderedMultiService; starts downwards, stops upwards)
    ├ log            its level and form while the server runs
    ├ storage        open and upgrade; close after the last write
    ├ transactions   the clock of the transaction layer
    ├ hep            a copy of all messages (where [hep] has a receiver)
    ├ media          the rtpengine nodes
    ├ location       load, expire, group commit
    ├ acc            records of calls (where [acc] wants any)
    ├ dialogs        ends calls whose browser has vanished
    ├ presence       publications, subscriptions and their NOTIFYs
    ├ keepalive      pings of natted phones
    ├ script         the routing script starts and stops
    ├ script-watch   loads it when its file has changed (where [routing] watch_seconds is set)
    ├ defence        overload; ends bans
    ├ rpc            JSON-RPC on a UNIX socket and HTTP
    ├ archive        calls that failed, on the disk (where [recorder] folder is set)
    ├ otel           traces of calls to a collector (where [otel] endpoint is set)
    ├ finished       hands on the records of calls that have ended
    ├ console        its sessions and open pages (where [console] is enabled)
    ├ flows          connections that are open
    ├ udp:…, tcp:…, ws:…   a listener for each line of [core] listen
    ├ memory         what many closed connections held goes back to the system
    ├ batching       REGISTERs of a few milliseconds in one go
    ├ trunks         are registered at and asked whether they live (where there is a [trunk.NAME])
    ├ sisters        other nodes: do they live? (where [node] address is set)
    ├ calls, pulse, summary, stall, metrics   who watches
    ├ manhole        a prompt, where one is wanted
    ├ activation, watchdog, signals    the service manager (where the process is the server's own)
    └ lifecycle      ready, reload, drain
"""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, Service
from twisted.logger import Logger

from sipnode import __version__, config, extensions
from sipnode.auth.authenticator import Authenticator
from sipnode.auth.secret import derive, load_or_create_secret
from sipnode.errors import ConfigError
from sipnode.interfaces import IRequestStage
from sipnode.log import LogControl
from sipnode.media.service import MediaService
from sipnode.nat.keepalive import KeepaliveService
from sipnode.nat.pinger import Pinger
from sipnode.nodes.way import SisterWay
from sipnode.registrar.batching import Batching
from sipnode.registrar.service import RegistrarService
from sipnode.routing.assembly import ScriptService
from sipnode.routing.core import Core
from sipnode.routing.dispatch import Dispatcher
from sipnode.routing.http import HttpClient
from sipnode.routing.parts import Parts
from sipnode.routing.watch import ScriptFile, ScriptWatch
from sipnode.services import OrderedMultiService, settle_memory
from sipnode.sip.parser import Limits
from sipnode.storage.factory import open_storage, use_backend
from sipnode.storage.writer import GroupCommitWriter
from sipnode.transport.assembly import TransportBuilder, Transports
from sipnode.transport.descriptors import complaint, raised, room
from sipnode.trunk.trunks import Trunks
from sipnode.wiring.acc import build_accounting
from sipnode.wiring.console import console_of
from sipnode.wiring.core import assemble_core, new_transactions
from sipnode.wiring.defence import build_defence, guarded
from sipnode.wiring.destinations import build_destinations, know_sisters
from sipnode.wiring.insight import connect_insight, handshakes_of, insight_of, mirror_of
from sipnode.wiring.lifecycle import LogService, Reloaded, build_lifecycle
from sipnode.wiring.losses import watch_losses
from sipnode.wiring.manhole import manhole_service
from sipnode.wiring.nodes import build_nodes, only_ours, shared_secret
from sipnode.wiring.observe import Observation
from sipnode.wiring.presence import build_presence
from sipnode.wiring.records import records_of
from sipnode.wiring.rpc import rpc_service
from sipnode.wiring.trunks import build_trunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from sipnode.base.flow import Flow
    from sipnode.lifecycle.service import Lifecycle
    from sipnode.observe.callhistory import CallHistory
    from sipnode.routing.versions import Loaded, Versions
    from sipnode.settings import Settings
    from sipnode.sip.message import SipResponse

_log = Logger(namespace="sipnode")


class StorageService(Service):
    """Opens the store at the start, closes it as the last thing.

    Args:
        storage: IStorage.
    """

    name = "storage"
    log = Logger(namespace="sipnode.storage")

    def __init__(self, storage: Any) -> None:
        self.storage = storage

    def startService(self) -> None:
        """Open; a store that can't be opened is told by the first who asks it, and by the log."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.storage.open().addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self.log.error("the store can't be opened: {reason}", reason=failure.getErrorMessage())

    def stopService(self) -> Any:
        """Close after the last write."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        return self.storage.close()


class Server(OrderedMultiService):
    """The whole server.

    Attributes:
        core: The services, for a manhole and for tests.
        transports: Listeners and flows.
        lifecycle: Ready, reload, drain. logs: Level, form and wire trace. calls: Their life, and what became of them.

    Args:
        own_process: Nothing else runs in this process, so that its garbage collector is ours.
        conf_file: The configuration, for faults that show when the ports are bound.
    """

    def __init__(
        self,
        core: Core,
        transports: Transports,
        lifecycle: Lifecycle,
        logs: LogControl,
        calls: CallHistory,
        own_process: bool,
        conf_file: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.setName("sipnode")  # type: ignore[no-untyped-call]  # as above
        self.core = core
        self.transports = transports
        self.lifecycle = lifecycle
        self.logs = logs
        self.calls = calls
        self._own_process = own_process
        self._conf_file = conf_file

    def privilegedStartService(self) -> None:
        """Bind the ports.

        Raises:
            SystemExit: one can't be had; its text says file, line, key and who has it.
            ConfigError: the same, where this isn't the whole process.
        """
        try:
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        except ConfigError as error:
            if not self._own_process:
                raise
            raise SystemExit(f"sipnode: {config.placed(error, self._conf_file)}") from None

    def _look_at_descriptors(self) -> None:
        descriptors, admission = raised(), self.transports.admission
        admission.set_ceiling(room(descriptors))
        said = complaint(admission.caps[0], descriptors)
        if said:
            _log.warn("{text}", text=said)

    def startService(self) -> None:
        """Start; the garbage collector learns which bindings were loaded: to walk over a million of them takes half a second."""
        if self._own_process:
            self._look_at_descriptors()
            self.core.registrar.settle = gc.freeze
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._own_process:
            self.core.registrar.when_ready().addCallback(lambda _: settle_memory())

    def stopService(self) -> Any:
        """A planned stop: what has begun ends first; bindings of connections that close then stay, since their owners come back."""
        return self.lifecycle.before_stop().addCallback(self._stop)

    def _stop(self, _result: Any) -> Any:
        self.core.registrar.hold()
        return super().stopService()


def build(settings: Settings, conf_dir: str | Path, reactor: Any, own_process: bool = False, conf_file: str = "") -> IService:
    """Make the server.

    Args:
        settings: As read.
        conf_dir: Folder of the configuration; relative paths start there.
        reactor: The reactor.
        own_process: Nothing else runs in this process: garbage collector, signals, log and inherited sockets are this server's.
        conf_file: What a reload reads; "" for the one in ``conf_dir``.

    Raises:
        ConfigError: a setting that a room refuses.
    """
    conf_dir = Path(conf_dir)
    state_dir = conf_dir / settings.core.state_dir
    state_dir.mkdir(parents=True, exist_ok=True)
    secret = load_or_create_secret(state_dir / "secret")
    shared = shared_secret(settings.node, secret)
    storage = open_storage(settings.storage.url, str(state_dir), reactor, settings.auth.cache_seconds, node_id=settings.node.id)
    storage.preflight()
    backend = use_backend(storage, settings.auth, reactor)
    storage.credentials.outage_seconds = settings.auth.outage_seconds

    layer, timer = new_transactions(settings, reactor)
    logs = LogControl(settings.log, layer.outbox.tap)
    insight = insight_of(settings, layer.outbox.tap)
    ports = TransportBuilder(settings, reactor, str(conf_dir))
    transports = ports.made
    is_own, own_host = transports.is_own_address, transports.own.has_host
    destinations = build_destinations(settings, is_own, own_host)
    media = MediaService(settings.media, reactor)
    writer = GroupCommitWriter(storage.location, reactor, settings.location) if settings.location.db_mode else None
    registrar = RegistrarService(
        settings.location,
        reactor,
        storage.location if settings.location.db_mode else None,
        writer,
        transports.flows,
        degraded=lambda: storage.degraded,
    )
    authenticator = Authenticator(settings.auth, storage.credentials, derive(secret, "nonce"), reactor)
    pinger = Pinger(transports.flows, layer.outbox, reactor.seconds, destinations.refusal)
    keepalive = KeepaliveService(settings.nat, reactor, pinger.ping, registrar.remove, f"sip:{_domain(settings)}", derive(secret, "ping"))
    registrar.on_change(only_ours(settings.node.id, keepalive.changed))
    way = SisterWay(layer, transports.flows, transports.resolver, reactor.seconds)
    nodes, watch = build_nodes(settings, reactor, way, transports.listeners, is_own, shared)
    registrar.node = nodes
    ping_answered: Callable[[SipResponse, Flow], bool] = keepalive.answered
    if watch is not None:
        registrar.on_change(nodes.changed)
        know_sisters(destinations, watch)
        ping_answered = either(watch.answered, keepalive.answered)
    busy: dict[str, Callable[[], int]] = {}
    connections = transports.flows.connections
    defence = build_defence(settings, reactor, layer, busy, connections, own_host, authenticator, watch, transports.admission)
    parts = Parts(
        flows=transports.flows,
        resolver=transports.resolver,
        is_own=is_own,
        own_host=own_host,
        destinations=destinations,
        media=media.relay,
        authenticator=authenticator,
        registrar=registrar,
        http=HttpClient(reactor),
        busy=busy,
        ping_answered=ping_answered,
        defence=defence,
        nodes=nodes,
        trunks=Trunks(settings.trunk) if settings.trunk else None,
    )
    if defence is not None:
        parts.misbehaved = defence.misbehaved
    file, sealing = ScriptFile(settings.routing.script, conf_dir), derive(shared, "route")
    read = partial(_script, settings, file)
    core, versions = assemble_core(settings, reactor, layer, sealing, parts, read, lambda core: build_presence(core, storage))
    media.sweep_for(core.media_control)
    watch_losses(core, media, state_dir, reactor)
    accounting = build_accounting(core, state_dir, storage, media, reactor)

    limits = settings.limits
    dispatcher = Dispatcher(core, Limits(limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values))
    batching = Batching(dispatcher, reactor, settings.location.batch_seconds)
    if writer is not None:
        batching.after = writer.hurry
        writer.is_load = lambda: batching.collecting
    observation = Observation(core, own_process)
    connect_insight(insight, core, observation.calls, media)
    page, console = _page(settings, core, storage, reactor), console_of(core, insight, reactor)
    shown = observation.page(page if console is None else console.page(page))
    ports.build(guarded(core, batching), shown, core.xhttp_request, handshakes_of(insight, core))

    for warning in transports.warnings:
        _log.warn("{text}", text=warning)
    conf_path = conf_file or str(conf_dir)
    reloaded = Reloaded(logs, observation.calls, media, storage, dispatcher, versions.renew)
    lifecycle, last = build_lifecycle(core, conf_path, transports, reloaded, own_process)
    root = Server(core, transports, lifecycle, logs, observation.calls, own_process, conf_path)
    rpc = rpc_service(core, settings, state_dir, reactor, transports, media, storage, conf_dir, logs, lifecycle, versions, insight, watch)
    rpc.parts.acc = accounting
    if console is not None:
        console.connect(rpc.endpoint, rpc.parts, lifecycle.reloader, conf_path)
    log = LogService(logs, own_process)
    script = (ScriptService(core), *there(_watch(settings, file, versions, reactor)))
    core_services = (media, registrar, *there(accounting), core.dialogs, *there(core.presence), keepalive, *script, *there(defence))
    outside = (*transports.services, batching, *build_trunks(core), *there(watch))
    mirror, pages = there(mirror_of(settings, layer.outbox.tap, reactor)), there(console.service if console is not None else None)
    records = records_of(insight, settings, state_dir, reactor)
    for service in (log, StorageService(storage), *backend, timer, *mirror, *core_services, rpc, *records, *pages, *outside):
        service.setServiceParent(root)
    observation.sources.acc, observation.sources.hep = accounting, mirror[0] if mirror else None
    observation.sources.insight, observation.sources.console = insight, console.service if console is not None else None
    observation.attach(root, transports, media, storage, writer, watch)
    manhole = manhole_service(root, core, rpc, media, conf_dir, state_dir, logs, observation.calls)
    for service in (*there(manhole), *last):
        service.setServiceParent(root)
    return root


def there(service: IService | None) -> tuple[IService, ...]:
    """A service, or none."""
    return () if service is None else (service,)


def either(*takers: Callable[[SipResponse, Flow], bool]) -> Callable[[SipResponse, Flow], bool]:
    """Takes the responses that one of several does."""
    return lambda response, flow: any(takes(response, flow) for takes in takers)


def _script(settings: Settings, file: ScriptFile) -> Loaded:
    return file.load(), _stages(settings)


def _watch(settings: Settings, file: ScriptFile, versions: Versions, reactor: Any) -> IService | None:
    """The watch over the script's file, where one is wanted."""
    seconds = settings.routing.watch_seconds
    return ScriptWatch(file, versions.reload, reactor, seconds) if seconds and file.path is not None else None


def _domain(settings: Settings) -> str:
    return settings.core.domains[0] if settings.core.domains else "localhost"


def _page(settings: Settings, core: Core, storage: Any, reactor: Any) -> IResource | None:
    """The softphone at /."""
    if not settings.web.softphone:
        return None
    from sipnode.web.directory import DirectoryResource
    from sipnode.web.ice import IceResource
    from sipnode.web.pages import softphone_resource
    from sipnode.web.signedin import FailureLimiter

    def verify(user: str, domain: str, password: str) -> Any:
        return core.authenticator.verify(user, domain, password)

    def guard() -> Any:
        return None if core.defence is None else core.defence.guard

    web, turn = settings.web, settings.turn
    directory = ice = None
    limiter: FailureLimiter | None = None
    if web.directory:
        directory = DirectoryResource(storage.list_users, lambda aor: core.registrar.online(aor), verify, reactor, guard)
        limiter = directory.limiter
    if turn.uris:
        if not turn.secret:
            raise ConfigError("is needed where [turn] uris has some", key="turn.secret")
        ice = IceResource(web.ice_servers, turn.uris, turn.secret, turn.seconds, core.clock, verify, reactor, guard, limiter)
    domain = settings.core.domains[0] if settings.core.domains else ""
    return softphone_resource(domain, __version__, directory, ice_servers=web.ice_servers, ice=ice)


def _stages(settings: Settings) -> list[IRequestStage]:
    """The plugin stages that the configuration names, in its order."""
    return [extensions.find(extensions.STAGES, name).object for name in settings.routing.stages]
