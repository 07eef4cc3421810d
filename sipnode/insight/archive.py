"""Records of calls that failed, kept in a folder: bounded by size and age, and there after a restart or a crash.

The invariant: nobody waits for the disk. Everything that costs is done in a thread, after the call; how many records wait for it is
bounded, and those given up are counted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.defer import succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.insight.keeping import Kept, Unreadable, mark_of
from sipnode.insight.ring import FAILED
from sipnode.insight.row import Row, row_of
from sipnode.insight.shelf import MOST_FILES, File
from sipnode.insight.snapshot import snapshot
from sipnode.insight.story import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from sipnode.insight.finding import Around
    from sipnode.insight.ring import Event, Record
    from sipnode.insight.shelf import Shelf

MOST_WAITING: Final = 100
LOOK_SECONDS: Final = 600.0
FAULT_SECONDS: Final = 60.0
"""A fault of the disk is told once in that time."""


class Archive(Service):
    """The folder, while the server runs.

    Args:
        reactor: Clock.
        around: What is known around calls. closings: Connections that were closed last, by their token.
        shelf: The folder.
        run: Calls a function in the thread of the folder, one after the other; a Deferred of its result.
        octets: In all. seconds: A record is kept so long.
        after: Called when all is written.

    Attributes:
        written: Records since the start. given_up: Those that the disk didn't take, or for which there was no room.
        octets: That the files take.
        fault: What is wrong with the disk, "" for nothing.
    """

    name = "archive"
    log: ClassVar[Logger] = Logger(namespace="sipnode.insight")

    def __init__(
        self,
        reactor: Any,
        around: Callable[[], Around],
        closings: Mapping[str, Event],
        shelf: Shelf,
        run: Callable[..., Deferred[Any]],
        octets: int,
        seconds: float,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._around = around
        self._closings = closings
        self._shelf = shelf
        self._run = run
        self._most = octets
        self._seconds = seconds
        self._after = after
        self._files: OrderedDict[str, File] = OrderedDict()
        self._names: dict[str, str] = {}
        self._waiting = 0
        self._told = float("-inf")
        self._looking = LoopingCall(self.tidy)
        self._looking.clock = reactor
        self.written = self.given_up = self.octets = 0
        self.fault = ""

    # -- life

    def startService(self) -> None:
        """List what is there."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._run(self._shelf.open).addCallbacks(self._opened, self._failed)
        self._looking.start(LOOK_SECONDS, now=False)

    def stopService(self) -> Any:
        """Wait until what was taken is written."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        if self._looking.running:
            self._looking.stop()
        return self._run(lambda: None).addErrback(lambda _: succeed(None)).addCallback(lambda _: self._after())

    def _opened(self, files: list[File]) -> None:
        # A call may have failed meanwhile, and stands behind them.
        newer, self._files = self._files, OrderedDict()
        for file in (*files, *newer.values()):
            if file.name not in self._files:
                self._add(file)
        self.octets = sum(file.octets for file in self._files.values())
        self.tidy()

    def _failed(self, failure: Failure) -> None:
        self.fault = str(failure.value)
        now = self._reactor.seconds()
        if now - self._told >= FAULT_SECONDS:
            self._told = now
            self.log.error("calls that failed can't be kept on the disk: {fault}", fault=self.fault)

    # -- what is kept

    def take(self, record: Record) -> None:
        """A call has ended; it is kept if it failed."""
        if record.queue != FAILED:
            return
        if self._waiting >= MOST_WAITING:
            self.given_up += 1
            return
        self._waiting += 1
        copy, closings = snapshot(record, self._closings)
        self._run(self._write, copy, closings, self._reactor.seconds()).addCallbacks(self._wrote, self._gave_up)

    def _write(self, copy: Record, closings: dict[str, Event], when: float) -> File:
        return self._shelf.write(Kept(read(copy, closings), row_of(copy), self._around()), when)

    def _wrote(self, file: File) -> None:
        self._waiting -= 1
        self.written += 1
        self.fault = ""
        former = self._names.get(file.name[23:55])
        self._add(file)
        self.octets += file.octets
        if former is not None and former != file.name:
            # The same call has failed once more; the new file has all of it.
            self._forget(former)
            self._run(self._shelf.remove, [former]).addErrback(self._failed)
        self.tidy()

    def _gave_up(self, failure: Failure) -> None:
        self._waiting -= 1
        self.given_up += 1
        self._failed(failure)

    def _add(self, file: File) -> None:
        self._files[file.name] = file
        self._names[file.name[23:55]] = file.name

    def tidy(self) -> None:
        """Take away what is too old, and the oldest of what is too much."""
        least = self._reactor.seconds() - self._seconds
        gone = []
        while self._files:
            name, file = next(iter(self._files.items()))
            if file.when >= least and self.octets <= self._most and len(self._files) <= MOST_FILES:
                break
            gone.append(name)
            self._forget(name)
        if gone:
            self._run(self._shelf.remove, gone).addErrback(self._failed)

    def _forget(self, name: str) -> None:
        self.octets -= self._files.pop(name).octets
        if self._names.get(name[23:55]) == name:
            del self._names[name[23:55]]

    # -- who asks

    def __len__(self) -> int:
        """Records that are kept."""
        return len(self._files)

    def rows(self) -> Iterator[Row]:
        """Their lines of the list, the newest first."""
        for file in reversed(self._files.values()):
            yield file.row

    def find(self, call_id: str) -> Kept | None:
        """The record of a call, None where it isn't kept. It reads a file, for an operator who asks for one."""
        name = self._names.get(mark_of(call_id))
        if name is None:
            return None
        try:
            kept = self._shelf.read(name)
        except (OSError, Unreadable) as fault:
            self.fault = str(fault)
            return None
        return kept if kept.story.call_id == call_id else None
