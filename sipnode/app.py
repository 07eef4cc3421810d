"""The composition root: settings in, one service out. Everything that knows everything is here, and only here.

::

    sipnode (OrderedMultiService; starts downwards, stops upwards)
    ├ log            its level and form while the server runs
    ├ storage        open and upgrade; close after the last write
    ├ transactions   the clock of the transaction layer
    ├ media          the rtpengine nodes
    ├ location       load, expire, group commit
    ├ dialogs        ends calls whose browser has vanished
    ├ presence       publications, subscriptions and their NOTIFYs
    ├ keepalive      pings of natted phones
    ├ script         the routing script starts and stops
    ├ defence        overload; ends bans
    ├ rpc            JSON-RPC on a UNIX socket and HTTP
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, Service
from twisted.logger import Logger

from sipnode import __version__, config, extensions
from sipnode.auth.authenticator import Authenticator
from sipnode.auth.secret import derive, load_or_create_secret
from sipnode.base.outbox import PING
from sipnode.dialog.ends import new_via
from sipnode.errors import ConfigError, FlowClosed
from sipnode.interfaces import IRequestStage
from sipnode.media.service import MediaService
from sipnode.nat.keepalive import KeepaliveService
from sipnode.records import Hop
from sipnode.registrar.batching import Batching
from sipnode.registrar.service import RegistrarService
from sipnode.routing.assembly import ScriptService
from sipnode.routing.core import Core
from sipnode.routing.dispatch import Dispatcher
from sipnode.routing.loading import load_script
from sipnode.routing.versions import Versions
from sipnode.services import OrderedMultiService, settle_memory
from sipnode.sip.parser import Limits
from sipnode.sip.uri import SipUri
from sipnode.storage.factory import open_storage, use_backend
from sipnode.storage.writer import GroupCommitWriter
from sipnode.transport.assembly import Transports, build_transports
from sipnode.transport.descriptors import complaint, raised, room
from sipnode.wiring.core import Parts, assemble_core, new_core
from sipnode.wiring.defence import connect_defence, guarded
from sipnode.wiring.destinations import build_destinations, know_sisters
from sipnode.wiring.lifecycle import LogService, add_lifecycle, log_control
from sipnode.wiring.manhole import manhole_service
from sipnode.wiring.nodes import build_nodes, only_ours, shared_secret
from sipnode.wiring.observe import Observation
from sipnode.wiring.presence import build_presence
from sipnode.wiring.rpc import rpc_service
from sipnode.wiring.trunks import build_trunks

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from sipnode.lifecycle.service import Lifecycle
    from sipnode.records import Binding
    from sipnode.settings import Settings
    from sipnode.sip.message import SipRequest

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

    Args:
        own_process: Nothing else runs in this process, so that its garbage collector is ours.
        conf_file: The configuration, for faults that show when the ports are bound.
    """

    lifecycle: Lifecycle

    def __init__(self, core: Core, transports: Transports, own_process: bool, conf_file: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.setName("sipnode")  # type: ignore[no-untyped-call]  # as above
        self.core = core
        self.transports = transports
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

    core, timer = new_core(settings, reactor, derive(shared, "route"))
    core.logs = log_control(core, settings)

    limits = settings.limits
    dispatcher = Dispatcher(core, Limits(limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values))
    batching = Batching(dispatcher, reactor, settings.location.batch_seconds)
    sink = guarded(core, batching)
    observation = Observation(core, own_process)
    page = observation.page(_page(settings, core, storage, reactor))
    transports = build_transports(settings, sink, reactor, page, core.xhttp_request, str(conf_dir))

    media = MediaService(settings.media, reactor)
    writer = GroupCommitWriter(storage.location, reactor, settings.location) if settings.location.db_mode else None
    if writer is not None:
        batching.after = writer.hurry
        writer.is_load = lambda: batching.collecting
    registrar = RegistrarService(
        settings.location,
        reactor,
        storage.location if settings.location.db_mode else None,
        writer,
        transports.flows,
        degraded=lambda: storage.degraded,
    )
    authenticator = Authenticator(settings.auth, storage.credentials, derive(secret, "nonce"), reactor)
    is_own, own_host = transports.is_own_address, transports.own.has_host
    destinations = build_destinations(settings, is_own, own_host)
    parts = Parts(transports.flows, transports.resolver, is_own, own_host, destinations, media.relay, authenticator, registrar)
    assemble_core(core, parts)
    keepalive = KeepaliveService(
        settings.nat, reactor, _pinger(core), core.registrar.remove, f"sip:{_domain(settings)}", derive(secret, "ping")
    )
    core.registrar.on_change(only_ours(settings.node.id, keepalive.changed))
    core.ping_answered = keepalive.answered
    sisters = build_nodes(core, transports.listeners, reactor, shared)
    know_sisters(core.destinations, sisters)
    trunks = build_trunks(core)
    defence = connect_defence(core, transports, sisters)
    presence = build_presence(core, storage, reactor)
    versions = Versions(core, lambda: (load_script(settings.routing.script, conf_dir), _stages(settings)))
    media.sweep_for(core.media_control)

    for warning in transports.warnings:
        _log.warn("{text}", text=warning)
    root = Server(core, transports, own_process, conf_file or str(conf_dir))
    rpc = rpc_service(core, settings, state_dir, reactor, transports, media, storage, conf_dir, sisters)
    rpc.parts.scripts = versions
    log = LogService(core.logs, own_process)
    core_services = (media, core.registrar, core.dialogs, *presence, keepalive, ScriptService(core))
    outside = (*transports.services, batching, *trunks, *sisters)
    for service in (log, StorageService(storage), *backend, timer, *core_services, *defence, rpc, *outside):
        service.setServiceParent(root)
    observation.attach(root, transports, media, storage, writer, sisters)
    manhole = manhole_service(root, core, rpc.parts.conf, media, conf_dir, state_dir)
    if manhole is not None:
        manhole.setServiceParent(root)
    root.lifecycle = add_lifecycle(
        root, core, conf_file or str(conf_dir), transports, media, storage, dispatcher, versions.renew, own_process
    )
    return root


def _domain(settings: Settings) -> str:
    return settings.core.domains[0] if settings.core.domains else "localhost"


def _page(settings: Settings, core: Core, storage: Any, reactor: Any) -> IResource | None:
    """The softphone at /."""
    if not settings.web.softphone:
        return None
    from sipnode.web.directory import DirectoryResource
    from sipnode.web.pages import softphone_resource

    directory = None
    if settings.web.directory:
        directory = DirectoryResource(
            storage.list_users,
            lambda aor: core.registrar.online(aor),
            lambda u, d, p: core.authenticator.verify(u, d, p),
            reactor,
            lambda: None if core.defence is None else core.defence.guard,
        )
    domain = settings.core.domains[0] if settings.core.domains else ""
    return softphone_resource(domain, __version__, directory, ice_servers=settings.web.ice_servers)


def _pinger(core: Core) -> Any:
    """How a keepalive goes out: down the binding's own address, without a transaction."""

    def send(binding: Binding, request: SipRequest) -> None:
        received = SipUri.parse(binding.received)
        host, port = received.host.strip("[]"), received.port or 5060
        if core.destinations.refusal(host, port, host):
            raise FlowClosed("it isn't to be sent to")
        # From the socket that the phone registered by: only that hole in its NAT is open.
        flow = core.flows.udp(Hop("UDP", host, port), binding.socket)
        if flow is None:
            raise FlowClosed("no UDP listener reaches it")
        _, via = new_via(flow)
        request.prepend("via", via)
        if not core.outbox.send(core.clock(), request.to_bytes(), flow, PING, request.method):
            raise FlowClosed("its way is closed")

    return send


def _stages(settings: Settings) -> list[IRequestStage]:
    """The plugin stages that the configuration names, in its order."""
    return [extensions.find(extensions.STAGES, name).object for name in settings.routing.stages]
