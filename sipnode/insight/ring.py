"""The ring: what happened to each call, by Call-ID, in bounded memory. Pure.

An event is a tuple, ``(epoch seconds, kind, …)``; the kinds below say what follows. Nothing is read or copied when an event is kept: what
it means is found out when somebody asks (:mod:`sipnode.insight.story`).

The invariant: whatever is sent, the ring holds at most ``most_octets`` of events (by its own estimate) in at most ``most_calls``
records, and one record at most ``RECORD_OCTETS``. Where room is needed, records of whom nobody has proved anything go first, then those
of calls that ended well, and those of calls that failed last.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

RECEIVED: Final = "received"
"""A message came. ``(octets, transport, local, remote, token of the connection)``"""
SENT: Final = "sent"
"""A message left. ``(octets, transport, local, remote, token, why)``"""
RESENT: Final = "resent"
"""It left once more; as above."""
UNSENT: Final = "unsent"
"""It couldn't leave, as its connection is gone; as above."""
BROKEN: Final = "broken"
"""What came can't be read; as RECEIVED."""
DECIDED: Final = "decided"
"""The routing script decided. ``(method, stage, verdict or status, file and line of the code)``"""
FACT: Final = "fact"
"""A fact of :mod:`sipnode.base.tap`. ``(fact, parts)``"""
ASKED: Final = "asked"
"""Somebody outside was asked. ``(whom, what)``"""
ANSWERED: Final = "answered"
"""The answer came. ``(whom, what, fault, parts)``"""
CLOSED: Final = "closed"
"""A connection that the call went by is gone. ``(transport, local, remote, token, reason)``"""
MEASURED: Final = "measured"
"""Media quality, as the relay counted it. ``(legs)``: :class:`sipnode.acc.quality.Quality`"""
HANDSHAKE: Final = "handshake"
"""A WebSocket handshake was refused. ``(transport, local, remote, Host, Origin or None, status, reason)``"""
ENDED: Final = "ended"
"""The call has ended. ``(outcome, status, ended by, rule, started, answered, node)``"""

MESSAGES: Final = frozenset((RECEIVED, SENT, RESENT, UNSENT, BROKEN))
"""Kinds of events that are messages."""

KINDS: Final = MESSAGES | {DECIDED, FACT, ASKED, ANSWERED, CLOSED, MEASURED, HANDSHAKE, ENDED}
"""All kinds."""

FRESH: Final = 0
"""Queue of records that nobody has proved anything in: strangers, refused, not looked at yet."""
KNOWN: Final = 1
"""Queue of calls of users, and of calls that went on to somebody."""
FAILED: Final = 2
"""Queue of those of them that failed."""
_GONE: Final = 3

MOST_EVENTS: Final = 512
"""Of one record; beyond it the beginning and the end are kept."""
FIRST_EVENTS: Final = 256
RECORD_OCTETS: Final = 524288
CHUNK: Final = 8192
"""Octets that a record is given at a time: most events look at nothing but whether it has room."""
OVERHEAD: Final = 240
"""Octets that an event takes beside those of its message, about."""
RECORD_OVERHEAD: Final = 600
_CHANCES: Final = 64

Event = tuple[Any, ...]


class Record:
    """The record of one Call-ID.

    Attributes:
        call_id: Call-ID.
        mark: The octets that a message of it has, as the first one had them.
        events: Oldest first.
        size: Octets that they take, about.
        room: Octets that the ring has given it.
        queue: Which of the queues it waits in.
        live: A call that has begun and not ended.
        left_out: Events from its middle that aren't kept.
        outcome: Of the call, "" while there is none.
    """

    __slots__ = ("call_id", "events", "left_out", "live", "mark", "outcome", "queue", "room", "size")

    def __init__(self, call_id: str, mark: bytes) -> None:
        self.call_id = call_id
        self.mark = mark
        self.events: list[Event] = []
        self.size = RECORD_OVERHEAD
        self.room = CHUNK
        self.queue = FRESH
        self.live = False
        self.left_out = 0
        self.outcome = ""

    @property
    def last(self) -> float:
        """Epoch seconds of its last event, 0 for none."""
        return float(self.events[-1][0]) if self.events else 0.0


