"""REGISTERs of a few milliseconds are handled in one go.

An interpreter that wakes up for one message at a time finds the processor's caches cold: the same REGISTER costs a third when it comes
right behind another one. Nobody waits at the other end of it as a caller does, and its 200 waits for a commit anyhow, which all of a
burst then share.

The invariant: messages of one connection are handled in the order in which they came, none waits for longer than ``seconds``, and no
more than :data:`MOST` wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from zope.interface import implementer

from sipnode.interfaces import IMessageSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOST: Final = 24
_REGISTER: Final = b"REGISTER "
_LENGTH: Final = len(_REGISTER)


@implementer(IMessageSink)
class Bursts(Service):
    """A message sink before another.

    Args:
        inner: Who gets the messages.
        clock: Gives delayed calls.
        seconds: How long the first of a burst waits for others; 0: not at all.

    Attributes:
        after: Called behind each burst.
    """

    name = "bursts"

    def __init__(self, inner: Any, clock: IReactorTime, seconds: float) -> None:
        self.after: Callable[[], None] = lambda: None
        self._inner = inner
        self._deliver = inner.received
        self._clock = clock
        self._seconds = seconds
        self._waiting: list[tuple[bytes, Any]] = []
        self._timer: IDelayedCall | None = None

    def received(self, data: bytes, flow: Any) -> None:
        """One message."""
        waiting = self._waiting
        if data[:_LENGTH] == _REGISTER and self._seconds and self.running:
            waiting.append((data, flow))
            if len(waiting) == 1:
                self._timer = self._clock.callLater(self._seconds, self.flush)
            elif len(waiting) >= MOST:
                self.flush()
            return
        if waiting and flow.reliable:
            self._before(flow)
        self._deliver(data, flow)

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

    def _before(self, flow: Any) -> None:
        if any(one is flow for _, one in self._waiting):
            self.flush()

    def stopService(self) -> None:
        """Keep nothing waiting any more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self.flush()

    def broken(self, data: bytes, flow: Any, error: Exception) -> None:
        """A stream lost its frame."""
        self._before(flow)
        self._inner.broken(data, flow, error)

    def opened(self, flow: Any) -> None:
        """A connection is usable."""
        self._inner.opened(flow)

    def closed(self, flow: Any, reason: str) -> None:
        """A connection is gone."""
        self._before(flow)
        self._inner.closed(flow, reason)
