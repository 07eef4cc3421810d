"""Accounting while the server runs: calls are written down as they begin and end, and their records handed to those who want them.

Invariant: no call waits for it. Changes that wait for the disk, and records that wait for a sink, are bounded; those given up are counted.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.acc.journal import Bye, End, Entry, Journal, Open
from sipnode.acc.quality import quality_of
from sipnode.acc.record import CallRecord, Key, record_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from sipnode.acc.sinks import Sink
    from sipnode.dialog.call import Call

MEASURE_SECONDS: Final = 5.0
"""A record waits so long for the relay's last numbers."""
RETRY: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds until a sink, or the disk, is tried again; then the last for ever."""
LOOK_SECONDS: Final = 600.0
MOST_ENTRIES: Final = 100_000
"""Changes that wait for a disk that doesn't take them."""
MOST_MEASURED: Final = 10_000
MOST_UNRECORDED: Final = 10_000
"""Calls of which it is known why they aren't recorded; the oldest are forgotten first."""


class _Pump:
    """What is under way to one sink."""

    __slots__ = ("busy", "failures", "fault", "sink", "timer")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.busy = False
        self.failures = 0
        self.fault = ""
        self.timer: IDelayedCall | None = None


class Accounting(Service):
    """Records.

    Args:
        reactor: Clock.
        open_journal: Opens the journal; blocks, and is called in the thread.
        run: Calls a function in that thread, one after the other; a Deferred of its result.
        sinks: Who gets the records.
        node: ``[node] id``.
        lifetime: Seconds that a call may last at most.
        living: Keys of the calls that are up in this process.
        keep_seconds: For how long rows stay in the journal's own tables, 0 for ever.
        after: Called when all is written and closed.

    Attributes:
        records: Made since the start. lost: Changes that found no room since the start.
        fault: What is wrong with the disk, "" for nothing.
    """

    name = "acc"
    log: ClassVar[Logger] = Logger(namespace="sipnode.acc")

    def __init__(
        self,
        reactor: IReactorTime,
        open_journal: Callable[[], Journal],
        run: Callable[..., Deferred[Any]],
        sinks: Sequence[Sink],
        node: int,
        lifetime: float,
        living: Callable[[], Iterable[Key]] = tuple,
        keep_seconds: float = 0.0,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._open_journal = open_journal
        self._run = run
        self._node = node
        self._lifetime = lifetime
        self._living = living
        self._keep = keep_seconds
        self._after = after
        self._pumps = [_Pump(sink) for sink in sinks]
        self._entries: list[Entry] = []
        self._busy = False
        self._failures = 0
        self._again: IDelayedCall | None = None
        self._soon: IDelayedCall | None = None
        self._measured: OrderedDict[str, tuple[CallRecord, IDelayedCall]] = OrderedDict()
        self._unrecorded: OrderedDict[str, str] = OrderedDict()
        self._journal: Journal | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self.fault = ""
        self.records = self.lost = 0

    # -- life

    def startService(self) -> None:
        """Open the journal and close what a former process left."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._run(self._open_journal).addCallbacks(self._opened, self._unopened)
        self._looking.start(LOOK_SECONDS, now=False)

    def _opened(self, journal: Journal) -> None:
        self._journal = journal
        self._run(journal.begin, self._reactor.seconds()).addCallbacks(self._made, self._failed)
        self._write_soon()

    def _unopened(self, failure: Failure) -> None:
        self._unwell(failure)
        if self.running:
            self._again = self._reactor.callLater(RETRY[-1], self._reopen)

    def _reopen(self) -> None:
        self._again = None
        self._run(self._open_journal).addCallbacks(self._opened, self._unopened)

    def stopService(self) -> Any:
        """Write what waits; records that wait for a sink wait for the next start."""
        super().stopService()  # type: ignore[no-untyped-call]  # as above
        if self._looking.running:
            self._looking.stop()
        for name in list(self._measured):
            self._whole(name)
        timers = [self._again, self._soon, *(pump.timer for pump in self._pumps)]
        for timer in timers:
            if timer is not None and timer.active():
                timer.cancel()
        journal, entries = self._journal, self._entries
        self._journal, self._entries = None, []
        if journal is None:
            return succeed(None)
        written = self._run(journal.write, entries) if entries else succeed(0)
        closed = written.addErrback(self._failed).addCallback(lambda _: self._run(journal.close)).addErrback(self._failed)
        return closed.addCallback(lambda _: self._after())

    # -- what happens to calls

    def confirmed(self, kind: str, call: Call) -> None:
        """A call has been answered."""
        record = self._record(call)
        self._enter(Open(record, self._reactor.seconds() + self._lifetime))

    def terminated(self, kind: str, call: Call) -> None:
        """A call has ended. One of a stranger that this server refused is no call that anybody pays for or has missed: a scanner makes
        thousands.
        """
        if not call.answered and call.ended_by == "server" and not call.proved:
            return
        record = self._record(call)
        if self._unrecorded:
            record = replace(record, unrecorded=self._unrecorded.pop(call.media_call or call.call_id, ""))
        if not (call.bridged and call.answered and self.running):
            self._enter(End(record))
            return
        self._enter(End(record, whole=False))
        name = call.media_call or call.call_id
        if name in self._measured or len(self._measured) >= MOST_MEASURED:
            self._enter(End(record, known=False))
            return
        self._measured[name] = record, self._reactor.callLater(MEASURE_SECONDS, self._whole, name)

    def passed(self, method: str, call_id: str, from_tag: str, to_tag: str) -> None:
        """A request passed in a dialog that isn't known, as after a restart."""
        if method == "BYE":
            self._enter(Bye(call_id, from_tag, to_tag, self._reactor.seconds()))

    def deleted(self, name: str, reply: Mapping[bytes, Any]) -> None:
        """The relay is about to end a call, or has ended it.

        Args:
            name: What the relay calls it. reply: Its numbers.
        """
        waiting = self._measured.get(name)
        if waiting is not None and (legs := quality_of(reply)):
            self._measured[name] = waiting[0].measured(legs), waiting[1]
            self._whole(name)

    def unrecorded(self, name: str, why: str) -> None:
        """A call that was to be recorded isn't.

        Args:
            name: What the relay calls it. why: A sentence.
        """
        self._unrecorded[name] = why
        if len(self._unrecorded) > MOST_UNRECORDED:
            self._unrecorded.popitem(last=False)

    def _whole(self, name: str) -> None:
        record, timer = self._measured.pop(name)
        if timer.active():
            timer.cancel()
        self._enter(End(record, known=False))

    def _record(self, call: Call) -> CallRecord:
        told = f"{call.call_id}\0{call.from_tag}\0{call.to_tag}\0{call.started!r}"
        return record_of(call, hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32], self._node)

    # -- to the disk

    def _enter(self, entry: Entry) -> None:
        if len(self._entries) >= MOST_ENTRIES:
            self.lost += 1
            return
        self._entries.append(entry)
        self._write_soon()

    def _write_soon(self) -> None:
        """At the end of this turn, so that what comes together is written together; and behind what is on its way."""
        if self._soon is None and not self._busy and self._again is None and self._journal is not None and self._entries:
            self._soon = self._reactor.callLater(0, self._write)

    def _write(self) -> None:
        self._soon = None
        if self._journal is not None and not self._busy:
            entries, self._entries = self._entries, []
            self._busy = True
            self._run(self._journal.write, entries).addCallbacks(self._written, self._unwritten, errbackArgs=(entries,))

    def _written(self, made: int) -> None:
        self._busy = False
        if self.fault:
            self.log.info("records of calls are written again")
        self._failures, self.fault = 0, ""
        self._made(made)
        self._write_soon()

    def _unwritten(self, failure: Failure, entries: list[Entry]) -> None:
        self._busy = False
        self._unwell(failure)
        self._entries = entries + self._entries
        if self.running:
            wait = RETRY[min(self._failures, len(RETRY) - 1)]
            self._failures += 1
            self._again = self._reactor.callLater(wait, self._once_more)

    def _once_more(self) -> None:
        self._again = None
        self._write_soon()

    def _unwell(self, failure: Failure) -> None:
        text = failure.getErrorMessage()
        if not self.fault:
            self.log.error("records of calls wait: {reason}", reason=text)
        self.fault = text

    def _failed(self, failure: Failure) -> None:
        self._unwell(failure)

    def _look(self) -> None:
        if (journal := self._journal) is not None:
            now = self._reactor.seconds()
            self._run(journal.expire, now, list(self._living())).addCallbacks(self._made, self._failed)
            if self._keep:
                self._run(journal.forget, now - self._keep).addErrback(self._failed)

    # -- to the sinks

    def _made(self, made: int) -> None:
        self.records += made
        for pump in self._pumps:
            self._pump(pump)

    def _pump(self, pump: _Pump) -> None:
        if not pump.busy and pump.timer is None and self._journal is not None:
            pump.busy = True
            self._run(self._journal.next, pump.sink.name, pump.sink.batch).addCallback(self._hand, pump).addErrback(self._refused, pump)

    def _hand(self, found: list[tuple[int, CallRecord]], pump: _Pump) -> Any:
        if not found:
            pump.busy = False
            return None
        taken = pump.sink.take([record for _, record in found])
        return taken.addCallback(lambda _: self._taken(pump, [number for number, _ in found]))

    def _taken(self, pump: _Pump, numbers: list[int]) -> Any:
        if pump.fault:
            self.log.info("{sink} takes records of calls again", sink=pump.sink.name)
        pump.failures, pump.fault = 0, ""
        if self._journal is None:
            return None

        def done(_: object) -> None:
            pump.busy = False
            self._pump(pump)

        return self._run(self._journal.taken, pump.sink.name, numbers).addCallback(done)

    def _refused(self, failure: Failure, pump: _Pump) -> None:
        pump.busy, reason = False, failure.getErrorMessage()
        if not pump.fault:
            self.log.warn("{sink} takes no records of calls, which wait: {reason}", sink=pump.sink.name, reason=reason)
        pump.fault = reason
        if self.running:
            pump.timer = self._reactor.callLater(RETRY[min(pump.failures, len(RETRY) - 1)], self._retry, pump)
            pump.failures += 1

    def _retry(self, pump: _Pump) -> None:
        pump.timer = None
        self._pump(pump)

    # -- who asks

    @property
    def sinks(self) -> list[tuple[str, int, str]]:
        """(name, records that wait for it, what is wrong with it or "") of each sink."""
        waiting = self._journal.waiting if self._journal is not None else {}
        return [(pump.sink.name, waiting.get(pump.sink.name, 0), pump.fault) for pump in self._pumps]

    @property
    def given_up(self) -> int:
        """Records and changes for which there was no room, since the start."""
        return self.lost + (self._journal.given_up if self._journal is not None else 0)

    @property
    def unwritten(self) -> int:
        """Changes that aren't on disk yet."""
        return len(self._entries)
