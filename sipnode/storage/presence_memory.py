"""The tables of presence for a store that forgets everything at the end of the process.

Invariant: behaves as those with a disk do; copies go in and out, as with a real table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from sipnode.interfaces import IPresenceBackend, IPresenceFeed
from sipnode.records import PresenceChange, Publication, Subscription, Watcher


@implementer(IPresenceBackend)
class MemoryPresence:
    """Rows by their names."""

    def __init__(self) -> None:
        self.publications: dict[str, Publication] = {}
        self.subscriptions: dict[tuple[str, str, str], Subscription] = {}
        self.watchers: dict[tuple[str, str, str], Watcher] = {}

    def load_publications(self, take: Callable[[list[Publication]], Any]) -> Deferred[int]:
        """All rows, oldest first, as one chunk."""
        return _hand_over([replace(one, parsed=None) for one in self.publications.values()], take)

    def load_subscriptions(self, take: Callable[[list[Subscription]], Any]) -> Deferred[int]:
        """The same of subscriptions."""
        return _hand_over([replace(one, local_cseq=one.reserved) for one in self.subscriptions.values()], take)

    def load_watchers(self, take: Callable[[list[Watcher]], Any]) -> Deferred[int]:
        """The same of decisions."""
        return _hand_over([replace(one) for one in self.watchers.values()], take)

    def write(self, changes: list[PresenceChange]) -> Deferred[None]:
        """At once."""
        for change in changes:
            row = change.row
            table: Any
            name: Any
            if isinstance(row, Publication):
                table, name = self.publications, row.ruid
            elif isinstance(row, Subscription):
                table, name = self.subscriptions, (row.call_id, row.to_tag, row.from_tag)
            else:
                table, name = self.watchers, (row.resource, row.watcher, row.event)
            if change.delete:
                table.pop(name, None)
            elif isinstance(row, Subscription):
                table[name] = replace(row, reserved=max(row.reserved, row.local_cseq))
            else:
                table[name] = replace(row)
        return succeed(None)

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        self.publications = {name: row for name, row in self.publications.items() if row.expires >= before}
        self.subscriptions = {name: row for name, row in self.subscriptions.items() if row.expires >= before}
        return succeed(None)

    def watch(self, feed: IPresenceFeed) -> None:
        """Nobody else writes here."""

    def clear(self) -> None:
        """Forget everything."""
        self.publications.clear()
        self.subscriptions.clear()
        self.watchers.clear()


def _hand_over(rows: list[Any], take: Callable[[list[Any]], Any]) -> Deferred[int]:
    taken = maybeDeferred(take, rows) if rows else succeed(None)
    return taken.addCallback(lambda _: len(rows))