class Ring:
    """The records by Call-ID.

    Args:
        most_octets: In all. most_calls: Records.
        seconds: After its last event a record of a call that isn't live is forgotten. failed_seconds: The same of one that failed.

    Attributes:
        records: By Call-ID.
        size: Octets that they have room for.
        forgotten: Records that had to go, by queue.
        left_out: Events that records had no room for.
    """

    __slots__ = (
        "_counts", "_queues", "_sizes", "failed_seconds", "forgotten", "left_out", "most_calls", "most_octets", "records", "seconds",
        "size",
    )  # fmt: skip

    def __init__(self, most_octets: int, most_calls: int, seconds: float, failed_seconds: float) -> None:
        self.most_octets = most_octets
        self.most_calls = most_calls
        self.seconds = seconds
        self.failed_seconds = failed_seconds
        self.records: dict[str, Record] = {}
        self.size = 0
        self.forgotten = [0, 0, 0]
        self.left_out = 0
        self._sizes = [0, 0, 0]
        self._counts = [0, 0, 0]
        self._queues: list[deque[Record]] = [deque(), deque(), deque()]

    def begin(self, call_id: str, mark: bytes, now: float) -> Record:
        """A new record. Who appends to its events adds to its size, and calls :meth:`grow` when that is more than its room."""
        self.forget_old(now)
        record = self.records[call_id] = Record(call_id, mark)
        self._sizes[FRESH] += record.room
        self.size += record.room
        self._counts[FRESH] += 1
        self._queues[FRESH].append(record)
        if len(self.records) > self.most_calls or self.size > self.most_octets:
            self._make_room()
        return record

    def note(self, call_id: str, event: Event, octets: int) -> Record:
        """Keep an event, in a new record where there is none.

        Args:
            octets: Of the message in it, 0 for none.
        """
        record = self.records.get(call_id)
        if record is None:
            record = self.begin(call_id, b"", event[0])
        record.events.append(event)
        record.size += octets + OVERHEAD
        if record.size > record.room:
            self.grow(record)
        return record

    def grow(self, record: Record) -> None:
        """Give a record more room, or take events out of its middle where it has had enough; others may have to go for it."""
        events = record.events
        if record.queue == _GONE:
            # It had to make room itself while something was added to it.
            record.events, record.size = [], 0
            return
        while len(events) > 1 and (len(events) > MOST_EVENTS or record.size > RECORD_OCTETS):
            place = min(FIRST_EVENTS, len(events) // 2)
            record.size -= size_of(events[place])
            del events[place]
            record.left_out += 1
            self.left_out += 1
        more = (record.size - record.room + CHUNK - 1) // CHUNK * CHUNK
        if more > 0:
            record.room += more
            self._sizes[record.queue] += more
            self.size += more
            if self.size > self.most_octets:
                self._make_room()

    def promote(self, record: Record, queue: int) -> None:
        """Move a record to another queue."""
        old = record.queue
        if old in (queue, _GONE):
            return
        self._sizes[old] -= record.room
        self._counts[old] -= 1
        record.queue = queue
        self._sizes[queue] += record.room
        self._counts[queue] += 1
        self._queues[queue].append(record)
        self._tidy(old)

    def forget(self, call_id: str) -> None:
        """Forget a record; one that isn't there is no fault."""
        record = self.records.get(call_id)
        if record is not None:
            self._drop(record)

    def forget_old(self, now: float) -> None:
        """Forget what is too old."""
        for number in (FRESH, KNOWN, FAILED):
            queue = self._queues[number]
            least = now - (self.failed_seconds if number == FAILED else self.seconds)
            chances = _CHANCES
            while queue and chances:
                record = queue[0]
                if record.queue != number:
                    queue.popleft()
                elif record.last >= least:
                    break
                elif record.live:
                    # It goes on; others behind it may be done with.
                    queue.rotate(-1)
                    chances -= 1
                else:
                    queue.popleft()
                    self._drop(record)

    def _make_room(self) -> None:
        while self.size > self.most_octets or len(self.records) > self.most_calls:
            number = self._least_wanted()
            if number < 0 or not self._pop(number):
                return

    def _least_wanted(self) -> int:
        """The queue that gives room: strangers have an eighth at most, failures a half."""
        sizes, counts, octets, calls = self._sizes, self._counts, self.most_octets, self.most_calls
        if counts[FRESH] and (sizes[FRESH] * 8 > octets or counts[FRESH] * 8 > calls):
            return FRESH
        if counts[FAILED] and (sizes[FAILED] * 2 > octets or counts[FAILED] * 2 > calls):
            return FAILED
        for number in (KNOWN, FRESH, FAILED):
            if counts[number]:
                return number
        return -1

    def _pop(self, number: int) -> bool:
        queue = self._queues[number]
        chances = _CHANCES
        while queue:
            record = queue.popleft()
            if record.queue != number:
                continue
            if record.live and chances and len(queue) > 1:
                chances -= 1
                queue.append(record)
                continue
            self.forgotten[number] += 1
            self._drop(record)
            return True
        return False

    def _drop(self, record: Record) -> None:
        del self.records[record.call_id]
        self._sizes[record.queue] -= record.room
        self._counts[record.queue] -= 1
        self.size -= record.room
        # It may wait in a queue that it has left.
        number, record.queue = record.queue, _GONE
        record.events = []
        self._tidy(number)

    def _tidy(self, number: int) -> None:
        """Take records that have left a queue out of it once they are the most of it. One that goes on for ever at its head, which takes a
        stranger a message now and then, would keep all behind it.
        """
        queue = self._queues[number]
        if len(queue) > 2 * self._counts[number] + _CHANCES:
            stayed = [record for record in queue if record.queue == number]
            queue.clear()
            queue.extend(stayed)


def size_of(event: Event) -> int:
    """Octets that an event counts for."""
    if event[1] == HANDSHAKE:
        return OVERHEAD + len(event[5]) + len(event[6] or "")
    return OVERHEAD + (len(event[2]) if event[1] in MESSAGES else 0)
