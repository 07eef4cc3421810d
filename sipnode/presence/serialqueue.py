"""One job after another for each name, side by side for different names.

The invariant: a job of a name starts when the one before it has ended, well or not; where nothing waits, it runs at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred


class SerialQueue:
    """Queues by name; a name without jobs costs nothing."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[tuple[Callable[[], Any], Deferred[Any]]]] = {}

    def run(self, name: Hashable, job: Callable[[], Any]) -> Any:
        """Run a job when those before it have ended.

        Returns:
            The job's result when it was at hand at once, else a Deferred of it.
        """
        queue = self._waiting.get(name)
        if queue is not None:
            turn: Deferred[Any] = Deferred()
            queue.append((job, turn))
            return turn
        result = job()
        if not isinstance(result, Deferred) or result.called:
            return result
        self._waiting[name] = deque()
        return result.addBoth(self._ended, name)

    def _ended(self, result: Any, name: Hashable) -> Any:
        queue = self._waiting[name]
        if not queue:
            del self._waiting[name]
            return result
        job, turn = queue.popleft()
        maybeDeferred(job).addBoth(self._ended, name).chainDeferred(turn)
        return result
