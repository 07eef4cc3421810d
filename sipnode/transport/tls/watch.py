"""New certificates without a restart: tls.cfg and its files are read anew when asked, and by itself when one of them changes.

Invariant: what is in force changes as a whole or not at all, and a change that can't be used is told once, not at each look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.errors import ConfigError
from sipnode.transport.tls.certificates import DAY, Dated, dated_files, ends_soon
from sipnode.transport.tls.config import TLSConfig, TLSProfile, load_tls_config

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from sipnode.transport.tls.contexts import TLSContexts

_FILES: Final = ("certificate", "private_key", "ca_list", "ca_path", "crl")

# Path to (size, time of change in ns, inode), None for a file that isn't there.
Seen = dict[str, tuple[int, int, int] | None]


class TLSWatch(Service):
    """Keeps the contexts as their files are.

    Args:
        contexts: What is in force.
        path: Of tls.cfg.
        clock: For the looks, and epoch seconds.
        seconds: Between two looks; 0 for none.
    """

    name = "tls"
    log = Logger()

    def __init__(self, contexts: TLSContexts, path: str, clock: IReactorTime, seconds: float) -> None:
        self._contexts = contexts
        self._path = path
        self._clock = clock
        self._seconds = seconds
        self._loaded = self._look(contexts.config)
        self._before = self._loaded
        self._warn_at = 0.0
        self._dated: tuple[TLSConfig, list[Dated]] | None = None
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def startService(self) -> None:
        """Warn of what expires soon, and begin to look."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._loop.start(self._seconds or DAY)

    def stopService(self) -> Any:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def reload(self) -> list[str]:
        """Read everything anew.

        Returns:
            Warnings about it.

        Raises:
            ConfigError: with file, line and key; nothing has changed.
        """
        config = load_tls_config(self._path)
        seen = self._look(config)
        self._contexts.reload(config)
        self._loaded = self._before = seen
        self._warn_at = 0.0
        self.log.info("{path} is in force, {count} sections", path=self._path, count=len(config.profiles))
        return config.warnings

    def profiles(self) -> list[TLSProfile]:
        """Sections in force."""
        return self._contexts.config.profiles

    def files(self) -> list[Dated]:
        """Certificates and lists in force, with their ends; read once, for a bundle of authorities is long."""
        config = self._contexts.config
        if self._dated is None or self._dated[0] is not config:
            self._dated = (config, dated_files(config))
        return self._dated[1]

    def warnings(self) -> list[str]:
        """Warnings of now: those about the file in force, and about what of it ends soon or has ended."""
        return [*self._contexts.config.warnings, *ends_soon(self._contexts.config, self._clock.seconds())]

    def _tick(self) -> None:
        now = self._clock.seconds()
        if now >= self._warn_at:
            self._warn_at = now + DAY
            for text in ends_soon(self._contexts.config, now):
                self.log.warn("{text}", text=text)
        if not self._seconds:
            return
        seen = self._look(self._contexts.config)
        # Two looks alike: whoever writes several files, as certbot does, has finished.
        if seen != self._loaded and seen == self._before:
            try:
                self.reload()
            except ConfigError as error:
                self._loaded = seen
                self.log.error("the TLS files have changed and can't be used, those before stay in force: {error}", error=str(error))
        self._before = seen

    def _look(self, config: TLSConfig) -> Seen:
        paths = {self._path, *(getattr(profile, key) for profile in config.profiles for key in _FILES)} - {""}
        return {path: _state(path) for path in paths}


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino
