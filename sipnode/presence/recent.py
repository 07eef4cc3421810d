"""Calls that ended just now and are still told as ended. Pure.

The invariant: nothing is kept longer than :data:`SECONDS`, and never more than :data:`MOST`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SECONDS: Final = 10.0
"""A NOTIFY that waits for its turn goes out in less; whoever asks later is told the state without what has ended."""
MOST: Final = 1000


class Recent(Generic[T]):
    """Things that ended, by the address-of-record that they were of."""

    def __init__(self) -> None:
        self._order: deque[tuple[float, str]] = deque()
        self._by_aor: dict[str, deque[T]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, aor: str, ended: T, now: float) -> None:
        """Something of an address-of-record has ended."""
        self.prune(now if len(self._order) < MOST else self._order[0][0] + SECONDS)
        self._order.append((now, aor))
        self._by_aor.setdefault(aor, deque()).append(ended)

    def of(self, aor: str, now: float) -> list[T]:
        """Ended calls of an address-of-record, oldest first."""
        self.prune(now)
        return list(self._by_aor.get(aor, ()))

    def prune(self, now: float) -> None:
        """Forget what ended too long ago."""
        while self._order and self._order[0][0] + SECONDS <= now:
            _, aor = self._order.popleft()
            there = self._by_aor[aor]
            there.popleft()
            if not there:
                del self._by_aor[aor]
