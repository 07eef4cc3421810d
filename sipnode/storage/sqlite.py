"""The store that needs nothing set up: one SQLite file.

Invariant: a write is acknowledged after its fsync (WAL with synchronous=FULL), so neither ``kill -9`` nor a power cut takes back
what a client was told. Group commit makes one fsync serve all changes of a few milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from sipnode.errors import StorageError
from sipnode.interfaces import ILocationBackend, ILocationFeed, IStorage
from sipnode.records import Binding, Credential, LocationChange
from sipnode.storage.credentials import CachedCredentials, Key
from sipnode.storage.database import BUSY_SECONDS, connect, make_durable, named_errors, transaction
from sipnode.storage.migrate import migrate
from sipnode.storage.presence_sqlite import SqlitePresence
from sipnode.storage.rows import CHUNK, COLUMNS, Row, account_of, binding_of, row_of, text_value
from sipnode.storage.worker import Worker

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""Between two looks whether another program has changed the file."""

_SELECT: Final = f"SELECT {', '.join(COLUMNS)}, id FROM location WHERE id > ? ORDER BY id LIMIT ?"
_FETCH: Final = f"SELECT {', '.join(COLUMNS)} FROM location WHERE username = ? AND domain IS ? ORDER BY id"
_UPSERT: Final = (
    f"INSERT INTO location ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT (ruid) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS if name != 'ruid')}"
)
_DELETE: Final = "DELETE FROM location WHERE ruid = ? AND server_id = coalesce(?, server_id)"
_PURGE: Final = "DELETE FROM location WHERE expires < ?"
_USER: Final = "SELECT username, domain, password, ha1, ha1b, ha1_sha256, ha1b_sha256 FROM subscriber WHERE username = ? AND domain = ?"


@implementer(ILocationBackend)
class SqliteLocation:
    """The ``location`` table of one file.

    Args:
        run: Has a function of the connection called in the thread of the file.
    """

    def __init__(self, run: Callable[..., Deferred[Any]]) -> None:
        self._run = run

    @inlineCallbacks
    def load(self, take: Callable[[list[Binding]], Any]) -> Generator[Deferred[Any], Any, int]:
        """All rows, expired ones included, oldest first, in chunks; other work of the file goes on between two chunks."""
        total = last = 0
        while True:
            bindings, last = yield self._run(_load, last)
            if bindings:
                total += len(bindings)
                yield maybeDeferred(take, bindings)
            if len(bindings) < CHUNK:
                return total

    def fetch(self, aor: str) -> Deferred[list[Binding]]:
        """The rows of one address-of-record, oldest first."""
        return self._run(_fetch, aor)

    def watch(self, feed: ILocationFeed) -> None:
        """Nobody else writes this file."""

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        """One transaction. Rows are taken from the bindings now; of several changes to one row the last counts."""
        saved: dict[str, Row] = {}
        gone: dict[str, tuple[str, int | None]] = {}
        for change in changes:
            ruid = change.binding.ruid
            if change.delete:
                saved.pop(ruid, None)
                gone[ruid] = (ruid, change.of_node)
            else:
                gone.pop(ruid, None)
                saved[ruid] = row_of(change.binding)
        return self._run(_write, list(saved.values()), list(gone.values()))

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        return self._run(_purge, before)


def _write(connection: sqlite3.Connection, saved: list[Row], gone: list[tuple[str, int | None]]) -> None:
    with transaction(connection):
        if gone:
            connection.executemany(_DELETE, gone)
        if saved:
            connection.executemany(_UPSERT, saved)


class ThreadsAndTime(IReactorFromThreads, IReactorTime):
    """The part of a reactor that the store needs."""


