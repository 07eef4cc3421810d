"""The tables of presence in an SQLite file.

Invariant: as for ``location``, a batch is one transaction, acknowledged after its fsync.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from zope.interface import implementer

from sipnode.interfaces import IPresenceBackend, IPresenceFeed
from sipnode.records import PresenceChange, Publication, Subscription, Watcher
from sipnode.storage.database import transaction
from sipnode.storage.presence_rows import (
    ACTIVE_WATCHERS,
    PRESENTITY,
    WATCHERS,
    Row,
    publication_of,
    publication_row,
    subscription_of,
    subscription_row,
    watcher_of,
    watcher_row,
)
from sipnode.storage.rows import CHUNK, text_of, text_value

_KEYS: Final = {
    "presentity": ("ruid",),
    "active_watchers": ("callid", "to_tag", "from_tag"),
    "watchers": ("presentity_uri", "watcher_username", "watcher_domain", "event"),
}
_COLUMNS: Final = {"presentity": PRESENTITY, "active_watchers": ACTIVE_WATCHERS, "watchers": WATCHERS}
_SELECT: Final = {
    table: f"SELECT {', '.join(columns)}, id FROM {table} WHERE id > ? ORDER BY id LIMIT ?" for table, columns in _COLUMNS.items()
}
_UPSERT: Final = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) ON CONFLICT ({', '.join(_KEYS[table])}) "
    f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns if name not in _KEYS[table])}"
    for table, columns in _COLUMNS.items()
}
_DELETE: Final = {table: f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in keys)}" for table, keys in _KEYS.items()}
_PURGE: Final = ("DELETE FROM presentity WHERE expires < ?", "DELETE FROM active_watchers WHERE expires < ?")


@implementer(IPresenceBackend)
class SqlitePresence:
    """The three tables of one file.

    Args:
        run: Has a function of the connection called in the thread of the file.
    """

    def __init__(self, run: Callable[..., Deferred[Any]]) -> None:
        self._run = run

    def load_publications(self, take: Callable[[list[Publication]], Any]) -> Deferred[int]:
        """All rows, oldest first, in chunks."""
        return self._load_all("presentity", publication_of, take)

    def load_subscriptions(self, take: Callable[[list[Subscription]], Any]) -> Deferred[int]:
        """The same of subscriptions."""
        return self._load_all("active_watchers", subscription_of, take)

    def load_watchers(self, take: Callable[[list[Watcher]], Any]) -> Deferred[int]:
        """The same of decisions."""
        return self._load_all("watchers", watcher_of, take)

    @inlineCallbacks
    def _load_all(self, table: str, make: Callable[[Row], Any], take: Callable[[list[Any]], Any]) -> Generator[Deferred[Any], Any, int]:
        total = last = 0
        while True:
            rows = yield self._run(_load, table, last)
            if rows:
                total += len(rows)
                last = rows[-1][-1]
                yield maybeDeferred(take, [make(_texts(row)) for row in rows])
            if len(rows) < CHUNK:
                return total

    def write(self, changes: list[PresenceChange]) -> Deferred[None]:
        """One transaction. Rows are taken from the records now; of several changes to one row the last counts."""
        saved: dict[str, dict[Row, Row]] = {}
        gone: dict[str, dict[Row, None]] = {}
        for change in changes:
            table, key, row = _row(change)
            if change.delete:
                saved.setdefault(table, {}).pop(key, None)
                gone.setdefault(table, {})[key] = None
            else:
                gone.setdefault(table, {}).pop(key, None)
                saved.setdefault(table, {})[key] = row
        return self._run(
            _write, [(table, list(rows)) for table, rows in gone.items()], [(table, list(rows.values())) for table, rows in saved.items()]
        )

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        return self._run(_purge, before)

    def watch(self, feed: IPresenceFeed) -> None:
        """Nobody else writes this file."""


def _row(change: PresenceChange) -> tuple[str, Row, Row]:
    """(table, key, values) of a change."""
    one = change.row
    if isinstance(one, Publication):
        return "presentity", (one.ruid,), _values(publication_row(one))
    if isinstance(one, Subscription):
        row = _values(subscription_row(one))
        return "active_watchers", (row[9], row[7], row[8]), row
    row = _values(watcher_row(one))
    return "watchers", row[:4], row


def _values(row: Row) -> Row:
    return tuple(text_value(value) if isinstance(value, str) else value for value in row)


def _texts(row: Row) -> Row:
    # The body, sixth of a publication, is octets in any case; other blobs are texts that aren't UTF-8.
    body = 6 if len(row) == len(PRESENTITY) + 1 else -1
    return tuple(text_of(value) if isinstance(value, bytes) and place != body else value for place, value in enumerate(row))


def _load(connection: sqlite3.Connection, table: str, last: int) -> list[Row]:
    return connection.execute(_SELECT[table], (last, CHUNK)).fetchall()


def _write(connection: sqlite3.Connection, gone: list[tuple[str, list[Row]]], saved: list[tuple[str, list[Row]]]) -> None:
    with transaction(connection):
        for table, keys in gone:
            if keys:
                connection.executemany(_DELETE[table], keys)
        for table, rows in saved:
            if rows:
                connection.executemany(_UPSERT[table], rows)


def _purge(connection: sqlite3.Connection, before: float) -> None:
    with transaction(connection):
        for statement in _PURGE:
            connection.execute(statement, (before,))
