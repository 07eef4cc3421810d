"""A store that forgets everything at the end of the process: for tests, and for ``url = "memory:"``.

Invariant: behaves as the stores with a disk do, Deferreds included, save that nothing outlives :meth:`MemoryStorage.close`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from sipnode.interfaces import ILocationBackend, ILocationFeed, IStorage
from sipnode.records import Binding, Credential, LocationChange
from sipnode.storage.credentials import CachedCredentials, Key
from sipnode.storage.presence_memory import MemoryPresence


@implementer(ILocationBackend)
class MemoryLocation:
    """Rows by ruid; copies go in and out, as with a real table."""

    def __init__(self) -> None:
        self.rows: dict[str, Binding] = {}

    def load(self, take: Callable[[list[Binding]], Any]) -> Deferred[int]:
        """All rows, oldest first, as one chunk."""
        rows = [replace(binding) for binding in self.rows.values()]
        taken = maybeDeferred(take, rows) if rows else succeed(None)
        return taken.addCallback(lambda _: len(rows))

    def fetch(self, aor: str) -> Deferred[list[Binding]]:
        """The rows of one address-of-record, oldest first."""
        return succeed([replace(binding) for binding in self.rows.values() if binding.aor == aor])

    def watch(self, feed: ILocationFeed) -> None:
        """Nobody else writes here."""

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        """At once."""
        for change in changes:
            if change.delete:
                row = self.rows.get(change.binding.ruid)
                if row is not None and change.of_node in (None, row.server_id):
                    del self.rows[row.ruid]
            else:
                self.rows[change.binding.ruid] = replace(change.binding)
        return succeed(None)

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        self.rows = {ruid: row for ruid, row in self.rows.items() if row.expires >= before}
        return succeed(None)


@implementer(IStorage)
class MemoryStorage:
    """IStorage without a disk.

    Args:
        clock: Of the credentials' cache.
        cache_seconds: How long a credential is answered from the cache.
    """

    def __init__(self, clock: IReactorTime, cache_seconds: float = 60.0) -> None:
        self.users: dict[Key, Credential] = {}
        self.degraded = ""
        self.waiting = 0
        self.location = MemoryLocation()
        self.presence = MemoryPresence()
        self.credentials = CachedCredentials(self._look_up, clock, cache_seconds)

    def preflight(self) -> None:
        """Nothing can be wrong."""

    def open(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Forget everything."""
        self.users.clear()
        self.location.rows.clear()
        self.presence.clear()
        return succeed(None)

    def add(self, credential: Credential) -> None:
        """Let a user exist."""
        self.users[credential.username, credential.domain] = credential

    def list_users(self, domain: str) -> Deferred[list[str]]:
        """Names of the domain's users, sorted."""
        return succeed(sorted(name for name, of in self.users if of == domain.lower()))

    def _look_up(self, keys: list[Key]) -> Deferred[dict[Key, Credential]]:
        return succeed({key: self.users[key] for key in keys if key in self.users})
