"""Changes that are answered already and wait for the disk: all of them with ``db_mode`` 2, those of an outage with
``on_outage = accept``.

The invariant: of each row the newest change waits, ``limit`` rows at most; a change leaves when it is on disk, and nothing
is written behind it that is older.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipnode.interfaces import ILocationWriter
    from sipnode.records import LocationChange

_CHUNK: Final = 500
_TRIES: Final = 5


class Backlog:
    """The changes that wait.

    Args:
        writer: Takes it in the end.
        limit: Most rows.
        degraded: Why the store takes no writes now, "" when it does.
        seconds: Between two times of writing.
    """

    def __init__(self, writer: ILocationWriter, limit: int, degraded: Callable[[], str], seconds: float) -> None:
        self._writer = writer
        self._limit = limit
        self._degraded = degraded
        self._seconds = seconds
        self._rows: dict[str, LocationChange] = {}
        self._next = 0.0
        self._chunk = _CHUNK
        self._tries = 0
        self._writing = False
        self._draining: list[Deferred[None]] = []
        self._log = Logger()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, ruid: str) -> bool:
        return ruid in self._rows

    def add(self, changes: Sequence[LocationChange], newest: bool = True) -> bool:
        """Take changes.

        Args:
            newest: Nothing that waits is newer; else what waits for a row stays.

        Returns:
            False, and nothing is taken, when there is no room.
        """
        rows = self._rows
        if len(rows) + len(changes) > self._limit and sum(c.binding.ruid not in rows for c in changes) > self._limit - len(rows):
            return False
        for change in changes:
            if newest:
                # At its end, so that a row which changes all the time doesn't hold up the others.
                rows.pop(change.binding.ruid, None)
                rows[change.binding.ruid] = change
            else:
                rows.setdefault(change.binding.ruid, change)
        return True

    def tick(self, now: float) -> None:
        """Write when it is time and the store takes writes."""
        if self._rows and now >= self._next and not self._degraded():
            self._next = now + self._seconds
            self._write()

    def drain(self) -> Deferred[None]:
        """Write all; fires when that is done, or a write has failed."""
        if not self._rows:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._draining.append(done)
        self._write()
        return done

    def _write(self) -> None:
        if self._writing:
            return
        chunk = list(islice(self._rows.values(), self._chunk))
        self._writing = True
        maybeDeferred(self._writer.put, chunk).addCallbacks(self._written, self._failed, (chunk,), errbackArgs=(chunk,))

    def _written(self, _: Any, chunk: list[LocationChange]) -> None:
        self._writing = False
        self._tries, self._chunk = 0, _CHUNK
        for change in chunk:
            if self._rows.get(change.binding.ruid) is change:
                del self._rows[change.binding.ruid]
        if self._rows:
            self._write()
        else:
            self._drained()

    def _failed(self, failure: Any, chunk: list[LocationChange]) -> None:
        self._writing = False
        self._tries = self._tries + 1 if len(chunk) == 1 and not self._degraded() else 0
        if self._tries >= _TRIES:
            # A row that the store will never take must not keep all others waiting.
            (change,) = chunk
            self._log.error("a row of {aor} is given up: {reason}", aor=change.binding.aor, reason=failure.getErrorMessage())
            if self._rows.get(change.binding.ruid) is change:
                del self._rows[change.binding.ruid]
            self._tries = 0
        self._chunk = max(1, self._chunk // 4)
        self._drained()

    def _drained(self) -> None:
        draining, self._draining = self._draining, []
        for done in draining:
            done.callback(None)
