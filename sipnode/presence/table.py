"""Publications and subscriptions in memory, and when they end.

The invariant: every row stands in each index exactly once, and in the heap of ends at least once at or before the time it ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from sys import intern

from sipnode.records import Publication, Subscription, Watcher

Place = tuple[str, str]
"""(event package, resource)"""


class Ends:
    """Names by the time at which they may have to end; one that was prolonged is asked about again later."""

    __slots__ = ("_heap", "_soonest")

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._soonest: dict[str, float] = {}

    def add(self, name: str, when: float) -> None:
        """Have a name looked at then, or before."""
        known = self._soonest.get(name)
        if known is None or when < known:
            self._soonest[name] = when
            heapq.heappush(self._heap, (when, name))

    def due(self, now: float, most: int) -> list[str]:
        """Names whose time has come; each has to be added again when it goes on."""
        found: list[str] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(found) < most:
            when, name = heapq.heappop(heap)
            if self._soonest.get(name) == when:
                del self._soonest[name]
                found.append(name)
        return found

    def __len__(self) -> int:
        return len(self._heap)


class Publications:
    """Live publications by place, oldest first, and by ``ruid``."""

    def __init__(self) -> None:
        self._by_place: dict[Place, list[Publication]] = {}
        self._by_ruid: dict[str, Publication] = {}
        self.ends = Ends()

    def __len__(self) -> int:
        return len(self._by_ruid)

    def __iter__(self) -> Iterator[Publication]:
        return iter(self._by_ruid.values())

    def at(self, event: str, resource: str, now: float) -> list[Publication]:
        """Those of a place that haven't expired, oldest first."""
        return [one for one in self._by_place.get((event, resource), ()) if one.expires > now]

    def get(self, ruid: str) -> Publication | None:
        """The publication with that name."""
        return self._by_ruid.get(ruid)

    def save(self, row: Publication) -> None:
        """Put in, or in the place of the one with the same ``ruid``."""
        old = self._by_ruid.get(row.ruid)
        rows = self._by_place.setdefault((row.event, row.resource), [])
        if old is not None and old in rows:
            rows[rows.index(old)] = row
        else:
            rows.append(row)
        self._by_ruid[row.ruid] = row
        self.ends.add(row.ruid, row.expires)

    def remove(self, ruid: str) -> Publication | None:
        """Take out."""
        row = self._by_ruid.pop(ruid, None)
        if row is not None:
            place = (row.event, row.resource)
            rows = [one for one in self._by_place.get(place, ()) if one.ruid != ruid]
            if rows:
                self._by_place[place] = rows
            else:
                self._by_place.pop(place, None)
        return row


class Subscriptions:
    """Live subscriptions by our tag, by place, by watcher and by device.

    Attributes:
        by_tag: All.
        of_resource: How many each resource has, of all packages.
    """

    def __init__(self) -> None:
        self.by_tag: dict[str, Subscription] = {}
        self.of_resource: dict[str, int] = {}
        self._by_place: dict[Place, dict[str, Subscription]] = {}
        self._of_watcher: dict[str, int] = {}
        self._of_device: dict[str, dict[str, None]] = {}
        self.ends = Ends()

    def __len__(self) -> int:
        return len(self.by_tag)

    def at(self, event: str, resource: str) -> list[Subscription]:
        """Those of a place."""
        found = self._by_place.get((event, resource))
        return list(found.values()) if found else []

    def is_watched(self, event: str, resource: str) -> bool:
        """Whether a place has any."""
        return (event, resource) in self._by_place

    def places(self) -> list[Place]:
        """All places that are watched."""
        return list(self._by_place)

    def count(self, watcher: str) -> int:
        """How many a watcher has."""
        return self._of_watcher.get(watcher, 0)

    def of_device(self, key: str) -> list[Subscription]:
        """Those that a device on a connection has, by its :func:`~sipnode.registrar.location.instance_key`."""
        return [self.by_tag[tag] for tag in self._of_device.get(key, ())]

    def add(self, row: Subscription) -> None:
        """Put a new one in; texts that many share are kept once."""
        row.event = intern(row.event)
        row.resource = intern(row.resource)
        row.watcher = intern(row.watcher)
        row.socket = intern(row.socket)
        row.local_contact = intern(row.local_contact)
        row.user_agent = intern(row.user_agent)
        row.content_type = intern(row.content_type)
        row.local_uri = intern(row.local_uri)
        row.remote_uri = intern(row.remote_uri)
        if row.to_tag not in self.by_tag:
            self._of_watcher[row.watcher] = self._of_watcher.get(row.watcher, 0) + 1
            self.of_resource[row.resource] = self.of_resource.get(row.resource, 0) + 1
        self.by_tag[row.to_tag] = row
        self._by_place.setdefault((row.event, row.resource), {})[row.to_tag] = row
        if row.key:
            self._of_device.setdefault(row.key, {})[row.to_tag] = None
        self.ends.add(row.to_tag, row.expires)

    def refresh(self, row: Subscription) -> Subscription:
        """Give the one with that tag what a SUBSCRIBE may change, and nothing else."""
        kept = self.by_tag.get(row.to_tag)
        if kept is None:
            self.add(row)
            return row
        kept.contact, kept.expires, kept.remote_cseq = row.contact, row.expires, row.remote_cseq
        kept.reserved = max(kept.reserved, row.reserved)
        if kept.key != row.key:
            self._leave_device(kept)
            if row.key:
                self._of_device.setdefault(row.key, {})[row.to_tag] = None
        kept.flow, kept.key, kept.host, kept.port = row.flow, row.key, row.host, row.port
        kept.websocket, kept.node, kept.socket, kept.source = row.websocket, row.node, intern(row.socket), row.source
        self.ends.add(kept.to_tag, kept.expires)
        return kept

    def remove(self, to_tag: str) -> Subscription | None:
        """Take out."""
        row = self.by_tag.pop(to_tag, None)
        if row is not None:
            place = (row.event, row.resource)
            there = self._by_place[place]
            del there[to_tag]
            if not there:
                del self._by_place[place]
            self._leave_device(row)
            for counts, name in ((self._of_watcher, row.watcher), (self.of_resource, row.resource)):
                left = counts[name] - 1
                if left:
                    counts[name] = left
                else:
                    del counts[name]
        return row

    def _leave_device(self, row: Subscription) -> None:
        tags = self._of_device.get(row.key)
        if tags is not None:
            tags.pop(row.to_tag, None)
            if not tags:
                del self._of_device[row.key]


class Decisions:
    """Decisions of presentities about their watchers: rows of ``watchers``."""

    def __init__(self) -> None:
        self._by_place: dict[Place, dict[str, Watcher]] = {}

    def get(self, resource: str, watcher: str, event: str) -> Watcher | None:
        """The decision, None where there is none."""
        there = self._by_place.get((event, resource))
        return None if there is None else there.get(watcher)

    def save(self, row: Watcher) -> None:
        """Keep."""
        self._by_place.setdefault((row.event, row.resource), {})[row.watcher] = row

    def remove(self, row: Watcher) -> None:
        """Forget."""
        place = (row.event, row.resource)
        there = self._by_place.get(place, {})
        there.pop(row.watcher, None)
        if not there:
            self._by_place.pop(place, None)

    def __iter__(self) -> Iterator[Watcher]:
        for there in self._by_place.values():
            yield from there.values()

    def of(self, resource: str, event: str) -> list[Watcher]:
        """All of a resource."""
        return list(self._by_place.get((event, resource), {}).values())
