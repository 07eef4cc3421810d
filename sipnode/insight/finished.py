"""Calls that have ended, handed on a few seconds later, when their last messages and numbers have come too.

The invariant: the end of a call costs an entry in a list; how many wait is bounded, and those that find no room are counted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.application.service import Service
from twisted.logger import Logger

from sipnode.insight.ring import FRESH

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from sipnode.insight.ring import Record

SETTLE: Final = 3.0
"""Seconds: the answer of a refusal leaves after the end, and the relay tells its numbers."""
MOST_WAITING: Final = 10_000
AT_ONCE: Final = 20
"""Calls that are handed on in one turn of the reactor."""
PAUSE: Final = 0.05


class Finished(Service):
    """Calls that have ended.

    Args:
        reactor: Clock.

    Attributes:
        takers: Each is given every record.
        dropped: Calls for which there was no room.
    """

    name = "finished"
    log: ClassVar[Logger] = Logger(namespace="sipnode.insight")

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._waiting: deque[tuple[float, Record]] = deque()
        self._timer: IDelayedCall | None = None
        self.takers: list[Callable[[Record], None]] = []
        self.dropped = 0

    def ended(self, record: Record) -> None:
        """The recorder: a call has. One in which nobody has proved anything, and which went to nobody, is no call that somebody looks for:
        a scanner makes thousands.
        """
        if record.queue == FRESH:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((self._reactor.seconds() + SETTLE, record))
        if self._timer is None:
            self._timer = self._reactor.callLater(SETTLE, self._turn)

    def stopService(self) -> Any:
        """Hand on what waits."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        while self._waiting:
            self._give(self._waiting.popleft()[1])
        return super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated

    def _turn(self) -> None:
        self._timer = None
        now, count = self._reactor.seconds(), 0
        while self._waiting and self._waiting[0][0] <= now and count < AT_ONCE:
            self._give(self._waiting.popleft()[1])
            count += 1
        if self._waiting:
            self._timer = self._reactor.callLater(max(PAUSE, self._waiting[0][0] - now), self._turn)

    def _give(self, record: Record) -> None:
        if not record.events:
            # It had to make room meanwhile.
            return
        for taker in self.takers:
            try:
                taker(record)
            except Exception:
                self.log.failure("a record isn't handed on")
