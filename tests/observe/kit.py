"""A world that is watched, and its exposition as Prometheus' own parser reads it."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sipnode.observe.callhistory import CallHistory
from sipnode.observe.metrics import Sources, exposition, registry_of
from sipnode.observe.pulse import Pulse
from sipnode.observe.traffic import by_code
from sipnode.testing import World


class Watched:
    """The metrics of a world.

    Attributes:
        sources: Where they come from.
    """

    def __init__(self, world: World, **more: Any) -> None:
        calls = CallHistory(world.clock, "none", world.core.tap)
        pulse = Pulse(world.clock, False)
        self.sources = Sources(world.core, "1.2.3", world.clock.seconds(), pulse, calls, by_code, **more)
        self._registry = registry_of(self.sources)

    def read(self) -> Readings:
        """All numbers now."""
        return Readings(exposition(self._registry).decode())


class Readings:
    """An exposition, read.

    Attributes:
        families: By name: prometheus_client's Metric.
    """

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of a sample, None where there is none."""
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def all(self, name: str, **fixed: str) -> dict[tuple[str, ...], float]:
        """Every sample of that name with these labels, by the values of its others in the order of their names."""
        return {
            tuple(value for label, value in sorted(sample.labels.items()) if label not in fixed): sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and fixed.items() <= sample.labels.items()
        }
