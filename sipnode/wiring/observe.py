"""Wiring of what is seen of the server: the life of calls, hostile input summed up, metrics and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode import __version__
from sipnode.observe.callhistory import CallHistory
from sipnode.observe.health import alive, bare, readiness
from sipnode.observe.listener import MetricsService
from sipnode.observe.metrics import CONTENT_TYPE, Sources, exposition, registry_of
from sipnode.observe.pulse import Pulse
from sipnode.observe.stall import StallWatch
from sipnode.observe.summary import HostileSummary
from sipnode.observe.traffic import by_code
from sipnode.observe.web import Answer, Door, ObservedPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from sipnode.log import LogControl
    from sipnode.media.service import MediaService
    from sipnode.nodes.sisters import SisterWatch
    from sipnode.routing.core import Core
    from sipnode.settings import Settings
    from sipnode.transport.assembly import Transports


class Observation:
    """The observers of the server, put together in two steps: the page before the transports, the rest when all is there.

    Args:
        core: The services.
        own_process: The garbage collector is this server's.

    Attributes:
        sources: Where the metrics come from. calls: Their life.

    Raises:
        ConfigError: ``[metrics] allow`` or ``listen`` can't be read.
    """

    def __init__(self, core: Core, own_process: bool) -> None:
        self._core = core
        settings = core.settings.metrics
        self._settings = settings
        self._door = Door(settings)
        self.calls = CallHistory(core.reactor, core.settings.log.calls, core.tap)
        self.pulse = Pulse(core.reactor, own_process)
        self._own_process = own_process
        self.sources = Sources(core, __version__, core.clock(), self.pulse, self.calls, by_code)
        self._registry = registry_of(self.sources)
        root: Any = ObservedPage(self._door, self._answers(), None, self._strangers())
        self._listener = MetricsService(settings.listen, root, core.reactor) if settings.enabled and settings.listen else None

    def _answers(self) -> dict[bytes, Callable[[], Answer]]:
        return {
            b"metrics": lambda: (200, CONTENT_TYPE, exposition(self._registry)),
            b"healthz": alive,
            b"readyz": lambda: readiness(self._core, self.sources.storage, self.sources.media),
        }

    def _strangers(self) -> dict[bytes, Callable[[], Answer]]:
        answers = self._answers()
        return {b"healthz": alive, b"readyz": lambda: bare(answers[b"readyz"]())}

    def page(self, page: IResource | None) -> IResource | None:
        """Resources of the WebSocket ports: metrics and health, and the page behind them."""
        if not (self._settings.enabled and self._settings.on_websocket_ports):
            return page
        return ObservedPage(self._door, self._answers(), page, self._strangers())

    def attach(
        self, root: Any, transports: Transports, media: MediaService, storage: Any, writer: Any, watch: SisterWatch | None = None
    ) -> None:
        """Begin to watch; the services become children of ``root``.

        Args:
            writer: Of the location table, None without one.
            watch: Over the sister nodes.
        """
        core, sources = self._core, self.sources
        sources.admission, sources.outgoing, sources.tls = transports.admission, transports.outgoing, transports.tls
        sources.media, sources.storage = media, storage
        if self._settings.enabled and media.measures:
            # Somebody has the relay asked for the numbers of each call; for this alone a question for each would be too dear.
            media.measured_by(self.calls.timings.measured)
        if watch is not None:
            sources.sisters = watch.sisters
        sources.queues.update(queues_of(core, media, storage, writer))
        services: list[Any] = [self.calls, self.pulse, HostileSummary(core.reactor, lambda: core.counters, foreign=core.foreign)]
        if self._own_process:
            services.append(StallWatch(core.reactor))
        if self._listener is not None:
            services.append(self._listener)
        for service in services:
            service.setServiceParent(root)


def queues_of(core: Core, media: Any, storage: Any, writer: Any) -> dict[str, Callable[[], int]]:
    """Everything that can pile up, by its name in the metrics."""
    return {
        "database": lambda: storage.waiting,
        "digest": lambda: storage.credentials.waiting,
        "location": lambda: writer.waiting if writer is not None else 0,
        "location_backlog": lambda: core.registrar.unwritten,
        "notify": lambda: core.presence.notifier.waiting if core.presence is not None else 0,
        "presence": lambda: core.presence.unwritten if core.presence is not None else 0,
        "rtpengine": lambda: media.outstanding,
    }


def reloaded(logs: LogControl, calls: CallHistory, new: Settings) -> str:
    """``[log]`` has changed; what there is to say."""
    calls.set_mode(new.log.calls)
    return logs.apply(new.log)
