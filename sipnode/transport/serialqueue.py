"""Work that can wait is done piece by piece, one in each turn of the reactor, so that messages of others pass in between.

Invariant: the order is that of asking, and there is at most one delayed call however much waits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class SerialQueue:
    """The queue.

    Args:
        clock: ``IReactorTime``.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, work: Callable[[], object]) -> None:
        """Do it when those before it are done, not before the next turn."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._clock.callLater(0, self._next)

    def _next(self) -> None:
        work = self._waiting.popleft()
        if self._waiting:
            self._clock.callLater(0, self._next)
        work()
