"""Changes that others write into the tables of presence, and what a load brings, taken into memory.

The invariant: memory ends up as the tables are; a subscription of this node changes by this node's word alone, unless another one has
taken it over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zope.interface import implementer

from sipnode.interfaces import IPresenceFeed
from sipnode.records import Publication, Subscription, Watcher

if TYPE_CHECKING:
    from sipnode.presence.service import PresenceService


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
        service: Whose memory it is.
    """

    def __init__(self, service: PresenceService) -> None:
        self._service = service

    def begin(self) -> Loaded:
        """A load begins."""
        return Loaded()

    def loaded(self, rows: Loaded) -> None:
        """A load is complete: what isn't in the tables is gone."""
        service = self._service
        now = service.now()
        for decision in rows.watchers:
            service.decisions.save(decision)
        changed = set()
        kept = {row.ruid for row in rows.publications if row.expires > now}
        for row in [one for one in service.publications if one.ruid not in kept]:
            service.publications.remove(row.ruid)
            changed.add((row.event, row.resource))
        stale = []
        for row in rows.publications:
            if row.expires <= now:
                stale.append(row)
                continue
            old = service.publications.get(row.ruid)
            if old is None or old.etag != row.etag:
                service.publications.save(row)
                changed.add((row.event, row.resource))
        service.store.delete(stale)
        tags = {row.to_tag for row in rows.subscriptions}
        self.unsubscribed([tag for tag, one in service.subscriptions.by_tag.items() if tag not in tags and one.node != service.node])
        self.subscribed([row for row in rows.subscriptions if row.expires > now])
        service.store.delete([row for row in rows.subscriptions if row.expires <= now and row.node == service.node])
        if service.ready:
            for event, resource in changed:
                service.changed(event, resource)

    def published(self, resource: str, event: str, publications: list[Publication]) -> None:
        """All publications of a resource as they are now."""
        service = self._service
        now = service.now()
        names = {row.ruid for row in publications}
        for row in service.publications.at(event, resource, 0.0):
            if row.ruid not in names:
                service.publications.remove(row.ruid)
        for row in publications:
            old = service.publications.get(row.ruid)
            if row.expires > now and (old is None or old.etag != row.etag):
                service.publications.save(row)
        service.changed(event, resource)

    def decided(self, resource: str, watchers: list[Watcher]) -> None:
        """All that a resource decided about those who watch it, as it is now."""
        service = self._service
        for event in service.packages:
            before = {one.watcher: one for one in service.decisions.of(resource, event)}
            after = {one.watcher: one for one in watchers if one.event == event}
            for name in [name for name in before if name not in after]:
                service.decisions.remove(before[name])
            for one in after.values():
                service.decisions.save(one)
            for name in {**before, **after}:
                service.judge_again(resource, name, event)

    def subscribed(self, subscriptions: list[Subscription]) -> None:
        """Rows that somebody else wrote, as they are now."""
        service = self._service
        for row in subscriptions:
            old = service.subscriptions.by_tag.get(row.to_tag)
            if old is None:
                service.subscriptions.add(row)
            elif row.node != service.node:
                if old.node == service.node:
                    # Its subscriber has gone to that node.
                    service.notifier.forget(old)
                old.local_cseq = max(old.local_cseq, row.local_cseq)
                old.status = row.status
                service.subscriptions.refresh(row)
            else:
                continue
            if service.ready:
                service.watched(row)

    def unsubscribed(self, to_tags: list[str]) -> None:
        """Rows that somebody else deleted."""
        service = self._service
        for tag in to_tags:
            row = service.subscriptions.remove(tag)
            if row is not None:
                service.notifier.forget(row)
                service.watched(row)

    def lost(self) -> None:
        """News may have been missed: all tables are read again."""
        if self._service.running:
            self._service.load()
