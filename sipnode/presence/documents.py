"""The documents of states, each made once for all that are told it.

The invariant: a document that is given out is of the state now; of the last place that was asked for, it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sipnode.errors import ParseError

if TYPE_CHECKING:
    from sipnode.presence.table import Place, Publications
    from sipnode.records import Publication, Subscription

_MOST_MADE: Final = 16
"""Documents of one place that are kept; of one with versions each subscriber may have its own."""


class Documents:
    """Makes them.

    Args:
        packages: IEventPackage by name.
        publications: What is published.
        is_watched: Whether a place has subscriptions.
        sees_all: ``(watcher, resource, package)``: whether a watcher is told the private part of a state too.
        now: Epoch seconds.
    """

    def __init__(
        self,
        packages: Mapping[str, Any],
        publications: Publications,
        is_watched: Callable[[str, str], bool],
        sees_all: Callable[[str, str, Any], bool],
        now: Callable[[], float],
    ) -> None:
        self._packages = packages
        self._publications = publications
        self._is_watched = is_watched
        self._sees_all = sees_all
        self._now = now
        self._place: Place = ("", "")
        self._made: dict[tuple[str, str, int], bytes] = {}
        self._told: dict[Place, int] = {}

    def of(self, subscription: Subscription, version: int) -> tuple[str, bytes]:
        """``(content type, body)`` for a subscriber."""
        package = self._packages.get(subscription.event)
        if package is None:
            return "", b""
        content_type = subscription.content_type or package.content_types[0]
        watcher = subscription.watcher if package.personal else ""
        if getattr(package, "private", False) and self._sees_all(subscription.watcher, subscription.resource, package):
            watcher = subscription.resource
        number = version if package.versioned else 0
        return content_type, self._document(package, subscription.event, subscription.resource, watcher, number, content_type)

    def changed(self, event: str, resource: str) -> None:
        """The state of a place may be another one."""
        if self._place == (event, resource):
            self._place = ("", "")

    def differs(self, event: str, resource: str) -> bool:
        """Whether the document of a place says something else than the last one that was made; True where there was none."""
        self.changed(event, resource)
        before = self._told.get((event, resource))
        if before is None:
            return True
        package = self._packages[event]
        self._document(package, event, resource, _whole(package, resource), 0, package.content_types[0])
        return self._told.get((event, resource)) != before

    def unwatched(self, event: str, resource: str) -> None:
        """Nobody watches a place any more."""
        self._told.pop((event, resource), None)

    def _document(self, package: Any, event: str, resource: str, watcher: str, version: int, content_type: str) -> bytes:
        place = (event, resource)
        if place != self._place:
            self._place, self._made = place, {}
        key = (content_type, watcher, version)
        body = self._made.get(key)
        if body is None:
            there = self._publications.at(event, resource, self._now())
            for one in there:
                self._read(package, one)
            if len(self._made) >= _MOST_MADE:
                self._made.clear()
            body = self._made[key] = package.state(resource, watcher, there, version, content_type)
            first = content_type == package.content_types[0] and watcher == _whole(package, resource)
            if first and not package.personal and not version and self._is_watched(event, resource):
                self._told[place] = hash(body)
        return body

    def _read(self, package: Any, row: Publication) -> None:
        if row.parsed is None and package.publish_types:
            try:
                row.parsed = package.check(row.body, package.publish_types[0])
            except ParseError:
                # Another program's row, or one of an older release: the package makes of it what it can.
                return


def _whole(package: Any, resource: str) -> str:
    """For whom a package makes the document that tells all."""
    return resource if getattr(package, "private", False) else ""
