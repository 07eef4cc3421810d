"""One timer for thousands of connections: callbacks kept in buckets of one tick.

Idle limits, pings and the limit for partial messages need no precision, but 10,000 reactor timers cost memory and a heap
that is sorted again and again. Invariant: a callback runs not before its time and at most one tick after it; a
cancelled entry holds nothing of its owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable


class WheelTimer:
    """One pending callback."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback

    def cancel(self) -> None:
        """Forget the callback; harmless after it ran."""
        self.callback = None


class Wheel:
    """Coarse timers on one reactor call.

    Args:
        clock: ``IReactorTime``.
        tick: Length of a bucket in seconds.
    """

    _log = Logger()

    def __init__(self, clock: Any, tick: float = 0.5) -> None:
        self._clock = clock
        self._tick = tick
        self._buckets: dict[int, list[WheelTimer]] = {}
        self._next = 0
        self._call: Any = None
        self.seconds: Callable[[], float] = clock.seconds

    def start(self) -> None:
        """Begin to turn."""
        if self._call is None:
            self._next = int(self._clock.seconds() / self._tick)
            self._call = self._clock.callLater(self._tick, self._turn)

    def stop(self) -> None:
        """Stop turning and forget every callback."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._buckets.clear()

    def after(self, seconds: float, callback: Callable[[], None]) -> WheelTimer:
        """Call ``callback`` once, ``seconds`` from now or up to one tick later."""
        timer = WheelTimer(callback)
        slot = int((self._clock.seconds() + seconds) / self._tick) + 1
        self._buckets.setdefault(max(slot, self._next), []).append(timer)
        return timer

    def _turn(self) -> None:
        self._call = self._clock.callLater(self._tick, self._turn)
        now = int(self._clock.seconds() / self._tick)
        while self._next <= now:
            slot = self._next
            self._next += 1
            for timer in self._buckets.pop(slot, ()):
                callback, timer.callback = timer.callback, None
                if callback is not None:
                    try:
                        callback()
                    except Exception:
                        self._log.failure("timer of a connection")
