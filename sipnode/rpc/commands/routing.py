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
    script: str
    setting: str
    stages: list[str]


class RoutingCommands:
    """routing.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("routing.script")
    def script(self) -> Script:
        """The class of the routing script, and its stages in order."""
        made = type(self._parts.core.script)
        name = f"{made.__module__}.{made.__qualname__}"
        return Script(script=name, setting=self._parts.settings.routing.script, stages=list(self._parts.core.engine.names))

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
        """What happened how often since the start."""
        return dict(sorted(self._parts.core.counters.items()))

    @rpc("routing.reload", changes=True)
    def reload(self) -> Script:
        """Read the routing script anew: requests from now on go by it; one that is at fault changes nothing."""
        try:
            self._parts.reload_script()
        except ConfigError as error:
            raise RpcError(500, str(error)) from None
        return self.script()


def _source(script: object, name: str) -> str:
    for made in type(script).__mro__:
        if name in made.__dict__:
            return f"{made.__module__}.{made.__qualname__}"
    return "plugin"
