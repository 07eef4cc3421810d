"""Wiring of start and stop: signals, the service manager, the drain, and who takes part in a reload."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from sipnode import __version__, config, native
from sipnode.errors import ConfigError
from sipnode.lifecycle.activation import PassedSockets, first_environment, passed_descriptors
from sipnode.lifecycle.domains import strangers
from sipnode.lifecycle.drain import Drain
from sipnode.lifecycle.greeting import greeting
from sipnode.lifecycle.notify import Notifier, Watchdog, watchdog_seconds
from sipnode.lifecycle.reload import Reloader
from sipnode.lifecycle.service import Lifecycle
from sipnode.lifecycle.signals import SignalService
from sipnode.log import LogControl
from sipnode.sip.parser import Limits
from sipnode.storage.look import user_domains
from sipnode.transport.listeners import StreamService
from sipnode.transport.udp import UdpService
from sipnode.web import pages
from sipnode.wiring.observe import reloaded

if TYPE_CHECKING:
    from sipnode.media.service import MediaService
    from sipnode.observe.callhistory import CallHistory
    from sipnode.routing.core import Core
    from sipnode.routing.dispatch import Dispatcher
    from sipnode.settings import Settings
    from sipnode.transport.assembly import Transports

_log = Logger(namespace="sipnode")


class LogService(Service):
    """The log's level and form while the server runs.

    Args:
        control: What changes them.
        own_process: The log is this server's.
    """

    name = "log"

    def __init__(self, control: LogControl, own_process: bool) -> None:
        self.control = control
        self._ours = own_process

    def privilegedStartService(self) -> None:
        """``twistd`` has its observers by now, and no port has been bound."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._ours:
            self.control.install()

    def stopService(self) -> Any:
        """As it was."""
        self.control.remove()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above


