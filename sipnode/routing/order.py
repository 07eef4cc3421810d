"""The entries of a request route, and where a plugin's stage stands among them: computed from the neighbours that it declares.

Pure. A stage that can't be placed stops the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sipnode.errors import ConfigError


class on(str):
    """A stage that some methods meet and others don't: ``on("PUBLISH SUBSCRIBE", "presence")``.

    It is the stage's name, and the methods stand in the route and not on the method: so a stage that is overridden keeps them.

    Args:
        methods: With spaces between them.
        name: Of the stage.

    Attributes:
        methods: As a set.

    Raises:
        ValueError: no method, or no name.
    """

    methods: frozenset[str]

    def __new__(cls, methods: str, name: str) -> on:
        """Make it."""
        wanted = frozenset(methods.split())
        if not wanted or not name:
            raise ValueError(f"on({methods!r}, {name!r}) has to say for which methods which stage is")
        made = super().__new__(cls, name)
        made.methods = wanted
        return made


class Placed(Protocol):
    """Of a stage, what it takes to place it."""

    @property
    def name(self) -> str:
        """Its name in the route."""

    @property
    def after(self) -> tuple[str, ...]:
        """Stages that come before it."""

    @property
    def before(self) -> tuple[str, ...]:
        """Stages that come after it."""


def methods_of(entry: str) -> frozenset[str]:
    """The methods that an entry of a route is for; none for all."""
    return entry.methods if isinstance(entry, on) else frozenset()


def place(route: Sequence[str], stages: Iterable[Placed]) -> list[str]:
    """The request route with plugin stages in their places.

    Args:
        route: Stage names in order.
        stages: Providers of IRequestStage, in the order of the configuration.

    Returns:
        All names in order, those of the route as they came. A stage stands right behind the last of its ``after``, or right before the
        first of its ``before``.

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
