"""The writing side of presence, and the numbers that its NOTIFYs may bear.

The invariant: no NOTIFY bears a CSeq above the one that is on disk for its subscription, so that after ``kill -9`` the next one is
higher than all before. Numbers are reserved a thousand at a time; only while the store is away they are used ahead of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sipnode.records import PresenceChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.records import Publication, Subscription, Watcher

RESERVE: Final = 1000
RETRY_AFTER: Final = (("retry-after", "5"),)
_AT_ONCE: Final = 500


class PresenceStore:
    """The queue in front of the tables, or nothing where all is kept in memory.

    Args:
        writer: Has ``put(changes)`` as ILocationWriter; None to store nothing.
        known: Whether the subscription with that tag is one that goes on.
    """

    def __init__(self, writer: Any, known: Callable[[str], bool]) -> None:
        self._writer = writer
        self._known = known
        self._log = Logger()
        self._bounds: dict[str, int] = {}
        self._waiters: dict[str, list[Deferred[None]]] = {}
        self._again: dict[str, PresenceChange] = {}

    def put(self, changes: list[PresenceChange]) -> Deferred[None] | None:
        """Write; None when there is nothing to wait for. The Deferred fails with StorageError."""
        if self._writer is None:
            return None
        written: Deferred[None] = self._writer.put(changes)
        return written

    def behind(self, changes: list[PresenceChange]) -> None:
        """Write what nobody waits for; it is tried again until it is done."""
        if self._writer is not None and changes:
            if self._again:
                for change in changes:
                    # A write that failed before is older, and would undo this when it is tried again.
                    self._again.pop(_name(change), None)
            self._writer.put(changes).addErrback(self._missed, changes)

    def delete(self, rows: list[Publication] | list[Subscription] | list[Watcher]) -> None:
        """Delete rows; nobody waits for it."""
        self.behind([PresenceChange(row, True) for row in rows])

    def number(self, subscription: Subscription) -> Deferred[None] | None:
        """None when the next CSeq of a subscription may be used, else a Deferred that fires when it may."""
        tag = subscription.to_tag
        if self._writer is None or not self._known(tag):
            return None
        bound = self._bounds.get(tag)
        if bound is None:
            if subscription.reserved - subscription.local_cseq < RESERVE // 4:
                bound = self._reserve(subscription)
            else:
                return None
        if subscription.local_cseq < bound or tag not in self._bounds:
            return None
        waiter: Deferred[None] = Deferred()
        self._waiters.setdefault(tag, []).append(waiter)
        return waiter

    def _reserve(self, subscription: Subscription) -> int:
        """Have more numbers written; the bound that holds until then."""
        tag = subscription.to_tag
        bound = self._bounds[tag] = subscription.reserved
        subscription.reserved = max(subscription.reserved, subscription.local_cseq) + RESERVE
        changes = [PresenceChange(subscription)]
        self._writer.put(changes).addErrback(self._missed, changes).addCallback(self._reserved, tag)
        return bound

    def _reserved(self, _result: object, tag: str) -> None:
        self._bounds.pop(tag, None)
        for waiter in self._waiters.pop(tag, ()):
            waiter.callback(None)

    def _missed(self, failure: Any, changes: list[PresenceChange]) -> None:
        if not self._again:
            self._log.warn("presence isn't stored now: {reason}", reason=failure.getErrorMessage())
        for change in changes:
            self._again[_name(change)] = change

    def tick(self) -> None:
        """Try again what failed."""
        if self._again:
            names = list(self._again)[:_AT_ONCE]
            self.behind([change for change in (self._again.pop(name) for name in names) if self._holds(change)])

    def _holds(self, change: PresenceChange) -> bool:
        """Whether a change is still meant: a row that was to be saved may have gone since."""
        tag = getattr(change.row, "to_tag", "")
        return change.delete or not tag or self._known(tag)


def _name(change: PresenceChange) -> str:
    row: Any = change.row
    return getattr(row, "to_tag", "") or getattr(row, "ruid", "") or f"{row.event} {row.resource} {row.watcher}"
