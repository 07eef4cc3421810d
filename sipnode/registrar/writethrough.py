"""A REGISTER and its way to the disk: wait, give up, take back, answer.

The invariant: each write is answered exactly once, with the plan's own answer after it is on disk (or, where the settings
say so, in the backlog), else with 503; and whatever the disk does later, it ends up as memory is.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.errors import StorageError
from sipnode.records import LocationChange
from sipnode.registrar.commits import Commits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from sipnode.interfaces import ILocationWriter
    from sipnode.records import Binding
    from sipnode.registrar.backlog import Backlog
    from sipnode.registrar.location import LocationTable

RETRY_AFTER: Final = (("retry-after", "5"),)
_DELETE_AT_ONCE: Final = 500
# Some 20 ms of work.
_GIVE_UP_AT_ONCE: Final = 200
_COMPLAIN_EVERY: Final = 60.0


class _Write:
    """One REGISTER under way."""

    __slots__ = ("answer", "changes", "deadline")

    def __init__(self, changes: list[LocationChange], deadline: float) -> None:
        self.changes = changes
        self.deadline = deadline
        self.answer: Deferred[bool] = Deferred()


class WriteThrough:
    """The way of changes to the disk.

    Args:
        writer: Group commit.
        table: The truth in memory.
        is_live: Whether the connection of a token is still there.
        clock: Gives epoch seconds.
        seconds: A write that takes longer is answered with 503. Less than the writer's own limit: a write that the writer
            gave up may get through without anybody being told.
        degraded: Why the store takes no writes now, "" when it does: then nobody is kept waiting for it.
        backlog: Where changes go that are answered before they are on disk; None: there are none such.
        back: All changes go there (``db_mode`` 2), not only those of an outage.
    """

    def __init__(
        self,
        writer: ILocationWriter,
        table: LocationTable,
        is_live: Callable[[str], bool],
        clock: IReactorTime,
        seconds: float,
        degraded: Callable[[], str] = lambda: "",
        backlog: Backlog | None = None,
        back: bool = False,
    ) -> None:
        self._degraded = degraded
        self._backlog = backlog
        self._back = back
        self._writer = writer
        self._table = table
        self._clock = clock
        self._seconds = seconds
        self._commits = Commits(table, is_live)
        self._waiting: dict[int, _Write] = {}
        self._later: IDelayedCall | None = None
        self._complained = -_COMPLAIN_EVERY
        self._log = Logger(namespace="sipnode.registrar")

    @property
    def unwritten(self) -> int:
        """Changes that were answered and aren't on disk yet."""
        return 0 if self._backlog is None else len(self._backlog)

    def write(self, changes: list[LocationChange], before: Sequence[Binding | None]) -> bool | Deferred[bool]:
        """Write changes that memory holds already.

        Args:
            before: What memory held before, for each change.

        Returns:
            Whether they are on disk (or may be answered as if they were); where they aren't, memory is as it was before.
        """
        self._commits.begin(changes, before)
        backlog = self._backlog
        if backlog is not None and (self._back or backlog or self._degraded()):
            accepted = backlog.add(changes)
            self._settle(changes, accepted)
            return accepted
        if self._degraded():
            self._settle(changes, False)
            return False
        write = _Write(changes, self._clock.seconds() + self._seconds)
        self._waiting[id(write)] = write
        answer = write.answer
        try:
            writing = self._writer.put(changes)
        except StorageError as error:
            self._failed(write, error)
        else:
            writing.addCallbacks(lambda _: self._written(write), lambda failure: self._failed(write, failure.value))
        return answer

    def _written(self, write: _Write) -> None:
        if self._waiting.pop(id(write), None) is None:
            return
        self._commits.done(write.changes)
        write.answer.callback(True)

    def _failed(self, write: _Write, reason: BaseException | None) -> None:
        if self._waiting.pop(id(write), None) is None:
            return
        backlog = self._backlog
        # The backlog holds changes that came later than this write.
        accepted = backlog is not None and bool(self._degraded()) and backlog.add(write.changes, newest=False)
        if not accepted:
            self._complain("a REGISTER could not be stored: {reason}", reason)
        self._settle(write.changes, accepted)
        write.answer.callback(accepted)

    def _settle(self, changes: list[LocationChange], accepted: bool) -> None:
        """Memory keeps what was accepted; what was not is taken back."""
        if accepted:
            self._commits.done(changes)
        else:
            self.delete(self._commits.undo(changes))

    def tick(self) -> None:
        """Each second: give up what has taken too long, and write what waits in the backlog."""
        self._overdue()
        if self._backlog is not None:
            self._backlog.tick(self._clock.seconds())

    def _overdue(self) -> None:
        """Give up writes that have taken too long, some at a time, for all of a frozen store's may be due at once. They may get through
        yet, so what memory holds now is put behind them.
        """
        now = self._clock.seconds()
        if self._degraded():
            # Nobody needs to wait for a store that is known to be away.
            now += self._seconds
        due = [write for write in islice(self._waiting.values(), _GIVE_UP_AT_ONCE) if write.deadline <= now]
        for write in due:
            self._failed(write, StorageError("no answer of the store in time"))
            truth = []
            for change in write.changes:
                binding = self._table.get(change.binding.aor, change.binding.ruid)
                truth.append(LocationChange(change.binding, delete=True) if binding is None else LocationChange(binding))
            self._put(truth)
        if len(due) == _GIVE_UP_AT_ONCE and not (self._later is not None and self._later.active()):
            self._later = self._clock.callLater(0, self._overdue)

    def forget(self, binding: Binding) -> None:
        """A binding went for another reason (its connection closed, it expired): nothing brings it back."""
        self._commits.forget(binding.ruid)

    def delete(self, bindings: Sequence[Binding], asked: bool = False) -> None:
        """Delete rows that nobody waits for. A delete that is lost leaves a row that expires by itself.

        Args:
            asked: Somebody wants it so; else a row that another node has taken over meanwhile stays.
        """
        for start in range(0, len(bindings), _DELETE_AT_ONCE):
            self._put([LocationChange(b, True, None if asked else b.server_id) for b in bindings[start : start + _DELETE_AT_ONCE]])

    def bring(self, binding: Binding) -> None:
        """Write what memory holds of a binding; nobody waits for it."""
        self._put([LocationChange(binding)])

    def underway(self, ruid: str) -> bool:
        """Whether a change of ours is on its way to that row."""
        return ruid in self._commits or (self._backlog is not None and ruid in self._backlog)

    def drain(self) -> Deferred[None]:
        """Fires when what was put is written, or after the time of one write."""
        backlog = self._backlog
        drained = backlog.drain() if backlog is not None else succeed(None)
        drained.addCallback(lambda _: self._writer.drain())
        drained.addTimeout(self._seconds, self._clock)
        drained.addErrback(lambda failure: self._complain("not everything was written: {reason}", failure.value))
        return drained

    def _put(self, changes: list[LocationChange]) -> None:
        backlog = self._backlog
        if backlog is not None and (self._back or backlog or self._degraded()) and backlog.add(changes):
            return
        try:
            writing = self._writer.put(changes)
        except StorageError as error:
            self._complain("rows could not be brought up to date: {reason}", error)
        else:
            writing.addErrback(lambda failure: self._complain("rows could not be brought up to date: {reason}", failure.value))

    def _complain(self, text: str, reason: BaseException | None) -> None:
        """One line a minute: with the store down, each REGISTER would write one."""
        now = self._clock.seconds()
        if now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            self._log.warn(text, reason=reason)
