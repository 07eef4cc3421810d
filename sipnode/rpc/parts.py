"""The parts that the families of methods work on: handed over once by the composition root, read by them.

The families know other rooms by their public verbs only, never by import.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.management import Lifecycle, Logs
    from sipnode.settings import Settings


@dataclass(slots=True)
class Parts:
    """The running server as its methods see it. A part that it doesn't have is None, and its methods aren't there.

    Attributes:
        core: ``sipnode.routing.core.Core``.
        transports: ``sipnode.transport.assembly.Transports``.
        media: ``sipnode.media.service.MediaService``.
        storage: IStorage.
        version: Of the program.
        started: Epoch seconds.
        reload_media: Reads the media nodes anew: those that came, those that went; raises ConfigError.
        scripts: ``sipnode.routing.versions.Versions``.
        reload_tls: Reads tls.cfg and its files anew; raises ConfigError.
        tls_profiles: Sections of tls.cfg that are in force.
        sisters: Other nodes that are known.
        conf: Settings in force by section, secrets masked.
        logs: The log, None where it isn't the server's own. lifecycle: Start, reload and stop; None where it can't be reloaded.
        live: ``sipnode.lifecycle.live.LiveSettings``.
        insight: ``sipnode.insight.service.Insight``.
        acc: ``sipnode.acc.service.Accounting``.
        pid, arguments: Of the process.
        admit: Registers a Binding by hand; Deferred.
        flush: Deferred of everything that is known now being in the store.
        ongoing_media: ``sipnode.media.ongoing.OngoingMedia`` of a call. quality: Legs in the reply to its query.
        conf_file: Path of the configuration, "" for none.
    """

    core: Any
    settings: Settings
    version: str
    started: float
    transports: Any = None
    media: Any = None
    storage: Any = None
    logs: Logs | None = None
    lifecycle: Lifecycle | None = None
    admit: Callable[[Any], Any] = lambda binding: None
    flush: Callable[[], Any] = lambda: None
    reload_media: Callable[[], tuple[list[str], list[str]]] = lambda: ([], [])
    scripts: Any = None
    reload_tls: Callable[[], Any] = lambda: None
    tls_profiles: Callable[[], list[Any]] = lambda: []
    sisters: Callable[[], list[Any]] = lambda: []
    conf: Callable[[], dict[str, Any]] = lambda: {}
    live: Any = None
    insight: Any = None
    acc: Any = None
    ongoing_media: Callable[[Any], Any] = lambda call: None
    quality: Callable[[Any], list[dict[str, Any]]] = lambda reply: []
    conf_file: str = ""
    pid: int = field(default_factory=os.getpid)
    arguments: list[str] = field(default_factory=lambda: list(sys.argv))

    def count(self, name: str) -> int:
        """How often something happened since the start, 0 where it isn't counted."""
        counted: int = self.core.counters.get(name, 0)
        return counted

    @property
    def clock(self) -> Callable[[], float]:
        """Epoch seconds."""
        clock: Callable[[], float] = self.core.clock
        return clock
