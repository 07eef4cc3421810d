"""The script and the stages of a server put together: names from the script, places from the plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from sipnode.errors import ConfigError
from sipnode.routing import mistyped
from sipnode.routing.core import Core
from sipnode.routing.engine import Engine, Stage
from sipnode.routing.order import on, place
from sipnode.routing.role import Script
from sipnode.routing.script import RoutingScript

if TYPE_CHECKING:
    from sipnode.interfaces import IRequestStage

_OURS: Final = {str(entry): entry for entry in RoutingScript.REQUEST_ROUTE}


def made(core: Core, script: type[RoutingScript] | None = None, stages: Sequence[IRequestStage] = ()) -> tuple[RoutingScript, Engine]:
    """A script for a core, with the engine that runs it; not begun yet.

    Args:
        script: Class of the routing script; None for that of the package.
        stages: In the order of the configuration.

    Raises:
        ConfigError: a stage that doesn't exist or can't be placed, a method of the script that nothing would call, a script that can't be
            made.
    """
    kind = script or RoutingScript
    names = place(kind.REQUEST_ROUTE, stages)
    if kind is not RoutingScript:
        mistyped.check(kind, RoutingScript, names)
    try:
        policy = kind(core)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{kind.__name__} can't be made: {type(error).__name__}: {error}", key="routing.script") from error
    return policy, Engine(_route(policy, names, stages))


def assemble(core: Core, script: type[RoutingScript] | None = None, stages: Sequence[IRequestStage] = ()) -> None:
    """Give a core another script, with its engine: both or, where anything is wrong with them, neither. See :func:`made`.

    Raises:
        ConfigError: as there, or it doesn't want to start.
    """
    before = core.script
    policy, engine = made(core, script, stages)
    if before.running:
        begin(policy)
    core.use(policy, engine)
    if before.running:
        before.end()


def begin(script: Script) -> None:
    """Start a script.

    Raises:
        ConfigError: it doesn't want to.
    """
    try:
        script.begin()
    except Exception as error:
        script.end()
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"started() of {type(script).__name__}: {type(error).__name__}: {error}", key="routing.script") from error


def _route(script: RoutingScript, names: Sequence[str], stages: Sequence[IRequestStage]) -> list[tuple[str, Stage]]:
    by_name: dict[str, IRequestStage] = {stage.name: stage for stage in stages}
    route: list[tuple[str, Stage]] = []
    for name in names:
        plugin = by_name.get(name)
        if plugin is not None:
            route.append((on(" ".join(plugin.methods), name) if plugin.methods is not None else name, plugin.process))
            continue
        stage = getattr(script, name, None)
        if stage is None:
            raise ConfigError(f"{type(script).__name__} has no stage {str(name)!r}", key="routing.script")
        # A route of a site's own may name a stage of ours without its methods; it has them all the same.
        route.append((name if isinstance(name, on) else _OURS.get(name, name), stage))
    return route


class ScriptService(Service):
    """Starts the script with the server and ends it with it.

    Args:
        core: Has it.
    """

    name = "script"

    def __init__(self, core: Core) -> None:
        self._core = core

    def startService(self) -> None:
        """Start.

        Raises:
            ConfigError: the script doesn't want to.
        """
        begin(self._core.script)
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated

    def stopService(self) -> Deferred[None]:
        """End."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        script = self._core.script
        ended = script.end() if script.running else succeed(None)
        return ended.addCallback(lambda _: self._core.http.close())
