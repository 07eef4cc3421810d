"""Is there more to do than this process can? By how late the reactor is. Pure: the lags are given.

The invariant: one long pause isn't overload; what lasts is, and it ends only when the lag has been small for as long.
"""

from __future__ import annotations


class OverloadMeter:
    """Turns lags into a state.

    Args:
        limit: Seconds of lag that are too many; 0 for never.
        lasting: Seconds for which they have to be.

    Attributes:
        lag: The last one, seconds.
        worst: The largest since the start.
        overloaded: The state.
        times: How often it became overloaded.
    """

    def __init__(self, limit: float, lasting: float) -> None:
        self.limit = limit
        self.lasting = lasting
        self.lag = 0.0
        self.worst = 0.0
        self.overloaded = False
        self.times = 0
        self._since: float | None = None

    def feed(self, lag: float, now: float) -> bool:
        """One measurement; whether the state changed."""
        self.lag = lag = max(0.0, lag)
        self.worst = max(self.worst, lag)
        # Below half of the limit it has recovered; in between all stays as it is.
        turning = self.limit > 0 and (lag < self.limit / 2 if self.overloaded else lag >= self.limit)
        if self.overloaded and self.limit <= 0:
            turning = True
        if not turning:
            self._since = None
            return False
        if self._since is None:
            self._since = now
            return False
        if now - self._since < self.lasting:
            return False
        self._since = None
        self.overloaded = not self.overloaded
        self.times += self.overloaded
        return True
