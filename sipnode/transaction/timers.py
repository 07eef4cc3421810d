"""Timers of RFC 3261 table 4 and RFC 6026, and the wheel that holds them.

One entry a transaction stands in the wheel, not one a timer: cancelling is done by not caring when it comes up.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Protocol

TICK: Final = 0.05
"""Seconds of one slot of the wheel."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. A: t1 doubling; B: timeout; C: invite_timeout; D: timeout (0 on reliable transports); E: t1 doubling to
    t2; F: timeout; G: t1 doubling to t2; H: timeout; I: t4 (0); J: timeout (0); K: t4 (0); L, M: timeout.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    timeout: float = 32.0
    invite_timeout: float = 180.0


class Timed(Protocol):
    """An entry of the wheel.

    Attributes:
        wake: Slot that it waits for, -1 for none; an entry that comes up in another slot is stale.
    """

    wake: int

    def due(self) -> float:
        """Epoch seconds of its next timer; 0 for none."""


class TimerWheel:
    """Slots of :data:`TICK` seconds. Pure: whoever owns it asks :meth:`next_wake` and calls :meth:`advance`."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Timed]] = {}
        self._order: list[int] = []

    def add(self, item: Timed, when: float) -> bool:
        """Wake ``item`` at ``when`` (epoch seconds, rounded up to a slot), unless it wakes before already.

        Returns:
            Whether this is now the earliest slot of all.
        """
        slot = int(when / TICK) + 1
        if 0 <= item.wake <= slot:
            return False
        item.wake = slot
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(item)
            return False
        self._slots[slot] = [item]
        heappush(self._order, slot)
        return self._order[0] == slot

    def next_wake(self) -> float:
        """Epoch seconds of the earliest slot; 0 when the wheel is empty."""
        return self._order[0] * TICK if self._order else 0.0

    def advance(self, now: float) -> list[Timed]:
        """Take out everything whose time has come. Items that have a later timer are put back by the caller."""
        ready: list[Timed] = []
        # Compared as next_wake() gives it, so that being called at that very time is enough.
        while self._order and self._order[0] * TICK <= now:
            slot = heappop(self._order)
            for item in self._slots.pop(slot):
                if item.wake == slot:
                    item.wake = -1
                    ready.append(item)
        return ready

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots.values())
