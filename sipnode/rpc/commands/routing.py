"""routing.*: the routing script and its stages; what Kamailio's app_* modules call reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from sipnode.errors import ConfigError, RpcError
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class Stage(TypedDict):
    name: str
    methods: list[str]
    source: str


class Script(TypedDict):
    version: int
    script: str
    setting: str
    stages: list[str]


class Version(TypedDict):
    version: int
    script: str
    loaded: int
    current: bool


class RoutingCommands:
    """routing.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("routing.script")
    def script(self) -> Script:
        """The routing script: which version of it routes, its class, and its stages in order."""
        current, parts = self._parts.scripts.current, self._parts
        return Script(
            version=current.number, script=current.name, setting=parts.settings.routing.script, stages=list(parts.core.engine.names)
        )

    @rpc("routing.versions")
    def versions(self) -> list[Version]:
        """The versions of the routing script that ``routing.rollback`` can go back to, oldest first; ``loaded`` is in epoch seconds."""
        scripts = self._parts.scripts
        return [
            Version(version=one.number, script=one.name, loaded=int(one.loaded), current=one is scripts.current) for one in scripts.list()
        ]

    @rpc("routing.stages")
    def stages(self) -> list[Stage]:
        """The stages in order.

        ``methods`` is empty for one that meets all; ``source`` is the class that it comes from, or ``plugin``.
        """
        core = self._parts.core
        return [
            Stage(name=name, methods=sorted(core.engine.methods[name]), source=_source(core.script, name)) for name in core.engine.names
        ]

    @rpc("routing.counters")
    def counters(self) -> dict[str, int]:
        """Counts of events since the start."""
        return dict(sorted(self._parts.core.counters.items()))

    @rpc("routing.reload", changes=True)
    def reload(self) -> Script:
        """Read the routing script anew, as a version of its own: requests from now on go by it, those that have begun keep theirs.

        One that is at fault is told with file, line and reason, and changes nothing.
        """
        try:
            self._parts.scripts.reload()
        except ConfigError as error:
            raise RpcError(500, str(error)) from None
        return self.script()

    @rpc("routing.rollback", changes=True)
    def rollback(self, version: int = 0) -> Script:
        """Go back to a version of the routing script as it was loaded, whatever its file says now; 0 for the one before."""
        try:
            self._parts.scripts.rollback(version)
        except ConfigError as error:
            raise RpcError(404, str(error)) from None
        return self.script()


def _source(script: object, name: str) -> str:
    for made in type(script).__mro__:
        if name in made.__dict__:
            return f"{made.__module__}.{made.__qualname__}"
    return "plugin"
