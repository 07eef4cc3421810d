"""Names that are to be looked at at a time, with one timer for all of them.

The invariant: a name comes up at its time or after it, of many at once a slice at a time.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

_SLICE: Final = 50


class Agenda:
    """Things to do by their time.

    Args:
        clock: Epoch seconds and delayed calls.
        due: Called with a name whose time has come.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[str], None]) -> None:
        self._clock = clock
        self._due = due
        self._heap: list[tuple[float, str]] = []
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self._stopped = False

    def add(self, when: float, name: str) -> None:
        """Have a name looked at then (epoch seconds)."""
        heapq.heappush(self._heap, (when, name))
        self._set_timer()

    def stop(self) -> None:
        """Nothing comes up any more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _set_timer(self) -> None:
        if not self._heap or self._stopped:
            return
        when = self._heap[0][0]
        if self._timer is not None and self._timer.active():
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._times)

    def _times(self) -> None:
        now = self._clock.seconds()
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(due) < _SLICE:
            due.append(heapq.heappop(self._heap)[1])
        for name in due:
            self._due(name)
        self._set_timer()
