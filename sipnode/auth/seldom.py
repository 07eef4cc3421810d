"""Once in a while for each key: what keeps a line of the log from becoming one for each message. Pure: no clock."""

from __future__ import annotations


class Seldom:
    """Says whether something was not told lately.

    Args:
        seconds: How long one telling serves.
        most: Keys that are remembered; while as many are, news of others isn't told.

    Attributes:
        untold: What was left out for that, since the start.
    """

    __slots__ = ("_most", "_seconds", "_told", "untold")

    def __init__(self, seconds: float = 10.0, most: int = 1000) -> None:
        self._seconds = seconds
        self._most = most
        self._told: dict[tuple[str, str], float] = {}
        self.untold = 0

    def may(self, key: tuple[str, str], now: float) -> bool:
        """Whether to tell it now; ``now`` in epoch seconds."""
        told = self._told
        before = now - self._seconds
        # In the order of telling, so that what is over stands in front.
        for _ in range(2):
            first = next(iter(told), None)
            if first is not None and told[first] <= before:
                del told[first]
        if key in told and told[key] > before:
            return False
        if len(told) >= self._most:
            self.untold += 1
            return False
        told.pop(key, None)
        told[key] = now
        return True
