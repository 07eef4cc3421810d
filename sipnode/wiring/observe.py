"""Wiring of what is seen of the server: the life of calls, hostile input summed up, metrics and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode.observe.life import CallLog
from sipnode.observe.summary import HostileSummary

if TYPE_CHECKING:
    from sipnode.routing.core import Core
    from sipnode.settings import Settings


def add_observation(root: Any, core: Core) -> None:
    """Who watches the server; they become children of ``root``."""
    calls = CallLog(core.reactor, core.settings.log.calls)
    core.logs.calls = calls
    core.dialogs.on_change(calls.changed)
    set_mode(core, calls.mode)
    for service in (calls, HostileSummary(core.reactor, lambda: core.counters)):
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
