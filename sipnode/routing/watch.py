"""The site's script loaded anew when its file has changed, for those who don't want to type ``routing.reload``.

The invariant: what routes changes as a whole or not at all, and a change that can't be used is told once, not at each look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ConfigError
from sipnode.routing.loading import file_of, load_script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from sipnode.routing.script import RoutingScript

State: TypeAlias = tuple[int, int, int] | None
"""``(size, time of change in ns, inode)``; None for a file that isn't there."""


class ScriptFile:
    """The file of ``[routing] script``, and how it was when it was last read, by whomever.

    Args:
        named: ``module.Class``, "" for the script of the package.
        folder: Of the configuration.

    Attributes:
        path: None for the script of the package.
        read: Its state when it was last read.
    """

    def __init__(self, named: str, folder: Path) -> None:
        self._named = named
        self._folder = folder
        self.path = file_of(named, folder) if named else None
        self.read: State = None

    def load(self) -> type[RoutingScript]:
        """Its class, read anew; see :func:`~sipnode.routing.loading.load_script`.

        Raises:
            ConfigError: it can't be used.
        """
        # Before it is read: a change while that goes on is seen at the next look.
        self.read = self.state()
        return load_script(self._named, self._folder)

    def state(self) -> State:
        """How it is now."""
        if self.path is None:
            return None
        try:
            state = os.stat(self.path)
        except OSError:
            return None
        return state.st_size, state.st_mtime_ns, state.st_ino


class ScriptWatch(Service):
    """Looks at the file from time to time.

    Args:
        file: The file.
        reload: Loads it, as ``routing.reload`` does, and says in the log what came of it; raises ConfigError.
        clock: For the looks.
        seconds: Between two of them.
    """

    name = "script-watch"
    log = Logger(namespace="sipnode.routing")

    def __init__(self, file: ScriptFile, reload: Callable[[], object], clock: IReactorTime, seconds: float) -> None:
        self._file = file
        self._reload = reload
        self._seconds = seconds
        self._before = file.read
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin to look."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(self._seconds, now=False)

    def stopService(self) -> Any:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def _look(self) -> None:
        seen = self._file.state()
        # Two looks alike: an editor that writes it piece by piece has finished.
        if seen != self._file.read and seen == self._before:
            self.log.info("{path} has changed", path=str(self._file.path))
            try:
                self._reload()
            except ConfigError:
                # It is told, and what routed routes on.
                pass
            except Exception:
                self.log.failure("the routing script can't be loaded")
        self._before = seen
