"""The script and the stages of a server put together: names from the script, places from the plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sipnode.errors import ConfigError
from sipnode.media.control import MediaControl, Step
from sipnode.routing import mistyped
from sipnode.routing.core import Core
from sipnode.routing.engine import Engine, Stage
from sipnode.routing.natmanage import NatManage
from sipnode.routing.order import on, place
from sipnode.routing.script import RoutingScript

_OURS: Final = {str(entry): entry for entry in RoutingScript.REQUEST_ROUTE}


def assemble(core: Core, script: type[RoutingScript] | None = None, stages: Sequence[Any] = ()) -> None:
    """Make the script and the engine of a core.

    Args:
        script: Class of the routing script; None for that of the package.
        stages: IRequestStage providers, in the order of the configuration.

    Raises:
        ConfigError: a stage that doesn't exist or can't be placed, a method of the script that nothing would call.
    """
    if core.media_control is None:
        # It knows what the relay holds, whatever becomes of the script.
        step: Step = lambda call_id, text, *parts: _step(core, call_id, text, *parts)  # noqa: E731
        core.media_control = MediaControl(core.media, core.settings.media, step, core.counters)
        core.media_policy = NatManage(core)
    by_name = {stage.name: stage for stage in stages}
    if script is not None and script is not RoutingScript:
        mistyped.check(script, RoutingScript, (*script.REQUEST_ROUTE, *by_name))
    made = (script or RoutingScript)(core)
    route: list[tuple[str, Stage]] = []
    for name in place(made.REQUEST_ROUTE, stages):
        plugin = by_name.get(name)
        if plugin is not None:
            route.append((on(" ".join(plugin.methods), name) if plugin.methods is not None else name, plugin.process))
            continue
        stage = getattr(made, name, None)
        if stage is None:
            raise ConfigError(f"{type(made).__name__} has no stage {str(name)!r}", key="routing.script")
        # A route of a site's own may name a stage of ours without its methods; it has them all the same.
        route.append((name if isinstance(name, on) else _OURS.get(name, name), stage))
    core.script = made
    core.engine = Engine(route)


def _step(core: Core, call_id: str, text: str, *parts: object) -> None:
    if core.history is not None:
        core.history.step(call_id, "media", text, *parts)

