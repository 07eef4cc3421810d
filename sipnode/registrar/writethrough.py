"""A REGISTER and its way to the disk: wait, give up, take back, answer.

The invariant: each write is answered exactly once, with the plan's own answer after it is on disk, else with 503; and
whatever the disk does later, it ends up as memory is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sipnode.errors import StorageError
from sipnode.records import LocationChange
from sipnode.registrar.commits import Commits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from sipnode.interfaces import ILocationWriter, IRequestContext
    from sipnode.records import Binding
    from sipnode.registrar.location import LocationTable
    from sipnode.registrar.register import RegisterPlan

RETRY_AFTER: Final = (("retry-after", "5"),)
_DELETE_AT_ONCE: Final = 500
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
    """

    def __init__(
        self,
        writer: ILocationWriter,
        table: LocationTable,
        is_live: Callable[[str], bool],
        clock: IReactorTime,
        seconds: float,
    ) -> None:
        self._writer = writer
        self._table = table
        self._clock = clock
        self._seconds = seconds
        self._commits = Commits(table, is_live)
        self._waiting: dict[int, _Write] = {}
        self._complained = -_COMPLAIN_EVERY
        self._log = Logger()

    def register(
        self,
        context: IRequestContext,
        plan: RegisterPlan,
        before: Sequence[Binding | None],
        stored: Callable[[], None],
    ) -> Deferred[Any]:
        """Write a plan that memory holds already, then answer.

        Args:
            before: What memory held before, for each change.
            stored: Called when the changes are on disk, before the answer.

        Returns:
            Fires with what ``context.reply`` returned.
        """

        def reply(on_disk: bool) -> Any:
            if not on_disk:
                return context.reply(503, "", RETRY_AFTER)
            stored()
            return context.reply(plan.status, plan.reason, plan.headers)

        self._commits.begin(plan.changes, before)
        write = _Write(plan.changes, self._clock.seconds() + self._seconds)
        self._waiting[id(write)] = write
        answer = write.answer.addCallback(reply)
        try:
            writing = self._writer.put(plan.changes)
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
        self._complain("a REGISTER could not be stored: {reason}", reason)
        self.delete(self._commits.undo(write.changes))
        write.answer.callback(False)

    def overdue(self) -> None:
        """Give up writes that have taken too long. They may get through yet, so what memory holds now is put behind them."""
        now = self._clock.seconds()
        for write in [w for w in self._waiting.values() if w.deadline <= now]:
            self._failed(write, StorageError("no answer of the store in time"))
            truth = []
            for change in write.changes:
                binding = self._table.get(change.binding.aor, change.binding.ruid)
                truth.append(LocationChange(change.binding, delete=True) if binding is None else LocationChange(binding))
            self._put(truth)

    def forget(self, binding: Binding) -> None:
        """A binding went for another reason (its connection closed, it expired): nothing brings it back."""
        self._commits.forget(binding.ruid)

    def delete(self, bindings: Sequence[Binding]) -> None:
        """Delete rows that nobody waits for. A delete that is lost leaves a row that expires by itself."""
        for start in range(0, len(bindings), _DELETE_AT_ONCE):
            self._put([LocationChange(b, delete=True) for b in bindings[start : start + _DELETE_AT_ONCE]])

    def drain(self) -> Deferred[None]:
        """Fires when what was put is written, or after the time of one write."""
        drained = self._writer.drain()
        drained.addTimeout(self._seconds, self._clock)
        drained.addErrback(lambda failure: self._complain("not everything was written: {reason}", failure.value))
        return drained

    def _put(self, changes: list[LocationChange]) -> None:
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
