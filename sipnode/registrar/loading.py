"""The location table on its way into memory, and the service meanwhile.

The invariant: an address is *known* when memory holds all its rows, and from then on memory is the truth of it: no row that
the load brings later replaces what this run has written, and none comes back that was deleted meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.errors import StorageError
from sipnode.registrar.location import interned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from sipnode.interfaces import ILocationBackend
    from sipnode.records import Binding

_AT_ONCE: Final = 1000
_REPORT_EVERY: Final = 100_000
_LONGEST_DELAY: Final = 30.0


class Loading:
    """Reads the table once, and single addresses before their turn.

    Args:
        backend: The table on disk.
        clock: Gives delayed calls.
        take: Called with rows of addresses that memory doesn't know yet, those of one address together or in several calls.
        done: Called when all rows are in memory.
    """

    def __init__(
        self,
        backend: ILocationBackend,
        clock: IReactorTime,
        take: Callable[[Sequence[Binding]], None],
        done: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._take = take
        self._done = done
        self._known: set[str] = set()
        self._deleted: set[str] = set()
        self._asked: dict[str, list[Deferred[None]]] = {}
        self._later: IDelayedCall | None = None
        self._running = False
        self._count = 0
        self._log = Logger()

    def start(self) -> None:
        """Read everything, and try again where that fails."""
        self._running = True
        self._load(1.0)

    def stop(self) -> None:
        """Read no further; who waits for an address is told that nothing will come."""
        self._running = False
        for aor in list(self._asked):
            self._give_up(aor, "it is being stopped")
        if self._later is not None and self._later.active():
            self._later.cancel()

    def ask(self, aor: str) -> Deferred[None] | None:
        """Have one address read now.

        Returns:
            None when it is known; else fires when it is, and fails with StorageError when it can't be read.
        """
        if aor in self._known:
            return None
        waiter: Deferred[None] = Deferred()
        waiters = self._asked.get(aor)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        self._asked[aor] = [waiter]
        self._backend.fetch(aor).addCallbacks(self._fetched, self._not_fetched, (aor,), errbackArgs=(aor,))
        return waiter

    def deleted(self, ruids: Sequence[str]) -> None:
        """Somebody else deleted these rows: those that are on their way here are old."""
        self._deleted.update(ruids)

    def _fetched(self, rows: Sequence[Binding], aor: str) -> None:
        if aor in self._asked:
            self._take(self._fresh(rows))
            self._known.add(aor)
            self._answer(aor)

    def _not_fetched(self, failure: Failure, aor: str) -> None:
        self._give_up(aor, failure.getErrorMessage())

    def _answer(self, aor: str) -> None:
        for waiter in self._asked.pop(aor):
            waiter.callback(None)

    def _give_up(self, aor: str, reason: str) -> None:
        for waiter in self._asked.pop(aor, ()):
            waiter.errback(StorageError(reason))

    def _fresh(self, rows: Sequence[Binding]) -> Sequence[Binding]:
        known, deleted = self._known, self._deleted
        return interned([row for row in rows if row.aor not in known and row.ruid not in deleted])

    # -- the whole table

    def _load(self, delay: float) -> None:
        self._count = 0
        loading = self._backend.load(self._rows)
        loading.addCallbacks(lambda _: self._loaded(), self._load_failed, errbackArgs=(delay,))
        loading.addErrback(lambda failure: self._log.failure("location table", failure))

    def _load_failed(self, failure: Failure, delay: float) -> None:
        self._log.error("the location table can't be read, next try in {delay} s: {reason}", delay=delay, reason=failure.value)
        if self._running:
            self._later = self._clock.callLater(delay, self._load, min(delay * 2, _LONGEST_DELAY))

    def _rows(self, rows: Sequence[Binding]) -> Deferred[None]:
        """Take some rows in and let the reactor breathe."""
        if not self._running:
            return Deferred()
        before = self._count // _REPORT_EVERY
        self._count += len(rows)
        self._take(self._fresh(rows))
        if self._count // _REPORT_EVERY > before:
            self._log.info("{count} rows of the location table are read", count=self._count)
        if len(rows) < _AT_ONCE:
            return succeed(None)
        breath: Deferred[None] = Deferred()
        self._later = self._clock.callLater(0, breath.callback, None)
        return breath

    def _loaded(self) -> None:
        if self._running:
            self._running = False
            self._known.clear()
            self._deleted.clear()
            if self._count >= _REPORT_EVERY:
                self._log.info("the location table is read: {count} rows", count=self._count)
            self._done()
            # Memory has all rows: nobody needs to wait for a question of its own any more.
            for aor in list(self._asked):
                self._answer(aor)
