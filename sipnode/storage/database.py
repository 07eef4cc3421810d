"""SQLite files: opening them, transactions, and their faults in words that name the file and what to do.

Invariant: no sqlite3 error leaves this room, only StorageError with the file's path in it; no lock is waited for longer than
the busy timeout.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sipnode.errors import StorageError

BUSY_SECONDS: Final = 2.0

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_READONLY: "can't be written: look at owner and mode of the file and of its folder",
    sqlite3.SQLITE_PERM: "can't be used: look at owner and mode of the file and of its folder",
    sqlite3.SQLITE_CANTOPEN: "can't be opened: look at the path, and at owner and mode of its folder",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup, or move it away to start with an empty one",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: name another file, or move it away",
    sqlite3.SQLITE_FULL: "can't grow: the disk is full",
    sqlite3.SQLITE_IOERR: "can't be read or written: the disk reports an error",
    sqlite3.SQLITE_TOOBIG: "was given a value that is too big",
}


@contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Turn faults of SQLite and of the file system into StorageError."""
    try:
        yield
    except sqlite3.Error as fault:
        code = getattr(fault, "sqlite_errorcode", None)
        advice = _ADVICE.get(code & 0xFF) if code is not None else None
        raise StorageError(f"{path} {advice} ({fault})" if advice else f"{path}: {fault}") from fault
    except OSError as fault:
        raise StorageError(f"{path}: {fault.strerror or fault}") from fault


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. The write lock is taken first, so that nothing read inside can be outdated at the commit."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk makes SQLite roll back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect(path: str, busy_seconds: float = BUSY_SECONDS, create: bool = True) -> sqlite3.Connection:
    """Open a file for one thread at a time, in autocommit mode; a new file is readable by its owner only.

    Raises:
        StorageError: it can't be opened.
    """
    with named_errors(path):
        # SQLite would make the file with the umask's mode, and it holds password hashes.
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600))
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            # Read by everything that follows; fails here for a file that is no database.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def make_durable(connection: sqlite3.Connection, path: str) -> None:
    """Write-ahead log, and an fsync at each commit: what was committed survives a crash and a power cut.

    Raises:
        StorageError: the file can't have a write-ahead log (some network file systems).
    """
    with named_errors(path):
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StorageError(f"{path} can't have a write-ahead log here ({mode}): use a local file system")
        connection.execute("PRAGMA synchronous = FULL")
