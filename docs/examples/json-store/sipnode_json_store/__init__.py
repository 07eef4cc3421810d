"""A store of sipnode in JSON files; README.rst says what it promises.

sipnode keeps its registrations in memory and asks a store to load them once, then to write what changes. So :class:`JsonLocation` is the
store in memory that comes with sipnode, and a file that follows it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ILocationBackend, IStorage, IStorePlugin
from sipnode.records import Binding, Credential, LocationChange
from sipnode.storage.credentials import CachedCredentials, Key
from sipnode.storage.memory import MemoryLocation
from sipnode.storage.presence_memory import MemoryPresence

USERS, LOCATION = "users.json", "location.json"


def read(file: Path, kind: Callable[..., Any]) -> list[Any]:
    """The rows of a file, none where it isn't there.

    Raises:
        StorageError: it is something else.
    """
    try:
        return [kind(**row) for row in json.loads(file.read_text("utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{file}: {error}") from error


def write(file: Path, rows: list[Any]) -> None:
    """Put a new file in the place of the old one; whoever reads it sees one of the two."""
    put(file, json.dumps([asdict(row) for row in rows], indent=1))


def put(file: Path, text: str) -> None:
    """The same for a text; it may wait for the disk."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    # Hashes are as good as passwords: nobody else reads them.
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@implementer(ILocationBackend)
class JsonLocation(MemoryLocation):
    """The location table and its file.

    Attributes:
        fault: Why the last writing failed, "" where it didn't.
        waiting: Changes that aren't on disk yet.
    """

    def __init__(self, file: Path, reactor: Any) -> None:
        super().__init__()
        self.fault = ""
        self._file = file
        self._reactor = reactor
        self._asked: list[Deferred[None]] = []
        self._busy: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """Changes that aren't on disk yet."""
        return len(self._asked) + len(self._busy)

    def read(self) -> None:
        """Have what the file has."""
        self.rows = {row.ruid: row for row in read(self._file, Binding)}

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        """Fires when the changes are on disk. Fails with StorageError: the next writing has them too."""
        super().write(changes)
        return self.save() if changes else succeed(None)

    def purge(self, before: float) -> Deferred[None]:
        """Forget what expired before then."""
        super().purge(before)
        return self.save()

    def save(self) -> Deferred[None]:
        """Fires when the table is on disk as it is now."""
        done: Deferred[None] = Deferred()
        self._asked.append(done)
        if not self._busy:
            self._next()
        return done

    def _next(self) -> None:
        self._busy, self._asked = self._asked, []
        if self._busy:
            text = json.dumps([asdict(row) for row in self.rows.values()], indent=1)
            written = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), put, self._file, text)
            written.addBoth(self._written)

    def _written(self, result: Failure | None) -> None:
        waiters, self._busy = self._busy, []
        self.fault = f"{self._file}: {result.getErrorMessage()}" if isinstance(result, Failure) else ""
        self._next()
        for waiter in waiters:
            if self.fault:
                waiter.errback(StorageError(self.fault))
            else:
                waiter.callback(None)


@implementer(IStorage)
class JsonStorage:
    """A folder of JSON files."""

    def __init__(self, folder: Path, reactor: Any, cache_seconds: float) -> None:
        self._folder = folder
        self._known: tuple[int, dict[Key, Credential]] = (0, {})
        self.location = JsonLocation(folder / LOCATION, reactor)
        self.presence = MemoryPresence()
        self.credentials = CachedCredentials(self._look_up, reactor, cache_seconds)

    @property
    def degraded(self) -> str:
        """Why nothing can be stored now."""
        return self.location.fault

    @property
    def waiting(self) -> int:
        """Changes that aren't on disk yet."""
        return self.location.waiting

    def preflight(self) -> None:
        """Read both files before the start, so that one that was edited wrongly stops it. Nothing is made."""
        self.location.read()
        self._users()

    def open(self) -> Deferred[None]:
        """Read who was registered."""
        try:
            self.location.read()
        except StorageError:
            return _failed()
        return succeed(None)

    def close(self) -> Deferred[None]:
        """After the last write."""
        return self.location.save() if self.location.waiting else succeed(None)

    def list_users(self, domain: str) -> Deferred[list[str]]:
        """Names of a domain's users, sorted."""
        try:
            return succeed(sorted(name for name, of in self._users() if of == domain.lower()))
        except StorageError:
            return _failed()

    def _look_up(self, keys: list[Key]) -> Deferred[dict[Key, Credential]]:
        try:
            users = self._users()
        except StorageError:
            return _failed()
        return succeed({key: users[key] for key in keys if key in users})

    def _users(self) -> dict[Key, Credential]:
        """All users; the file is read when it has changed."""
        file = self._folder / USERS
        changed = file.stat().st_mtime_ns if file.exists() else 0
        if changed != self._known[0]:
            self._known = (changed, {(user.username, user.domain): user for user in read(file, Credential)})
        return self._known[1]


def _failed() -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(Failure())
    return failed


@implementer(IStorePlugin)
class JsonStores:
    """What ``[storage] url = "json:FOLDER"`` chooses."""

    name = "json"

    def make(self, url: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
        """A store; nothing is read or written yet."""
        folder = url.partition(":")[2]
        if not folder or "\0" in folder:
            raise ConfigError("has to be json:FOLDER", key="storage.url")
        if node_id:
            raise ConfigError("a json: store is one server's alone: leave [node] id at 0", key="node.id")
        return JsonStorage(Path(state_dir, folder), reactor, cache_seconds)


stores = JsonStores()
