"""Group commit: what comes while a commit is on its way, and under load the changes of a few milliseconds, become one transaction, and
each caller learns when its own is on disk.

Invariant: batches reach the backend one after the other, in the order of :meth:`GroupCommitWriter.put`; a Deferred of ``put``
fires when its batch is committed, or fails with its batch and no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from sipnode.errors import StorageBusy, StorageError
from sipnode.interfaces import ILocationBackend, ILocationWriter
from sipnode.records import LocationChange
from sipnode.settings import LocationSettings

# A disk that doesn't answer: callers are told, the batch stays the backend's.
ANSWER_SECONDS: Final = 10.0
# Rows of one transaction: more would hold the reactor up while they are written down for the database, and while all are answered.
_LARGEST: Final = 300


@implementer(ILocationWriter)
class GroupCommitWriter:
    """Collects changes while a batch is being committed, or for ``batch_seconds`` when none is.

    Args:
        backend: Has ``write(changes)``, one transaction each.
        clock: For the window and the limit.
        settings: ``batch_seconds`` and ``queue``.
        answer_seconds: After so long callers of a batch are told that the store doesn't answer.
        eager: What comes after a rest as long as the window doesn't wait for others. Where changes are few, each then costs one wake-up
            less; where they are many, all but the first wait as ever.

    Attributes:
        is_load: Whether others are to be expected within the window, so that waiting for them is worth it.
    """

    def __init__(
        self,
        backend: ILocationBackend,
        clock: IReactorTime,
        settings: LocationSettings,
        answer_seconds: float = ANSWER_SECONDS,
        eager: bool = False,
    ) -> None:
        self.is_load: Callable[[], bool] = lambda: True
        self._backend = backend
        self._clock = clock
        self._window = settings.batch_seconds
        self._queue = settings.queue
        self._answer_seconds = answer_seconds
        self._eager = eager
        self._begun = 0.0
        self._puts: deque[tuple[list[LocationChange], Deferred[None]]] = deque()
        self._queued = 0
        self._in_flight: int = 0
        self._busy = False
        self._timer: IDelayedCall | None = None
        self._draining: list[Deferred[None]] = []
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Changes that aren't on disk yet."""
        return self._queued + self._in_flight

    def put(self, changes: list[LocationChange]) -> Deferred[None]:
        """Write them, all in one transaction.

        Returns:
            A Deferred that fires when they are on disk; it fails at once with StorageBusy when the queue is full, and with
            StorageError when the batch failed, or after :meth:`drain`.
        """
        if self._stopped:
            return fail(StorageError("the store is being closed"))
        if not changes:
            return succeed(None)
        if self.waiting + len(changes) > self._queue:
            return fail(StorageBusy(f"{self.waiting} changes wait for the store"))
        done: Deferred[None] = Deferred()
        self._puts.append((changes, done))
        self._queued += len(changes)
        if self._timer is None and not self._busy:
            at_once = not self.is_load() or (self._eager and self._clock.seconds() - self._begun >= self._window)
            self._timer = self._clock.callLater(0 if at_once else self._window, self._flush)
        return done

    def hurry(self) -> None:
        """Commit what is there without waiting for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def drain(self) -> Deferred[None]:
        """Take nothing more and commit what is there; fires when the last batch is done, well or not."""
        self._stopped = True
        if not self._busy and not self._puts:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._draining.append(done)
        if not self._busy:
            if self._timer is not None:
                self._timer.cancel()
            self._flush()
        return done

    def _flush(self) -> None:
        self._timer = None
        if self._eager:
            self._begun = self._clock.seconds()
        changes: list[LocationChange] = []
        waiters: list[Deferred[None]] = []
        while self._puts and len(changes) < _LARGEST:
            put, waiter = self._puts.popleft()
            changes += put
            waiters.append(waiter)
        self._queued -= len(changes)
        self._in_flight = len(changes)
        self._busy = True
        limit = self._clock.callLater(self._answer_seconds, self._tell, waiters)
        maybeDeferred(self._backend.write, changes).addBoth(self._committed, waiters, limit)

    def _tell(self, waiters: list[Deferred[None]]) -> None:
        late, waiters[:] = list(waiters), []
        for waiter in late:
            waiter.errback(StorageError(f"the store didn't answer within {self._answer_seconds:g} s"))

    def _committed(self, result: Failure | None, waiters: list[Deferred[None]], limit: IDelayedCall) -> None:
        if limit.active():
            limit.cancel()
        self._in_flight = 0
        self._busy = False
        # The next batch goes first: what callers do now must not hold it up.
        if self._puts:
            self._flush()
        if isinstance(result, Failure):
            reason = result.value
            for waiter in waiters:
                waiter.errback(reason if isinstance(reason, StorageError) else StorageError(f"a write failed: {reason}"))
        else:
            for waiter in waiters:
                waiter.callback(None)
        if not self._busy:
            finished, self._draining = self._draining, []
            for done in finished:
                done.callback(None)
