"""When the branches of a fork ring: some later than others, and some for so long only.

The invariant: no timer outlives the fork, and nothing rings once it has its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from sipnode.proxy.target import Target


class Ringing:
    """Targets that are meant to ring later.

    Args:
        reactor: Delayed calls.
        start: Rings targets now.
    """

    __slots__ = ("_groups", "_limits", "_reactor", "_start")

    def __init__(self, reactor: IReactorTime, start: Callable[[list[Target]], None]) -> None:
        self._reactor = reactor
        self._start = start
        self._groups: list[tuple[IDelayedCall, list[Target]]] = []
        self._limits: list[IDelayedCall] = []

    def __len__(self) -> int:
        return sum(len(targets) for _, targets in self._groups)

    def later(self, seconds: float, targets: list[Target]) -> None:
        """Ring these in so many seconds, or as soon as nothing else rings."""
        group: tuple[IDelayedCall, list[Target]]

        def due() -> None:
            self._groups.remove(group)
            self._start(targets)

        group = (self._reactor.callLater(seconds, due), targets)
        self._groups.append(group)

    def limit(self, seconds: float, ring_out: Callable[[], None]) -> None:
        """Have a branch ring for so long at most."""
        self._limits.append(self._reactor.callLater(seconds, ring_out))

    def first(self) -> list[Target]:
        """Those that would ring next: nothing else rings any more, so their time is now. Empty when there are none."""
        if not self._groups:
            return []
        group = min(self._groups, key=lambda each: each[0].getTime())
        self._groups.remove(group)
        group[0].cancel()
        return group[1]

    def forget(self) -> None:
        """Nothing rings later."""
        for timer, _ in self._groups:
            timer.cancel()
        self._groups.clear()

    def end(self) -> None:
        """The fork is over."""
        self.forget()
        for timer in self._limits:
            if timer.active():
                timer.cancel()
        self._limits.clear()
