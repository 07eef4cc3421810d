"""The store on PostgreSQL: a connection for writes, which listens too, and some for reads.

Invariant: the reactor never waits for the database. While it is away every call fails at once or after its limit, and
``degraded`` says why; it comes back without anybody's help.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.errors import StorageBusy, StorageError
from sipnode.interfaces import IStorage
from sipnode.records import Credential
from sipnode.storage.credentials import CachedCredentials, Key
from sipnode.storage.postgres import schema
from sipnode.storage.postgres.columns import Statements, text_of, text_value
from sipnode.storage.postgres.dsn import Dsn
from sipnode.storage.postgres.link import Link, Row
from sipnode.storage.postgres.location import PostgresLocation
from sipnode.storage.postgres.presence import PREPARE, PostgresPresence
from sipnode.storage.postgres.saving import PLANNING

CONNECTIONS: Final = 4
# Beside each read; a write has no limit here, since the next one has to stay behind it.
READ_SECONDS: Final = 5.0
SLOW_SECONDS: Final = 2.0
OPEN_SECONDS: Final = 3.0
CLOSE_SECONDS: Final = 10.0
_CHECK_SECONDS: Final = 2.0
_MOST_WAITING: Final = 1000
# Times 20 ms; longer than a reader waits between two attempts to connect.
_READERS_PATIENCE: Final = 350

_TWINS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s AND application_name <> %s LIMIT 1"
)
# Held by each session that listens: the triggers tell nobody when no other session has it. Before anything is read.
_LISTEN: Final = "SELECT pg_advisory_lock_shared(1397313614, 1); LISTEN sipnode_location; LISTEN sipnode_presence; LISTEN sipnode_users"
_READ_ONLY: Final = "SELECT current_setting('transaction_read_only')"
_HASHES: Final = "password, ha1, ha1b"
_SHA256: Final = ", ha1_sha256, ha1b_sha256"
_USERS: Final = (
    "SELECT username, domain, {} FROM subscriber WHERE (username, domain) IN (SELECT u, d FROM unnest(%s::text[], %s::text[]) AS w(u, d))"
)


@implementer(IStorage)
class PostgresStorage:
    """IStorage on a PostgreSQL database that others may use too.

    Args:
        dsn: Where.
        reactor: Clock, sockets and threads for name look-ups.
        cache_seconds: How long a credential is answered from memory.
        node_id: ``[node] id``; seen in pg_stat_activity.
        connections: For writes and reads, at least 2.
    """

    def __init__(self, dsn: Dsn, reactor: Any, cache_seconds: float = 60.0, node_id: int = 0, connections: int = CONNECTIONS) -> None:
        self.dsn = dsn
        self.degraded = f"{dsn.place} isn't connected yet"
        self._reactor = reactor
        self._log = Logger()
        # The random part tells two processes apart that were given the same id, and this one from its former life.
        self._name = f"sipnode-{node_id}-{secrets.token_hex(8)}"
        self._node_id = node_id
        self._writer = Link(reactor, dsn, self._name, self._writer_up, self._unwell, self._told)
        self._readers = [Link(reactor, dsn, self._name) for _ in range(max(1, connections - 1))]
        self._heard = False
        self._former = 0
        self._users = _USERS.format(_HASHES + _SHA256)
        self._opening: list[Deferred[None]] = []
        self._limit: Any = None
        self._waking: Any = None
        self._closed = True
        self._loop = LoopingCall(self._check)
        self._loop.clock = reactor
        self.location = PostgresLocation(self.query, self.command, self._name)
        self.presence = PostgresPresence(self.query, self.command, self._name)
        self.credentials = CachedCredentials(self._look_up, reactor, cache_seconds)

    @property
    def waiting(self) -> int:
        """See IStorage."""
        return sum(link.waiting for link in (self._writer, *self._readers))

    # -- life

    def preflight(self) -> None:
        """Look at the tables before the reactor runs. Raises StorageError when they can't be used; a database that is away
        is no fault: it may come later.
        """
        schema.preflight(self.dsn)

    def open(self) -> Deferred[None]:
        """Connect. Fires when that is done; fails with StorageError after some seconds, and goes on trying."""
        self._closed = False
        if not self._loop.running:
            self._loop.start(_CHECK_SECONDS, now=False)
        opened: Deferred[None] = Deferred()
        if not self.degraded and self._writer.connected:
            return succeed(None)
        if not self._opening:
            self._limit = self._reactor.callLater(OPEN_SECONDS, self._give_up)
        self._opening.append(opened)
        for link in (*self._readers, self._writer):
            link.start()
        return opened

    def close(self) -> Deferred[None]:
        """After the last write, or after a limit when the database doesn't answer."""
        if self._closed:
            return succeed(None)
        self._closed = True
        self._end_waking()
        self._give_up()
        if self._loop.running:
            self._loop.stop()
        for link in self._readers:
            link.stop()
        done: Deferred[None] = Deferred()
        limit = self._reactor.callLater(CLOSE_SECONDS, self._closing, done)
        self._writer.when_idle().addCallback(lambda _: self._closing(done, limit))
        return done

    def _closing(self, done: Deferred[None], limit: Any = None) -> None:
        if limit is not None and limit.active():
            limit.cancel()
        self._writer.stop()
        self.degraded = f"{self.dsn.place} is closed"
        if not done.called:
            done.callback(None)

    # -- what the rooms ask

    def list_users(self, domain: str) -> Deferred[list[str]]:
        """Names of the domain's users, sorted."""
        found = self.query("SELECT username FROM subscriber WHERE lower(domain) = %s", (text_value(domain.lower()),))
        return found.addCallback(lambda rows: sorted(row[0] for row in rows))

    def _look_up(self, keys: list[Key]) -> Deferred[dict[Key, Credential]]:
        names, domains = [text_value(name) for name, _ in keys], [text_value(domain) for _, domain in keys]
        found = self.query(lambda: self._users, (names, domains))
        return found.addCallback(lambda rows: {(row[0], row[1]): Credential(*row) for row in rows})

    def query(self, sql: str | Callable[[], str], arguments: Sequence[Any] = ()) -> Deferred[list[Row]]:
        """Run a select on the reader that is least busy. Fails with StorageError, also when there is no answer in time.

        Args:
            sql: Its text, or what gives it when the columns of the tables are known.
        """
        if self._opening:
            # A service that starts with the store asks before its first connection is made.
            opened: Deferred[None] = Deferred()
            self._opening.append(opened)
            return opened.addCallback(lambda _: self.query(sql, arguments))
        now = self._reactor.seconds()
        links = [link for link in self._readers if link.connected]
        if not links or self._closed:
            return fail(StorageError(self.degraded or f"{self.dsn.place} is away"))
        link = min(links, key=lambda one: (bool(one.waiting) and now - one.since > SLOW_SECONDS, one.waiting))
        if link.waiting >= _MOST_WAITING:
            return fail(StorageBusy("too many queries wait for PostgreSQL"))
        answer: Deferred[list[Row]] = Deferred()

        def late() -> None:
            answer.errback(StorageError(f"{self.dsn.place} didn't answer within {READ_SECONDS:g} s"))

        def answered(result: Any) -> None:
            # Nobody hears an answer that is late; the query must run on, for cancelling it would stop the process.
            if limit.active():
                limit.cancel()
                answer.callback(result)

        limit = self._reactor.callLater(READ_SECONDS, late)
        link.query(sql if isinstance(sql, str) else sql(), arguments).addBoth(answered)
        return answer

    def command(self, sql: str, arguments: Sequence[Any] = ()) -> Deferred[None]:
        """Run statements on the one connection of writes, as one transaction, after all before. Fails with StorageError."""
        if not self._writer.connected or self._closed:
            return fail(StorageError(self.degraded or f"{self.dsn.place} is away"))
        return self._writer.command(sql, arguments).addErrback(self._refused)

    # -- health

    def _refused(self, failure: Any) -> Any:
        self._unwell(failure.getErrorMessage())
        return failure

    def _unwell(self, reason: str) -> None:
        if not self.degraded or self._opening:
            self._log.warn("{reason}", reason=reason)
        self.degraded = reason

    def _well(self) -> None:
        if self.degraded:
            self._log.info("{place} takes writes", place=self.dsn.place)
        self.degraded = ""
        self._end_limit()
        opening, self._opening = self._opening, []
        for waiter in opening:
            waiter.callback(None)

    def _give_up(self) -> None:
        self._end_limit()
        opening, self._opening = self._opening, []
        for waiter in opening:
            waiter.errback(StorageError(self.degraded))

    def _end_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()

    def _check(self) -> None:
        link = self._writer
        if not link.connected or self._waking is not None:
            return
        if not link.waiting:
            link.query(_READ_ONLY).addCallbacks(self._checked, lambda failure: self._unwell(failure.getErrorMessage()))
        elif self._reactor.seconds() - link.since > SLOW_SECONDS:
            self._unwell(f"{self.dsn.place} doesn't answer")

    def _checked(self, rows: list[Row]) -> None:
        if rows[0][0] == "on":
            self._unwell(f"{self.dsn.place} is read-only")
        else:
            self._well()

    # -- connections

    @inlineCallbacks
    def _writer_up(self, link: Link) -> Generator[Deferred[Any], Any, None]:
        if self._former:
            # Commands sent to the former connection must not be carried out after those of this one.
            yield link.query(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid = %s AND application_name = %s",
                (self._former, self._name),
            )
        ((self._former,),) = yield link.query("SELECT pg_backend_pid()")
        yield link.command(_LISTEN)
        columns = yield link.query(schema.COLUMNS)
        versions = yield link.query(schema.VERSIONS) if ("version", "table_version") in columns else succeed([])
        fault = schema.fault_of(set(columns), dict(versions))
        if fault:
            raise StorageError(fault)
        if self._node_id:
            twins = yield link.query(_TWINS, (f"sipnode-{self._node_id}-%", self._name))
            if twins:
                self._log.error("another process is connected as node {id}: [node] id has to be another for each", id=self._node_id)
        self.location.statements = Statements(("location", "flow") in columns)
        prepare = [self.location.statements.saving.prepare, *(prepare for table, prepare in PREPARE.items() if (table, "id") in columns)]
        yield link.command("; ".join((PLANNING, *prepare)))
        self._users = _USERS.format(_HASHES + (_SHA256 if ("subscriber", "ha1_sha256") in columns else ""))
        rows = yield link.query(_READ_ONLY)
        # Readers first: who is told that the store is open reads at once.
        self._end_waking()
        self._waking = self._reactor.callLater(0, self._when_readers, rows, _READERS_PATIENCE)

    def _end_waking(self) -> None:
        waking, self._waking = self._waking, None
        if waking is not None and waking.active():
            waking.cancel()

    def _when_readers(self, rows: list[Row], patience: int) -> None:
        self._waking = None
        if self._closed or not self._writer.connected:
            return
        if patience and not any(link.connected for link in self._readers):
            self._waking = self._reactor.callLater(0.02, self._when_readers, rows, patience - 1)
            return
        self._checked(rows)
        if self._heard:
            self._log.info("listening to {place} again", place=self.dsn.place)
            self.location.lost()
            self.presence.lost()
            self.credentials.forget_all()
        self._heard = True

    def _told(self, payload: str) -> None:
        if not self._told_of_users(payload) and not self.presence.told(payload):
            self.location.told(payload)

    def _told_of_users(self, payload: str) -> bool:
        """``WRITER U user@domain …`` or ``WRITER V``; False when it isn't about users."""
        kind, _, text = payload.partition(" ")[2].partition(" ")
        if kind == "U":
            for name in text.split(" "):
                username, _, domain = text_of(name.replace("%20", " ").replace("%25", "%")).rpartition("@")
                self.credentials.forget(username, domain)
        elif kind == "V":
            self.credentials.drop()
        return kind in ("U", "V")
