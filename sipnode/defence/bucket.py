"""A token bucket. Pure: the time is given."""

from __future__ import annotations


class Bucket:
    """So many things a second, and so many at once after a rest.

    Attributes:
        rate: Tokens a second.
        burst: Tokens that it holds at most, and at the start.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take so many tokens, if they are there.

        Args:
            now: Seconds of a clock; one that was set back gives nothing and takes nothing.
        """
        tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if tokens < cost:
            self._tokens = tokens
            return False
        self._tokens = tokens - cost
        return True
