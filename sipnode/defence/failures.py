"""How often something failed lately, by key. Pure: the time is given.

The invariant: at most ``most`` keys; the least recently counted is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class FailureCounter:
    """Failures of each key within a window that begins with the first of them.

    Args:
        most: Keys that are remembered.
        seconds: Length of the window.
    """

    __slots__ = ("_entries", "_most", "seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self.seconds = seconds
        self._entries: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: Hashable, now: float) -> int:
        """Count one more; how many there were in the present window."""
        since, count = self._entries.pop(key, (now, 0))
        if not 0 <= now - since < self.seconds:
            since, count = now, 0
        count += 1
        self._entries[key] = (since, count)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return count

    def count(self, key: Hashable, now: float) -> int:
        """How many there were in the present window."""
        since, count = self._entries.get(key, (now, 0))
        return count if 0 <= now - since < self.seconds else 0

    def forget(self, key: Hashable) -> None:
        """It's all right again."""
        self._entries.pop(key, None)
