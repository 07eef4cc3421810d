"""A server in memory: put together as one that listens, with its network, DNS, media nodes and HTTP services in the hands of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import Clock

from sipnode.auth.authenticator import Authenticator
from sipnode.auth.secret import derive
from sipnode.fakes import PORTS, FakeFlows, FakeHttp, FakeResolver, OpenAuthenticator, RecordingMediaRelay, listener_of
from sipnode.nodes.way import SisterWay
from sipnode.proxy.destinations import Destinations
from sipnode.records import Credential
from sipnode.registrar.service import RegistrarService
from sipnode.routing.assembly import begin
from sipnode.routing.dispatch import Dispatcher
from sipnode.routing.parts import Parts
from sipnode.routing.script import RoutingScript
from sipnode.settings import Settings
from sipnode.sip.parser import Limits
from sipnode.storage.memory import MemoryStorage
from sipnode.trunk.service import TrunkService
from sipnode.trunk.trunks import Trunks
from sipnode.wiring.core import assemble_core, new_transactions
from sipnode.wiring.defence import build_defence, guarded
from sipnode.wiring.insight import connect_insight, insight_of
from sipnode.wiring.nodes import build_nodes
from sipnode.wiring.presence import build_presence

if TYPE_CHECKING:
    from sipnode.defence.service import DefenceService
    from sipnode.interfaces import IEventPackage, IMediaRelay, IRequestStage, IStorage
    from sipnode.presence.service import PresenceService
    from sipnode.routing.core import Core
    from sipnode.transaction.layer import TransactionLayer

DOMAIN: Final = "example.test"
SECRET: Final = b"only for tests: no secret at all"


class MemoryServer:
    """A whole server in memory, but for the network: registrar in memory, everybody believed, virtual time.

    Args:
        settings: All sections; domains and ``db_mode`` are set.
        media: The media relay; None for none.
        script: Class of the routing script; None for that of the package.
        stages: Plugin stages.
        clock: Of another world, to go on in its time.
        users: Passwords by user name: these users exist, and all else is as a server has it by default: digest authentication, presence,
            the defence, the node service. None for the simple world, in which everybody is believed and none of these is.
        authenticator: In place of either.
        destinations: In place of those that ``[proxy] destinations`` makes.
        presence: Event packages to serve, True for those of the settings, also in the simple world.
        storage: Keeps presence over a restart; None for memory alone.
        defence: The defence stands before it, as ``[defence]`` says, also in the simple world.

    Attributes:
        clock: ``task.Clock``.
        core: The services.
        sink: Transports would call it.
        trunks: The service that asks and registers at the trunks; a test starts it.
        http: HTTP services that the script asks. scripts: Its versions.
        users: As given. insight: Knowledge of calls, where ``[recorder]`` is on.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        media: IMediaRelay | None = None,
        script: type[RoutingScript] | None = None,
        stages: Sequence[IRequestStage] = (),
        clock: Clock | None = None,
        *,
        users: Mapping[str, str] | None = None,
        authenticator: Authenticator | None = None,
        destinations: Destinations | None = None,
        presence: bool | Sequence[IEventPackage] = False,
        storage: IStorage | None = None,
        defence: bool = False,
    ) -> None:
        settings = settings or Settings()
        self._script = self._loading = script or RoutingScript
        self._stages = stages
        location = settings.location if storage is not None else replace(settings.location, db_mode=0)
        self.settings = replace(settings, core=replace(settings.core, domains=(DOMAIN,)), location=location)
        self.clock = clock or Clock()
        if clock is None:
            self.clock.advance(1_700_000_000)
        self.flows = self._new_flows()
        self.resolver = FakeResolver()
        self.http = FakeHttp()
        self.users = users
        self._presence = presence or users is not None
        self._storage = storage
        self._defence = defence or users is not None
        self._given = authenticator, destinations
        layer, _ = new_transactions(self.settings, self.clock)
        self.insight = insight_of(self.settings, layer.outbox.tap)
        relay = media or RecordingMediaRelay(enabled=False)
        parts = self._parts(layer, relay, authenticator or self._authenticator(), destinations)
        core, self.scripts = assemble_core(
            self.settings, self.clock, layer, self._secret(), parts, lambda: (self._loading, self._stages), self._presence_of
        )
        self.core = core
        connect_insight(self.insight, core)
        for service in (core.registrar, core.dialogs, core.presence):
            if service is not None:
                service.startService()
        self.trunks = TrunkService(core.trunks or Trunks({}), core)
        begin(core.script)
        self.sink = guarded(core, Dispatcher(core, Limits()))

    def _new_flows(self) -> FakeFlows:
        """Its network."""
        return FakeFlows()

    def _secret(self) -> bytes:
        """The secret that its tokens are sealed with."""
        return SECRET

    def _is_own(self, host: str, port: int) -> bool:
        """Whether an address is its own."""
        return self._own_host(host) and port in (0, *PORTS.values())

    def _own_host(self, host: str) -> bool:
        """The same whatever the port."""
        return host == "192.0.2.1"

    def _authenticator(self) -> Authenticator:
        """The authenticator: one that believes everybody, or the server's own."""
        if self.users is None:
            return OpenAuthenticator()
        storage = MemoryStorage(self.clock)
        for user, password in self.users.items():
            storage.add(Credential(user, DOMAIN, password=password))
        return Authenticator(self.settings.auth, storage.credentials, derive(self._secret(), "nonce"), self.clock)

    def _presence_of(self, core: Core) -> PresenceService | None:
        """Its presence."""
        packages = None if isinstance(self._presence, bool) else self._presence
        return build_presence(core, self._storage, packages) if self._presence else None

    def _defence_of(self, *parts: Any) -> DefenceService | None:
        """Its defence; ``parts`` as :func:`~sipnode.wiring.defence.build_defence` takes them."""
        return build_defence(*parts)

    def _parts(self, layer: TransactionLayer, relay: IMediaRelay, authenticator: Authenticator, destinations: Destinations | None) -> Parts:
        """The parts of its core; a world of another kind changes some of it."""
        settings, busy = self.settings, dict[str, Callable[[], int]]()
        defence = None
        if self._defence:
            defence = self._defence_of(settings, self.clock, layer, busy, self.flows.connections, self._own_host, authenticator)
        parts = Parts(
            flows=self.flows,
            resolver=self.resolver,
            is_own=self._is_own,
            own_host=self._own_host,
            destinations=destinations or Destinations(settings.proxy.destinations, (), self._is_own, self._own_host),
            media=relay,
            authenticator=authenticator,
            registrar=RegistrarService(replace(settings.location, db_mode=0), self.clock, flows=self.flows),
            http=self.http,
            busy=busy,
            defence=defence,
            trunks=Trunks(settings.trunk),
        )
        if self.users is not None:
            way = SisterWay(layer, self.flows, self.resolver, self.clock.seconds)
            listeners = [listener_of(transport) for transport in PORTS]
            parts.nodes, watch = build_nodes(settings, self.clock, way, listeners, self._is_own, self._secret())
            parts.registrar.node = parts.nodes
            if watch is not None:
                parts.ping_answered = watch.answered
                parts.registrar.on_change(parts.nodes.changed)
        if defence is not None:
            parts.misbehaved = defence.misbehaved
        return parts
