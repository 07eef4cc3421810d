"""The journal of calls, an SQLite file of its own: which are up, which records wait for whom; blocking, for a thread of its own.

Invariant: what a method has committed survives a crash and a power cut, and each call leaves it as one record: a record is made by
the same transaction that takes the call out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sipnode.acc.record import COLUMNS, LOST, TIME, UNKNOWN_END, CallRecord, Key
from sipnode.storage.database import connect, make_durable, named_errors, transaction

VERSION: Final = 1
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {name} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, from_tag TEXT NOT NULL, to_tag TEXT NOT NULL, callid TEXT NOT NULL,
    sip_code TEXT NOT NULL, sip_reason TEXT NOT NULL, time TEXT NOT NULL, src_user TEXT NOT NULL, src_domain TEXT NOT NULL,
    src_ip TEXT NOT NULL, dst_ouser TEXT NOT NULL, dst_user TEXT NOT NULL, dst_domain TEXT NOT NULL, setup_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL, outcome TEXT NOT NULL, ended_by TEXT NOT NULL, mos REAL NOT NULL, quality TEXT NOT NULL,
    record_id TEXT NOT NULL UNIQUE);
CREATE INDEX IF NOT EXISTS {name}_callid ON {name} (callid);
"""
_SCHEMA: Final = (
    """
CREATE TABLE IF NOT EXISTS live (
    callid TEXT NOT NULL, from_tag TEXT NOT NULL, to_tag TEXT NOT NULL, until REAL NOT NULL, ended INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (callid, from_tag, to_tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, record_id TEXT NOT NULL, record TEXT NOT NULL, UNIQUE (sink, record_id));
"""
    + _TABLE.format(name="acc")
    + _TABLE.format(name="missed_calls")
)
_LIVE: Final = "INSERT OR REPLACE INTO live VALUES (?, ?, ?, ?, ?, ?)"
_OVER: Final = "DELETE FROM live WHERE callid = ? AND from_tag = ? AND to_tag = ?"
_INSERT: Final = f"INSERT OR IGNORE INTO {{}} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Open(NamedTuple):
    """A call has been answered."""

    record: CallRecord
    until: float
    """Epoch seconds after which nobody waits for its end."""


class End(NamedTuple):
    """A call has ended.

    Attributes:
        record: Whole, but for its quality where that is still to come.
        whole: Nothing is to come.
        known: It need not be in the journal: it wasn't answered, or ended in the process in which it began.
    """

    record: CallRecord
    whole: bool = True
    known: bool = True


class Bye(NamedTuple):
    """A call of a former process has ended; its tags in either order."""

    call_id: str
    from_tag: str
    to_tag: str
    now: float


Entry = Open | End | Bye


