"""How late the reactor is, and how long the garbage collector stops it.

The invariant: it costs one timer each ``LOOK_SECONDS`` and two calls a collection, whatever the load.
"""

from __future__ import annotations

import gc
import time
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

LOOK_SECONDS: Final = 0.2
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """Seconds, or another number, in classes.

    Args:
        bounds: Of the classes, ascending.

    Attributes:
        counts: How many were at most ``bounds[i]`` and more than the bound before; the last is for all that were more.
        total: Sum of all.
    """

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulated, as Prometheus wants them."""
        found, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found


class Pulse(Service):
    """Measures while it runs.

    Args:
        reactor: Clock and delayed calls.
        own_process: The garbage collector is ours to watch.
        seconds: A clock for the length of collections.

    Attributes:
        lag: Of the reactor.
        pauses: Of the garbage collector, by generation.
    """

    name = "pulse"

    def __init__(self, reactor: Any, own_process: bool, seconds: Callable[[], float] = time.perf_counter) -> None:
        self.lag = Histogram()
        self.pauses = (Histogram(), Histogram(), Histogram())
        self._reactor = reactor
        self._seconds = seconds
        self._watches_gc = own_process
        self._began = 0.0
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        if self._watches_gc:
            gc.callbacks.append(self.collected)
        self._next()

    def stopService(self) -> Any:
        """End."""
        if self.collected in gc.callbacks:
            gc.callbacks.remove(self.collected)
        if self._call is not None and self._call.active():
            self._call.cancel()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def _next(self) -> None:
        self._due = self._reactor.seconds() + LOOK_SECONDS
        self._call = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self.lag.add(max(0.0, self._reactor.seconds() - self._due))
        self._next()

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """The garbage collector's callback."""
        if phase == "start":
            self._began = self._seconds()
        elif self._began:
            # A stall that began before the service did is nobody's.
            self.pauses[min(info["generation"], 2)].add(self._seconds() - self._began)
            self._began = 0.0