class PassedSocketsService(Service):
    """Says which sockets of the service manager nobody wanted.

    Args:
        sockets: They.
    """

    name = "activation"
    log = Logger(namespace="sipnode")

    def __init__(self, sockets: PassedSockets) -> None:
        self._sockets = sockets

    def startService(self) -> None:
        """All listeners have taken theirs."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        for address in self._sockets.rest():
            self.log.warn("the service manager passed a socket at {address} that no listener of [core] listen has", address=address)


def build_lifecycle(
    core: Core, conf_path: str, transports: Transports, parts: Reloaded, own_process: bool
) -> tuple[Lifecycle, list[IService]]:
    """Start, reload and stop of a server.

    Args:
        parts: Take part in a reload.
        own_process: Signals, watchdog and inherited sockets are this server's.

    Returns:
        It, and the services to start as the last ones; it is among them.
    """
    notifier = Notifier(os.environ.pop("NOTIFY_SOCKET", "") if own_process else "")
    lifecycle = Lifecycle(core.registrar, Drain(core, core.reactor), Reloader(core.settings, conf_path), notifier)
    lifecycle.greeting = lambda: greeting(
        f"{__version__} ({native.kind()})", core.settings, [each.name for each in transports.listeners], page_of(core.settings)
    )
    if own_process:
        core.registrar.when_ready().addCallback(lambda _: look_for_strangers(core.settings, conf_path))
    connect_reload(lifecycle.reloader, core, transports, parts)
    services = process_services(lifecycle, transports, notifier, core.reactor) if own_process else []
    return lifecycle, [*services, lifecycle]


def page_of(settings: Settings) -> str:
    """Why there is no page, "" where there is one."""
    if not settings.web.softphone:
        return "switched off ([web] softphone)"
    return "" if pages.is_built() else f"not built: {pages.remedy()}"


def look_for_strangers(settings: Settings, conf_path: str) -> Deferred[None]:
    """Say in the log which users can't register as their domain isn't ours; the store is asked beside the reactor."""
    state = config.state_folder(settings, config.find(conf_path).parent)

    def say(domains: list[str]) -> None:
        for text in strangers(settings, domains):
            _log.warn("{error}", error=config.placed(ConfigError(text, key="core.domains"), conf_path))

    if settings.auth.backend != "store":
        say([])
        return succeed(None)
    asked: Deferred[list[str]] = deferToThread(user_domains, settings.storage.url, str(state))
    return asked.addCallback(say).addErrback(lambda failure: _log.failure("the users' domains can't be looked at", failure))


def process_services(lifecycle: Lifecycle, transports: Transports, notifier: Notifier, reactor: Any) -> list[IService]:
    """Services of a server that has the process for itself: signals, watchdog, and the sockets that came with it."""
    sockets = PassedSockets(passed_descriptors(first_environment(), os.getpid()))
    for service in transports.services:
        if isinstance(service, (StreamService, UdpService)):
            service.passed = sockets

    def hurry() -> None:
        lifecycle.drain.hurry()
        transports.flows.hurry()

    return [
        PassedSocketsService(sockets),
        Watchdog(notifier, watchdog_seconds(os.environ, os.getpid()), reactor),
        SignalService(reactor, hurry, lifecycle.reload),
    ]


@dataclass(slots=True, frozen=True)
class Reloaded:
    """Participants of a reload, beside core and transports.

    Attributes:
        logs: Level and form of the log. calls: The lines about calls.
        media: The media nodes. storage: IStorage; what is kept of passwords is forgotten.
        dispatcher: Has the bounds of messages.
        script: Reads the routing script and its stages anew; gives what there is to say.
    """

    logs: LogControl
    calls: CallHistory
    media: MediaService
    storage: Any
    dispatcher: Dispatcher
    script: Callable[[], str]


def connect_reload(reloader: Reloader, core: Core, transports: Transports, parts: Reloaded) -> None:
    """Participants when the configuration is read anew."""
    add, media, dispatcher = reloader.add, parts.media, parts.dispatcher

    def limits(new: Settings, old: Settings) -> None:
        values = new.limits
        dispatcher.limits = Limits(values.message_bytes, values.header_lines, values.line_bytes, values.via_values)
        core.transactions.limit = values.transactions
        transports.admission.set_limits(values.connections, values.connections_per_source, values.handshakes_per_source)
        transports.outgoing.set_limits(values.outgoing, values.outgoing_per_user)

    def users(new: Settings, old: Settings) -> None:
        parts.storage.credentials.forget_all()

    def nodes(new: Settings, old: Settings) -> str:
        if new.media.nodes == old.media.nodes:
            return ""
        came, gone = media.reload(new.media.nodes)
        return f"{', '.join(came) or 'none'} came, {', '.join(gone) or 'none'} went"

    def policy(new: Settings, old: Settings) -> None:
        wanted = {name: getattr(new.core, name) for name in ("stop_seconds", "drain_seconds", "drain_calls")}
        now = core.settings
        core.renew(replace(now, core=replace(now.core, **wanted), proxy=replace(now.proxy, foreign=new.proxy.foreign)))

    def defence(new: Settings, old: Settings) -> None:
        if core.defence is not None and new.defence != old.defence:
            core.defence.guard.apply(new.defence)

    add("log", ("log.level", "log.format", "log.wire", "log.calls"), lambda new, old: reloaded(parts.logs, parts.calls, new))
    add("limits", ("limits.message_bytes", "limits.header_lines", "limits.line_bytes", "limits.via_values", "limits.transactions",
                   "limits.connections", "limits.connections_per_source", "limits.handshakes_per_source", "limits.outgoing",
                   "limits.outgoing_per_user"), limits)  # fmt: skip
    add("policy", ("core.stop_seconds", "core.drain_seconds", "core.drain_calls", "proxy.foreign"), policy)
    add("defence", tuple(f"defence.{key}" for key in DEFENCE_KEYS), defence)
    if transports.tls.profiles():
        add("tls", (), lambda new, old: "; ".join(transports.tls.reload()))
    add("media nodes", ("media.nodes",), nodes)
    add("users", (), users)
    add("routing script", (), lambda new, old: parts.script())


DEFENCE_KEYS = (
    "rate", "burst", "proved_factor", "proved_seconds", "flood_messages", "failed_digests", "failed_seconds", "ban_seconds", "scanners",
    "transactions_per_source", "lag_seconds", "lag_lasting", "retry_after",
)  # fmt: skip
