"""The tables of presence in PostgreSQL: group commits by one statement for each table, loading by pages, news of what others write.

Invariant: as for ``location``: a write is acknowledged when PostgreSQL has committed it, and no value of a client makes the server refuse
a whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.interfaces import IPresenceBackend, IPresenceFeed
from sipnode.records import PresenceChange, Publication, Subscription, Watcher
from sipnode.storage.postgres.columns import text_of, text_value
from sipnode.storage.postgres.link import Row
from sipnode.storage.postgres.saving import Saving
from sipnode.storage.presence_rows import (
    ACTIVE_WATCHERS,
    PRESENTITY,
    WATCHERS,
    publication_of,
    publication_row,
    resource_of,
    subscription_of,
    subscription_row,
    uri_of,
    watcher_of,
    watcher_row,
)

Query = Callable[..., Deferred[list[Row]]]

_PAGE: Final = 1000
_MOST_NEWS: Final = 20_000
_LARGEST: Final = (1 << 31) - 1
_NUMBERS: Final = frozenset(
    ("expires", "received_time", "priority", "local_cseq", "remote_cseq", "status", "version", "updated", "updated_winfo", "flags",
     "inserted_time")
)  # fmt: skip
_LENGTHS: Final = {
    "etag": 128, "sender": 255, "presentity_uri": 255, "to_tag": 128, "from_tag": 128, "callid": 255, "contact": 255,
    "record_route": 4096, "local_contact": 255, "user_agent": 255,
}  # fmt: skip


class _Table:
    """SQL for one table."""

    def __init__(self, name: str, columns: tuple[str, ...], key: tuple[str, ...]) -> None:
        self.name = name
        self.columns = columns
        self.key = tuple(columns.index(one) for one in key)
        kinds = ["int4" if one in _NUMBERS else "bytea" if one == "body" else "text" for one in columns]
        select = f"SELECT {', '.join(columns)}, id FROM {name}"
        self.page = f"{select} WHERE id > %s ORDER BY id LIMIT %s"
        self.select = select
        self.saving = Saving(name, dict(zip(columns, kinds, strict=True)), key)
        names = [f"k{number}" for number in range(len(key))]
        self.delete = (
            f"DELETE FROM {name} USING unnest({', '.join('%s::text[]' for _ in key)}) AS gone({', '.join(names)}) "
            f"WHERE {' AND '.join(f'{name}.{one} = gone.{given}' for one, given in zip(key, names, strict=True))}"
        )

    def values(self, row: Row) -> Row:
        """A row as PostgreSQL takes it."""
        return tuple(_value(name, value) for name, value in zip(self.columns, row, strict=True))


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        return min(int(value), _LARGEST)
    return text_value(value, _LENGTHS.get(name, 64)) if isinstance(value, str) else value


_PUBLICATIONS: Final = _Table("presentity", PRESENTITY, ("ruid",))
_SUBSCRIPTIONS: Final = _Table("active_watchers", ACTIVE_WATCHERS, ("callid", "to_tag", "from_tag"))
_WATCHERS: Final = _Table("watchers", WATCHERS, ("presentity_uri", "watcher_username", "watcher_domain", "event"))
_AT: Final = (
    f"{_PUBLICATIONS.select} WHERE (username, domain, event) IN "
    "(SELECT u, d, e FROM unnest(%s::text[], %s::text[], %s::text[]) AS w(u, d, e)) ORDER BY id"
)
PREPARE: Final = {table.name: table.saving.prepare for table in (_PUBLICATIONS, _SUBSCRIPTIONS, _WATCHERS)}
_BY_TAG: Final = f"{_SUBSCRIPTIONS.select} WHERE to_tag = ANY(%s) ORDER BY id"
_BY_URI: Final = f"{_WATCHERS.select} WHERE presentity_uri = ANY(%s) ORDER BY id"
_PURGE: Final = "DELETE FROM presentity WHERE expires < %s; DELETE FROM active_watchers WHERE expires < %s"


def _texts(row: Row) -> Row:
    return tuple(text_of(value) if isinstance(value, str) else value for value in row)


@implementer(IPresenceBackend)
class PostgresPresence:
    """The three tables.

    Args:
        query: Runs a select on some connection.
        command: Runs statements on the connection of writes.
        writer: Our name in notifications; those that bear it are ours.
    """

    def __init__(self, query: Query, command: Callable[..., Deferred[None]], writer: str) -> None:
        self._query = query
        self._command = command
        self._writer = writer
        self._feed: IPresenceFeed | None = None
        self._places: dict[str, None] = {}
        self._tags: dict[str, None] = {}
        self._uris: dict[str, None] = {}
        self._fetching = False
        self._log = Logger()

    # -- rows

    def load_publications(self, take: Callable[[list[Publication]], Any]) -> Deferred[int]:
        """All rows, oldest first, page by page."""
        return self._load(_PUBLICATIONS, publication_of, take)

    def load_subscriptions(self, take: Callable[[list[Subscription]], Any]) -> Deferred[int]:
        """The same of subscriptions."""
        return self._load(_SUBSCRIPTIONS, subscription_of, take)

    def load_watchers(self, take: Callable[[list[Watcher]], Any]) -> Deferred[int]:
        """The same of decisions."""
        return self._load(_WATCHERS, watcher_of, take)

    @inlineCallbacks
    def _load(self, table: _Table, make: Callable[[Row], Any], take: Callable[[list[Any]], Any]) -> Generator[Deferred[Any], Any, int]:
        total, last = 0, -(1 << 31)
        while True:
            rows = yield self._query(table.page, (last, _PAGE))
            if rows:
                total += len(rows)
                last = rows[-1][-1]
                yield maybeDeferred(take, [make(_texts(row)) for row in rows])
            if len(rows) < _PAGE:
                return total

    def write(self, changes: list[PresenceChange]) -> Deferred[None]:
        """One transaction in one round trip. Rows are taken from the records now; of several changes to one row the last counts."""
        saved: dict[_Table, dict[Row, Row]] = {}
        gone: dict[_Table, dict[Row, None]] = {}
        for change in changes:
            table, row = _row(change)
            key = tuple(row[place] for place in table.key)
            if change.delete:
                saved.setdefault(table, {}).pop(key, None)
                gone.setdefault(table, {})[key] = None
            else:
                gone.setdefault(table, {}).pop(key, None)
                saved.setdefault(table, {})[key] = row
        statements: list[str] = []
        arguments: list[Any] = []
        # Always in the same order, so that two nodes can't wait for each other's rows.
        for table in (_PUBLICATIONS, _SUBSCRIPTIONS, _WATCHERS):
            keys, rows = sorted(gone.get(table, ())), saved.get(table, {})
            if keys:
                statements.append(table.delete)
                arguments += [list(column) for column in zip(*keys, strict=True)]
            if rows:
                statements.append(table.saving.execute)
                arguments += table.saving.arguments(rows[key] for key in sorted(rows))
        return self._command("; ".join(statements) or "SELECT", arguments)

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        return self._command(_PURGE, (int(before), int(before)))

    # -- news

    def watch(self, feed: IPresenceFeed) -> None:
        """Tell what others write from now on."""
        self._feed = feed

    def lost(self) -> None:
        """Notifications may have gone by."""
        for wanted in (self._places, self._tags, self._uris):
            wanted.clear()
        if self._feed is not None:
            self._feed.lost()

    def told(self, payload: str) -> bool:
        """A notification; False when it isn't about presence."""
        writer, _, news = payload.partition(" ")
        kind, _, text = news.partition(" ")
        if kind not in ("P", "W", "X", "J", "Q"):
            return False
        feed = self._feed
        if writer == self._writer or feed is None:
            return True
        names = text.split(" ") if text else []
        if kind == "Q" or len(self._places) + len(self._tags) + len(self._uris) + len(names) > _MOST_NEWS:
            self.lost()
            return True
        if kind == "X":
            for name in names:
                self._tags.pop(name, None)
            feed.unsubscribed(names)
            return True
        wanted = self._places if kind == "P" else self._tags if kind == "W" else self._uris
        wanted.update(dict.fromkeys(names))
        if not self._fetching:
            self._fetching = True
            self._fetch().addBoth(self._fetched)
        return True

    @inlineCallbacks
    def _fetch(self) -> Generator[Deferred[Any], Any, None]:
        feed = self._feed
        while feed is not None and (self._places or self._tags or self._uris):
            places, tags, uris = ([*wanted][:_PAGE] for wanted in (self._places, self._tags, self._uris))
            for wanted, names in ((self._places, places), (self._tags, tags), (self._uris, uris)):
                for name in names:
                    del wanted[name]
            if uris:
                plain = [_plain(one) for one in uris]
                rows = yield self._query(_BY_URI, (plain,))
                found = [watcher_of(_texts(row)) for row in rows]
                for uri in plain:
                    resource = resource_of(text_of(uri))
                    feed.decided(resource, [one for one in found if uri_of(one.resource) == uri_of(resource)])
            if places:
                split = [_plain(one).rpartition("|") for one in places]
                keys = [(*resource.rpartition("@")[::2], event) for resource, _, event in split]
                rows = yield self._query(_AT, tuple([list(column) for column in zip(*keys, strict=True)]))
                published: dict[tuple[str, str], list[Publication]] = {(text_of(f"{u}@{d}"), text_of(e)): [] for u, d, e in keys}
                for row in rows:
                    one = publication_of(_texts(row))
                    published.setdefault((one.resource, one.event), []).append(one)
                for (resource, event), publications in published.items():
                    feed.published(resource, event, publications)
            if tags:
                rows = yield self._query(_BY_TAG, (tags,))
                feed.subscribed([subscription_of(_texts(row)) for row in rows])

    def _fetched(self, result: Any) -> None:
        self._fetching = False
        if result is not None:
            self._log.warn("news of presence couldn't be read: {reason}", reason=result.getErrorMessage())
            self.lost()


def _row(change: PresenceChange) -> tuple[_Table, Row]:
    one = change.row
    if isinstance(one, Publication):
        return _PUBLICATIONS, _PUBLICATIONS.values(publication_row(one))
    if isinstance(one, Subscription):
        return _SUBSCRIPTIONS, _SUBSCRIPTIONS.values(subscription_row(one))
    return _WATCHERS, _WATCHERS.values(watcher_row(one))


def _plain(text: str) -> str:
    return text.replace("%20", " ").replace("%25", "%")
