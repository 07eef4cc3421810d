"""The scripts that a server has had, by number: which one routes now, and the way back to one that was good.

The invariant: what routes is always one whole version. A load that fails in any step changes nothing, and what was loaded stays in memory
as it was, whatever has become of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from twisted.logger import Logger

from sipnode.errors import ConfigError
from sipnode.routing.assembly import assemble

if TYPE_CHECKING:
    from sipnode.interfaces import IRequestStage
    from sipnode.routing.core import Core
    from sipnode.routing.script import RoutingScript

if TYPE_CHECKING:
    Loaded: TypeAlias = tuple[type[RoutingScript], Sequence[IRequestStage]]
    Read: TypeAlias = Callable[[], Loaded]

MOST_KEPT: Final = 10
"""Versions that can be gone back to."""


class Version(NamedTuple):
    """One script, with the stages of plugins among its own.

    Attributes:
        number: From 1.
        loaded: Epoch seconds.
        script: Class of the script.
        stages: IRequestStage providers, in the order of the configuration.
    """

    number: int
    loaded: float
    script: type[RoutingScript]
    stages: Sequence[IRequestStage]

    @property
    def name(self) -> str:
        """``module.Class`` of the script."""
        return f"{self.script.__module__}.{self.script.__qualname__}"


class Versions:
    """Loads scripts, and goes back.

    Args:
        core: The services; script and engine are replaced in it.
        read: Reads script and stages; raises ConfigError.
        first: The one that the core was made with; None to load it.

    Attributes:
        current: What routes now.

    Raises:
        ConfigError: the first one can't be had.
    """

    log = Logger(namespace="sipnode.routing")

    def __init__(self, core: Core, read: Read, first: Loaded | None = None) -> None:
        self._core = core
        self._read = read
        self._kept: list[Version] = []
        self._last = 0
        self.current = self._load() if first is None else self._numbered(first)

    def list(self) -> list[Version]:
        """Those that can be gone back to, and the current one; oldest first."""
        return list(self._kept)

    def reload(self) -> Version:
        """Read the script and its stages anew: requests from now on go by them, those that have begun keep what they began with.

        Raises:
            ConfigError: they are at fault; nothing has changed.
        """
        try:
            self.current = self._load()
        except ConfigError as error:
            self.log.error("the routing script isn't loaded, version {number} goes on: {error}", number=self.current.number, error=error)
            raise
        self.log.info("routing script {name} is version {number}", name=self.current.name, number=self.current.number)
        return self.current

    def renew(self) -> str:
        """Reload, and say what has come of it."""
        return f"version {self.reload().number}"

    def rollback(self, number: int = 0) -> Version:
        """Go back to a version, as it was loaded.

        Args:
            number: 0 for the one before the current one.

        Raises:
            ConfigError: there is none, or it can't start any more; nothing has changed.
        """
        before = [version for version in self._kept if (version.number == number if number else version.number < self.current.number)]
        if not before:
            kept = ", ".join(str(version.number) for version in self._kept)
            raise ConfigError(f"there is no {f'version {number}' if number else 'earlier version'} of the routing script: {kept} are kept")
        version = before[-1]
        assemble(self._core, version.script, version.stages)
        self.current = version
        self.log.warn("routing script {name} is version {number} again", name=version.name, number=version.number)
        return version

    def _load(self) -> Version:
        found = self._read()
        assemble(self._core, *found)
        return self._numbered(found)

    def _numbered(self, found: Loaded) -> Version:
        script, stages = found
        self._last += 1
        version = Version(self._last, self._core.clock(), script, tuple(stages))
        self._kept = [*self._kept[-(MOST_KEPT - 1) :], version]
        return version