class Journal:
    """The file.

    Args:
        path: Where; made with the mode of a private file.
        sinks: Names of those who get each record.
        tables: Whether ``acc`` and ``missed_calls`` in it are written.
        most: Records that may wait for one sink; the oldest are given up for those behind them.

    Attributes:
        waiting: How many records wait for each sink. given_up: How many were since the start.

    Raises:
        StorageError: it can't be opened.
    """

    def __init__(self, path: str, sinks: Sequence[str], tables: bool, most: int) -> None:
        self._path = path
        self._sinks = tuple(sinks)
        self._tables = tables
        self._most = most
        self._connection = connect(path)
        self.given_up = 0
        make_durable(self._connection, path)
        with named_errors(path):
            self._connection.executescript(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")
            counts = dict(self._connection.execute("SELECT sink, count(*) FROM waiting GROUP BY sink"))
        self.waiting = {sink: int(counts.get(sink, 0)) for sink in self._sinks}

    def close(self) -> None:
        """No more."""
        self._connection.close()

    def write(self, entries: Iterable[Entry]) -> int:
        """All of them in one transaction, in their order.

        Returns:
            How many records were made.
        """
        made, before, given_up = 0, dict(self.waiting), self.given_up
        try:
            with named_errors(self._path), transaction(self._connection):
                for entry in entries:
                    made += self._write(entry)
                if made:
                    self._bound()
        except BaseException:
            self.waiting, self.given_up = before, given_up
            raise
        return made

    def _write(self, entry: Entry) -> int:
        if isinstance(entry, Open):
            record = entry.record
            self._connection.execute(_LIVE, (*_texts(record.key), entry.until, 0, record.to_json()))
            return 0
        if isinstance(entry, Bye):
            found = self._found(entry.call_id, entry.from_tag, entry.to_tag)
            if found is None:
                return 0
            by = "caller" if found.from_tag == entry.from_tag else "callee"
            return self._made(found.closed(entry.now, "completed", by))
        if not entry.whole:
            self._connection.execute(_LIVE, (*_texts(entry.record.key), 0, 1, entry.record.to_json()))
            return 0
        taken = self._connection.execute(_OVER, _texts(entry.record.key))
        return self._record(entry.record) if entry.known or taken.rowcount else 0

    def _found(self, call_id: str, one: str, other: str) -> CallRecord | None:
        rows = self._connection.execute(
            "SELECT record FROM live WHERE callid = ? AND ended = 0 AND ((from_tag = ? AND to_tag = ?) OR (from_tag = ? AND to_tag = ?))",
            (*_texts((call_id, one, other)), *_texts((other, one))),
        )
        row = rows.fetchone()
        return CallRecord.from_json(row[0]) if row is not None else None

    def _made(self, record: CallRecord) -> int:
        self._connection.execute(_OVER, _texts(record.key))
        return self._record(record)

    def _record(self, record: CallRecord) -> int:
        if self._tables:
            row = record.row()
            self._connection.execute(_INSERT.format("missed_calls" if record.missed else "acc"), [row[name] for name in COLUMNS])
        for sink in self._sinks:
            done = self._connection.execute(
                "INSERT OR IGNORE INTO waiting (sink, record_id, record) VALUES (?, ?, ?)", (sink, record.id, record.to_json())
            )
            self.waiting[sink] += done.rowcount
        return 1

    def _bound(self) -> None:
        for sink, count in self.waiting.items():
            if count > self._most:
                oldest = "DELETE FROM waiting WHERE id IN (SELECT id FROM waiting WHERE sink = ? ORDER BY id LIMIT ?)"
                self._connection.execute(oldest, (sink, count - self._most))
                self.given_up += count - self._most
                self.waiting[sink] = self._most

    def begin(self, now: float) -> int:
        """After a start: records of calls that had ended are made whole as they are, and of those whose time is over.

        Returns:
            How many records were made.
        """
        return self._close("ended = 1 OR until < ?", now)

    def expire(self, now: float, living: Iterable[Key] = ()) -> int:
        """Records of calls whose time is over, but for those that live.

        Returns:
            How many records were made.
        """
        return self._close("ended = 0 AND until < ?", now, frozenset(living))

    def _close(self, where: str, now: float, living: frozenset[Key] = frozenset()) -> int:
        made = 0
        with named_errors(self._path), transaction(self._connection):
            for (text,) in self._connection.execute(f"SELECT record FROM live WHERE {where}", (now,)).fetchall():
                record = CallRecord.from_json(text)
                if record.key in living:
                    continue
                if not record.ended:
                    # Nobody knows when; the last moment at which it can have been is no duration to send a bill for.
                    record = record.closed(record.answered, LOST, UNKNOWN_END)
                made += self._made(record)
        return made

    def next(self, sink: str, count: int) -> list[tuple[int, CallRecord]]:
        """The oldest records that wait for a sink, with their numbers."""
        with named_errors(self._path):
            rows = self._connection.execute("SELECT id, record FROM waiting WHERE sink = ? ORDER BY id LIMIT ?", (sink, count)).fetchall()
        return [(number, CallRecord.from_json(text)) for number, text in rows]

    def taken(self, sink: str, numbers: Iterable[int]) -> None:
        """A sink has these."""
        with named_errors(self._path), transaction(self._connection):
            for number in numbers:
                self.waiting[sink] -= self._connection.execute("DELETE FROM waiting WHERE id = ?", (number,)).rowcount

    def forget(self, before: float) -> int:
        """Take rows of calls that began before a time (epoch seconds) out of its own tables; how many there were."""
        text = datetime.fromtimestamp(before, UTC).strftime(TIME)
        with named_errors(self._path), transaction(self._connection):
            return sum(self._connection.execute(f"DELETE FROM {name} WHERE time < ?", (text,)).rowcount for name in ("acc", "missed_calls"))

    def live(self) -> int:
        """How many calls are up, as far as it knows."""
        with named_errors(self._path):
            count: int = self._connection.execute("SELECT count(*) FROM live WHERE ended = 0").fetchone()[0]
        return count


def _texts(values: Iterable[str]) -> list[str]:
    """Octets that aren't UTF-8 written out, since SQLite takes no surrogates."""
    return [value.encode("utf-8", "backslashreplace").decode() for value in values]
