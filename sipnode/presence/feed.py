"""Changes that others write into the tables of presence, and what a load brings, taken into memory.

The invariant: memory ends up as the tables are; a subscription of this node changes by this node's word alone, unless another one has
taken it over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zope.interface import implementer

from sipnode.interfaces import IPresenceFeed
from sipnode.presence import judging
from sipnode.records import Publication, Subscription, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.presence.state import PresenceState


@dataclass(slots=True)
class Loaded:
    """All rows of a load, oldest first."""

    publications: list[Publication] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)


@implementer(IPresenceFeed)
class PresenceFeed:
    """News of the tables.

    Args:
        state: Whose memory it is.
        reread: Reads all tables again.
    """

    def __init__(self, state: PresenceState, reread: Callable[[], None]) -> None:
        self._state = state
        self._reread = reread

    def begin(self) -> Loaded:
        """A load begins."""
        return Loaded()

    def loaded(self, rows: Loaded) -> None:
        """A load is complete: what isn't in the tables is gone."""
        state = self._state
        now = state.now()
        for decision in rows.watchers:
            state.decisions.save(decision)
        changed = set()
        kept = {row.ruid for row in rows.publications if row.expires > now}
        for row in [one for one in state.publications if one.ruid not in kept]:
            state.publications.remove(row.ruid)
            changed.add((row.event, row.resource))
        stale = []
        for row in rows.publications:
            if row.expires <= now:
                stale.append(row)
                continue
            old = state.publications.get(row.ruid)
            if old is None or old.etag != row.etag:
                state.publications.save(row)
                changed.add((row.event, row.resource))
        state.store.delete(stale)
        tags = {row.to_tag for row in rows.subscriptions}
        self.unsubscribed([tag for tag, one in state.subscriptions.by_tag.items() if tag not in tags and one.node != state.node])
        self.subscribed([row for row in rows.subscriptions if row.expires > now])
        state.store.delete([row for row in rows.subscriptions if row.expires <= now and row.node == state.node])
        if state.ready:
            for event, resource in changed:
                state.changed(event, resource)

    def published(self, resource: str, event: str, publications: list[Publication]) -> None:
        """All publications of a resource as they are now."""
        state = self._state
        now = state.now()
        names = {row.ruid for row in publications}
        for row in state.publications.at(event, resource, 0.0):
            if row.ruid not in names:
                state.publications.remove(row.ruid)
        for row in publications:
            old = state.publications.get(row.ruid)
            if row.expires > now and (old is None or old.etag != row.etag):
                state.publications.save(row)
        state.changed(event, resource)

    def decided(self, resource: str, watchers: list[Watcher]) -> None:
        """All that a resource decided about those who watch it, as it is now."""
        state = self._state
        for event in state.packages:
            before = {one.watcher: one for one in state.decisions.of(resource, event)}
            after = {one.watcher: one for one in watchers if one.event == event}
            for name in [name for name in before if name not in after]:
                state.decisions.remove(before[name])
            for one in after.values():
                state.decisions.save(one)
            for name in {**before, **after}:
                judging.again(state, resource, name, event)

    def subscribed(self, subscriptions: list[Subscription]) -> None:
        """Rows that somebody else wrote, as they are now."""
        state = self._state
        for row in subscriptions:
            old = state.subscriptions.by_tag.get(row.to_tag)
            if old is None:
                state.subscriptions.add(row)
            elif row.node != state.node:
                if old.node == state.node:
                    # Its subscriber has gone to that node.
                    state.notifier.forget(old)
                old.local_cseq = max(old.local_cseq, row.local_cseq)
                old.status = row.status
                state.subscriptions.refresh(row)
            else:
                continue
            if state.ready:
                state.watched(row)

    def unsubscribed(self, to_tags: list[str]) -> None:
        """Rows that somebody else deleted."""
        state = self._state
        for tag in to_tags:
            row = state.subscriptions.remove(tag)
            if row is not None:
                state.notifier.forget(row)
                state.watched(row)

    def lost(self) -> None:
        """News may have been missed: all tables are read again."""
        self._reread()
