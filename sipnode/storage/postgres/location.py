"""The ``location`` table in PostgreSQL: group commits by one statement each, loading by pages, and news of what others write.

Invariant: a write is acknowledged when PostgreSQL has committed it, with whatever ``synchronous_commit`` the server has.
Writes go down one connection, so a later one can't overtake an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.interfaces import ILocationBackend, ILocationFeed
from sipnode.records import Binding, LocationChange
from sipnode.storage.postgres.columns import Statements, binding_of, row_of, text_of, text_value
from sipnode.storage.postgres.link import Row
from sipnode.storage.rows import account_of

Query = Callable[..., Deferred[list[Row]]]

# Rows of an answer: some 10 ms of work for the reactor.
_PAGE: Final = 1000
_MOST_NEWS: Final = 50_000
# SQL of one statement each would be two transactions' worth of round trips; in one string they are one transaction.
_BOTH: Final = "; "


@implementer(ILocationBackend)
class PostgresLocation:
    """The table.

    Args:
        query: Runs a select on some connection.
        command: Runs statements on the connection of writes.
        writer: Our name in notifications; those that bear it are ours.
    """

    def __init__(self, query: Query, command: Callable[..., Deferred[None]], writer: str) -> None:
        self._query = query
        self._command = command
        self._writer = writer
        self.statements = Statements(True)
        self._feed: ILocationFeed | None = None
        self._wanted: dict[str, None] = {}
        self._gone_meanwhile: set[str] = set()
        self._fetching = False
        self._log = Logger()

    @inlineCallbacks
    def load(self, take: Callable[[list[Binding]], Any]) -> Generator[Deferred[Any], Any, int]:
        """All rows, expired ones included, oldest first, page by page."""
        total, last = 0, -(1 << 31)
        while True:
            rows = yield self._query(lambda: self.statements.page, (last, _PAGE))
            if rows:
                total += len(rows)
                last = rows[-1][-1]
                yield maybeDeferred(take, [binding_of(row) for row in rows])
            if len(rows) < _PAGE:
                return total

    def fetch(self, aor: str) -> Deferred[list[Binding]]:
        """The rows of one address-of-record now, oldest first."""
        username, domain = account_of(aor)
        found = self._query(self.statements.by_user, (text_value(username, 256), None if domain is None else text_value(domain, 256)))
        return found.addCallback(lambda rows: [binding_of(row) for row in rows])

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        """One transaction in one round trip. Rows are taken from the bindings now; of several changes to one row the last counts."""
        saved: dict[str, Row] = {}
        gone: dict[str, int | None] = {}
        for change in changes:
            ruid = change.binding.ruid[:64]
            if change.delete:
                saved.pop(ruid, None)
                gone[ruid] = change.of_node
            else:
                gone.pop(ruid, None)
                saved[ruid] = row_of(change.binding)
        statements: list[str] = []
        arguments: list[Any] = []
        if gone:
            statements.append(self.statements.delete)
            arguments += [sorted(gone), [gone[ruid] for ruid in sorted(gone)]]
        if saved:
            statements.append(self.statements.saving.execute)
            # Always in the same order, so that two nodes can't wait for each other's rows.
            arguments += self.statements.saving.arguments(saved[ruid] for ruid in sorted(saved))
        return self._command(_BOTH.join(statements) or "SELECT", arguments)

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        return self._command(self.statements.purge, (before,))

    # -- news

    def watch(self, feed: ILocationFeed) -> None:
        """Tell what others write from now on."""
        self._feed = feed

    def lost(self) -> None:
        """Notifications may have gone by."""
        self._wanted.clear()
        if self._feed is not None:
            self._feed.lost()

    def told(self, payload: str) -> None:
        """A notification: ``WRITER S ruid …``, ``WRITER D ruid/user@domain …`` or ``WRITER R``."""
        writer, _, news = payload.partition(" ")
        feed = self._feed
        if writer == self._writer or feed is None:
            return
        kind, _, text = news.partition(" ")
        ruids = text.split(" ")
        if kind == "D":
            rows = [_row_of_news(one) for one in ruids]
            for _, ruid in rows:
                self._wanted.pop(ruid, None)
            if self._fetching:
                self._gone_meanwhile.update(ruid for _, ruid in rows)
            feed.deleted(rows)
        elif kind == "S" and len(self._wanted) + len(ruids) <= _MOST_NEWS:
            self._wanted.update(dict.fromkeys(ruids))
            self._gone_meanwhile.difference_update(ruids)
            if not self._fetching:
                self._fetch_news()
        else:
            self.lost()

    def _fetch_news(self) -> None:
        ruids = list(self._wanted)[:_PAGE]
        for ruid in ruids:
            del self._wanted[ruid]
        self._fetching = True
        self._gone_meanwhile.clear()
        found = self._query(self.statements.by_ruid, (ruids,))
        found.addCallbacks(self._found, self._missed)
        found.addErrback(lambda failure: self._log.failure("news of the location table", failure))

    def _found(self, rows: list[Row]) -> None:
        self._fetching = False
        bindings = [binding_of(row) for row in rows if row[0] not in self._gone_meanwhile]
        if self._wanted:
            self._fetch_news()
        if bindings and self._feed is not None:
            self._feed.saved(bindings)

    def _missed(self, failure: Any) -> None:
        self._fetching = False
        self._log.warn("news of the location table couldn't be read: {reason}", reason=failure.getErrorMessage())
        self.lost()


def _row_of_news(text: str) -> tuple[str, str]:
    """(address-of-record, ruid) of ``ruid/user@domain``."""
    ruid, _, account = text.partition("/")
    return text_of(account.replace("%20", " ").replace("%25", "%")), ruid
