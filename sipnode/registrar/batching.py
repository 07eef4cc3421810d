"""REGISTERs are handled at once while they are few, and under load those of a few milliseconds in one go.

An interpreter that wakes up for one message at a time finds the processor's caches cold: the same REGISTER costs a third when it comes
right behind another one, and all of a burst share one commit. But who waits for others that don't come has waited for nothing, and a
client that sends its next one when it has its answer is only slowed down. So it is tried out: where a window of handling at once has seen
many, one of collecting follows, and only where that brings as many do they go on; now and then it is tried anew.

The invariant: messages of one connection are handled in the order in which they came, none waits for longer than ``seconds``, and no
more than :data:`MOST` wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.application.service import Service

from sipnode.base.flow import Flow, MessageSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOST: Final = 24
FEW: Final = 4
"""Fewer of a window aren't worth a wait."""
REVIEW_SECONDS: Final = 1.0
"""From a trial that brought nothing to the next."""
LOAD_SECONDS: Final = 10.0
"""From a trial that brought something to the next."""
_LIKE: Final = 0.7
"""The share of the immediate cost that collecting may cost at most to be worth it, since windows vary."""
_REGISTER: Final = b"REGISTER "
_LENGTH: Final = len(_REGISTER)


class Batching(MessageSink, Service):
    """A message sink before another.

    Args:
        inner: Who gets the messages.
        clock: Gives delayed calls.
        seconds: A window: how long the first of a burst waits for others; 0: not at all.

    Attributes:
        after: Called behind each burst, or single one.
        collecting: Whether there is load, so that who comes waits for others.
    """

    name = "batching"

    def __init__(self, inner: MessageSink, clock: IReactorTime, seconds: float) -> None:
        self.after: Callable[[], None] = lambda: None
        self._inner = inner
        self._deliver = inner.received
        self._clock = clock
        self._seconds = seconds
        self._waiting: list[tuple[bytes, Flow]] = []
        self._timer: IDelayedCall | None = None
        self.collecting = False
        self._began = 0.0
        self._handled = 0
        self._wanted = 0.0
        self._review_at = 0.0

    def received(self, data: bytes, flow: Flow) -> None:
        """One message."""
        waiting = self._waiting
        if data[:_LENGTH] == _REGISTER and self._seconds and self.running:
            now = self._clock.seconds()
            if not self.collecting and not self._is_load(now):
                self._deliver(data, flow)
                self.after()
                return
            waiting.append((data, flow))
            if len(waiting) == 1:
                self._began = now
                self._timer = self._clock.callLater(self._seconds, self._due)
            elif len(waiting) >= MOST:
                self._judge(now)
                self.flush()
            return
        if waiting and flow.reliable:
            self._before(flow)
        self._deliver(data, flow)

    def _is_load(self, now: float) -> bool:
        """Count one that is to be handled at once; whether a window that has just ended saw so many that collecting is worth a trial."""
        passed = now - self._began
        if 0.0 <= passed < self._seconds:
            self._handled += 1
            return False
        seen = self._handled
        self._began, self._handled = now, 1
        if seen < FEW or passed > 2 * self._seconds or now < self._review_at:
            return False
        self.collecting = True
        self._wanted = _LIKE * seen / self._seconds
        self._review_at = now + LOAD_SECONDS
        return True

    def _due(self) -> None:
        self._judge(self._clock.seconds())
        self.flush()

    def _judge(self, now: float) -> None:
        """A burst is whole: whether those that follow are to be collected, too."""
        got = len(self._waiting)
        passed = max(now - self._began, 1e-6)
        few = got < FEW or got / passed < self._wanted
        # From the second one on only few of them end it.
        self._wanted = 0.0
        if few or now >= self._review_at:
            self.collecting = False
            self._handled = 0
            self._began = now
            self._review_at = now + REVIEW_SECONDS if few else 0.0

    def flush(self) -> None:
        """Handle what waits."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        waiting, self._waiting = self._waiting, []
        for data, flow in waiting:
            self._deliver(data, flow)
        if waiting:
            self.after()

    def _before(self, flow: Flow) -> None:
        if any(one is flow for _, one in self._waiting):
            self.flush()

    def stopService(self) -> None:
        """Keep nothing waiting any more."""
        self.collecting = False
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.flush()

    def broken(self, data: bytes, flow: Flow, error: Exception) -> None:
        """A stream lost its frame."""
        self._before(flow)
        self._inner.broken(data, flow, error)

    def opened(self, flow: Flow) -> None:
        """A connection is usable."""
        self._inner.opened(flow)

    def closed(self, flow: Flow, reason: str) -> None:
        """A connection is gone."""
        self._before(flow)
        self._inner.closed(flow, reason)
