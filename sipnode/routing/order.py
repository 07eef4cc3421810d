"""Where a plugin's stage stands among the others: computed from the neighbours that it declares.

Pure. A stage that can't be placed stops the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sipnode.errors import ConfigError


def place(route: Sequence[str], stages: Iterable[Any]) -> list[str]:
    """The request route with plugin stages in their places.

    Args:
        route: Stage names in order.
        stages: Providers of IRequestStage, in the order of the configuration.

    Returns:
        All names in order. A stage stands right behind the last of its ``after``, or right before the first of its
        ``before``.

    Raises:
        ConfigError: a neighbour that doesn't exist, a name that is taken, or neighbours that contradict.
    """
    names = list(route)
    for stage in stages:
        name = stage.name
        if name in names:
            raise ConfigError(f"stage {name!r} has the name of another stage", key="routing.stages")
        unknown = [n for n in (*stage.after, *stage.before) if n not in names]
        if unknown:
            raise ConfigError(f"stage {name!r} wants to stand beside {', '.join(unknown)}, which doesn't exist", key="routing.stages")
        if not stage.after and not stage.before:
            raise ConfigError(f"stage {name!r} doesn't say where it stands (after or before)", key="routing.stages")
        low = max((names.index(n) + 1 for n in stage.after), default=0)
        high = min((names.index(n) for n in stage.before), default=len(names))
        if low > high:
            raise ConfigError(f"stage {name!r} can't stand after {stage.after} and before {stage.before}", key="routing.stages")
        names.insert(low if stage.after else high, name)
    return names