@implementer(IStorage)
class SqliteStorage:
    """IStorage on one file and one thread.

    Args:
        path: Of the file; made when it isn't there.
        reactor: Where results are delivered, and the clock of the credentials' cache.
        cache_seconds: How long a credential is answered from memory.
        busy_seconds: How long a lock of another program is waited for.
    """

    def __init__(self, path: str, reactor: ThreadsAndTime, cache_seconds: float = 60.0, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._reactor = reactor
        self._busy_seconds = busy_seconds
        self._worker: Worker | None = None
        self._connection: sqlite3.Connection | None = None
        self.degraded = ""
        self.location = SqliteLocation(self._run)
        self.presence = SqlitePresence(self._run)
        self.credentials = CachedCredentials(lambda keys: self._run(_users, keys), reactor, cache_seconds)
        self._version = 0
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    @property
    def waiting(self) -> int:
        """See IStorage."""
        return 0 if self._worker is None else self._worker.waiting

    def preflight(self) -> None:
        """Do nothing; :meth:`open` tells what is wrong with a file."""

    def open(self) -> Deferred[None]:
        """Create or upgrade the file. Fails with StorageError that names it."""
        if self._worker is None:
            self._worker = Worker(self._reactor, "sipnode-sqlite")
        return self._worker.run(self._open).addCallback(self._opened)

    def _opened(self, _: None) -> None:
        if self._worker is not None and not self._loop.running:
            self._loop.start(LOOK_SECONDS)

    def _look(self) -> Deferred[None]:
        """Whether another program, as ``sipnode user``, has changed the file; the next look waits for this one."""
        return self._run(_version).addCallbacks(self._seen, lambda failure: None)

    def _seen(self, version: int) -> None:
        if self._version not in (0, version):
            self.credentials.drop()
        self._version = version

    def close(self) -> Deferred[None]:
        """After the last write; a closed store can be opened again."""
        worker, self._worker = self._worker, None
        if worker is None:
            return succeed(None)
        if self._loop.running:
            self._loop.stop()
        self._version = 0
        done = worker.run(self._close)
        worker.stop()
        return done

    def list_users(self, domain: str) -> Deferred[list[str]]:
        """Names of the domain's users, sorted."""
        return self._run(_names, domain.lower())

    def _run(self, job: Callable[..., T], *args: object) -> Deferred[T]:
        if self._worker is None:
            return fail(StorageError(f"{self.path} is not open"))
        return self._worker.run(self._call, job, *args)

    def _call(self, job: Callable[..., T], *args: object) -> T:
        if self._connection is None:
            raise StorageError(f"{self.path} is not open")
        with named_errors(self.path):
            return job(self._connection, *args)

    def _open(self) -> None:
        if self._connection is not None:
            return
        connection = connect(self.path, self._busy_seconds)
        try:
            migrate(connection, self.path)
            make_durable(connection, self.path)
            with named_errors(self.path), transaction(connection):
                # A file that can only be read would show it at the first REGISTER otherwise.
                pass
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with named_errors(self.path):
                connection.close()


def _purge(connection: sqlite3.Connection, before: float) -> None:
    with transaction(connection):
        connection.execute(_PURGE, (before,))


def _load(connection: sqlite3.Connection, last: int) -> tuple[list[Binding], int]:
    rows = connection.execute(_SELECT, (last, CHUNK)).fetchall()
    return [binding_of(row) for row in rows], rows[-1][-1] if rows else last


def _fetch(connection: sqlite3.Connection, aor: str) -> list[Binding]:
    username, domain = account_of(aor)
    account = text_value(username), None if domain is None else text_value(domain)
    return [binding_of(row) for row in connection.execute(_FETCH, account)]


def _version(connection: sqlite3.Connection) -> int:
    """A number that changes with each commit of another connection, and with none of this one."""
    (number,) = connection.execute("PRAGMA data_version").fetchone()
    return int(number)


def _users(connection: sqlite3.Connection, keys: list[Key]) -> dict[Key, Credential]:
    found: dict[Key, Credential] = {}
    for key in keys:
        row = connection.execute(_USER, key).fetchone()
        if row is not None:
            found[key] = Credential(*row)
    return found


def _names(connection: sqlite3.Connection, domain: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT username FROM subscriber WHERE domain = ? ORDER BY username", (domain,))]
