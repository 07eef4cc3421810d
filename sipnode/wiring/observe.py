"""Wiring of what is seen of the server: the life of calls, hostile input summed up, metrics and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode import __version__
from sipnode.observe.health import alive, readiness
from sipnode.observe.life import CallLog
from sipnode.observe.metrics import CONTENT_TYPE, Sources, exposition, registry_of
from sipnode.observe.pulse import Pulse
from sipnode.observe.summary import HostileSummary
from sipnode.observe.web import Door, ObservedPage

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from sipnode.media.service import MediaService
    from sipnode.routing.core import Core
    from sipnode.settings import Settings
    from sipnode.transport.assembly import Transports


class Observation:
    """Who watches the server, put together in two steps: the page before the transports, the rest when all is there.

    Args:
        core: The services.
        own_process: The garbage collector is this server's.

    Attributes:
        sources: Where the metrics come from.

    Raises:
        ConfigError: a network of ``[metrics] allow`` that can't be read.
    """

    def __init__(self, core: Core, own_process: bool) -> None:
        self._core = core
        self._door = Door(core.settings.metrics)
        self.calls = CallLog(core.reactor, core.settings.log.calls)
        self.pulse = Pulse(core.reactor, own_process)
        self.sources = Sources(core, __version__, core.clock(), self.pulse, self.calls)
        self._registry = registry_of(self.sources)

    def page(self, page: IResource | None) -> IResource | None:
        """What the WebSocket ports show: metrics and health, and the page behind them."""
        if not self._core.settings.metrics.enabled:
            return page
        answers = {
            b"metrics": lambda: (200, CONTENT_TYPE, exposition(self._registry)),
            b"healthz": alive,
            b"readyz": lambda: readiness(self._core, self.sources.storage, self.sources.media),
        }
        return ObservedPage(self._door, answers, page)

    def attach(self, root: Any, transports: Transports, media: MediaService, storage: Any, writer: Any) -> None:
        """Begin to watch; the services become children of ``root``."""
        core, sources = self._core, self.sources
        sources.admission, sources.tls = transports.admission, transports.tls
        sources.media, sources.storage = media, storage
        if writer is not None:
            sources.queues["location"] = lambda: writer.waiting
        core.logs.calls = self.calls
        core.dialogs.on_change(self.calls.changed)
        set_mode(core, self.calls.mode)
        services: tuple[Any, ...] = (self.calls, self.pulse, HostileSummary(core.reactor, lambda: core.counters))
        for service in services:
            service.setServiceParent(root)


def set_mode(core: Core, mode: str) -> None:
    """Another ``[log] calls``: with 'none' nobody pays for steps."""
    calls: CallLog = core.logs.calls
    calls.mode = mode
    core.life = None if mode == "none" else calls


def reloaded(core: Core, new: Settings) -> str:
    """``[log]`` has changed; what there is to say."""
    set_mode(core, new.log.calls)
    said: str = core.logs.apply(new.log)
    return said
