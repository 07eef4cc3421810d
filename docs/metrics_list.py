"""Every family of /metrics with its labels, from the collector of a server in memory that has everything once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from sipnode.observe.callhistory import CallHistory
from sipnode.observe.metrics import ServerCollector, Sources
from sipnode.observe.pulse import Pulse
from sipnode.observe.traffic import by_code
from sipnode.testing import World

_SUFFIX = {"counter": "_total", "info": "_info"}


class Family(NamedTuple):
    """One family.

    Attributes:
        name: As Prometheus knows it.
        shown: With its labels.
        kind: counter, gauge, histogram or info.
        text: Its help.
    """

    name: str
    shown: str
    kind: str
    text: str


def metric_families() -> list[Family]:
    """All of them, in their order."""
    world = World()
    world.core.counters["dropped_responses"] = 1
    node: Any = SimpleNamespace(host="192.0.2.50", port=2223, ports=())
    media = SimpleNamespace(nodes=SimpleNamespace(nodes=[node], is_up=lambda one: True))
    calls = CallHistory(world.clock, "none", world.core.tap)
    calls.outcomes["completed"] = 1
    sources = Sources(world.core, "", 0.0, Pulse(world.clock, False), calls, by_code, media=media, queues={"location": lambda: 0})
    found = []
    for family in ServerCollector(sources).collect():
        names: Any = getattr(family, "_labelnames", ())
        labels = "{" + ", ".join(names) + "}" if names else ""
        name = family.name + _SUFFIX.get(family.type, "")
        found.append(Family(name, name + labels, family.type, family.documentation))
    return found
