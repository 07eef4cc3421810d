"""One connection to PostgreSQL that comes back by itself.

Invariant: nothing here waits inside of the process. A query is never cancelled (libpq would send the cancel with the whole
process standing still): time is kept beside it. Each link notices its own death and reconnects on its own, with back-off.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from txpostgres import txpostgres

from sipnode.errors import StorageError
from sipnode.storage.postgres.dsn import CONNECT_SECONDS, Dsn

FIRST_DELAY: Final = 0.2
LAST_DELAY: Final = 5.0

Row = tuple[Any, ...]


def reason_of(fault: BaseException | None) -> str:
    """The first line of what the server or libpq says."""
    text = str(fault).strip().split("\n", 1)[0] if fault is not None else ""
    return text.removeprefix("ERROR:").strip() or type(fault).__name__


class _Connection(txpostgres.Connection):  # type: ignore[misc]  # txpostgres has no annotations
    """A connection that runs one statement at a time by itself: a cursor of txpostgres takes four more system calls, three more
    Deferreds and another turn of the reactor for it.
    """

    def __init__(self, reactor: Any, gone: Callable[[Failure], None], told: Callable[[str], None]) -> None:
        super().__init__(reactor)
        self._gone = gone
        self._told = told
        self._cursor: Any = None
        self._rows = False
        self._answer: Deferred[Any] | None = None

    def run(self, sql: str, arguments: Sequence[Any] | None, rows: bool) -> Deferred[Any]:
        """Send a statement; the one before has been answered. Fires with its rows, where they are wanted."""
        # Not read from while libpq is called: it closes a socket that has failed, which the reactor would then still look at.
        self.reactor.removeReader(self)
        self._cursor, self._rows = self._connection.cursor(), rows
        answer = self._answer = Deferred()
        try:
            self._cursor.execute(sql, arguments)
        except Exception:
            self._answered(Failure())
        else:
            self._poll()
        return answer

    def _poll(self) -> None:
        try:
            state = self._connection.poll()
            if state == POLL_OK:
                self._answered(self._cursor.fetchall() if self._rows else None)
                return
        except psycopg2.Error:
            self._answered(Failure())
            return
        if state == POLL_WRITE:
            self.reactor.addWriter(self)
        self.reactor.addReader(self)

    def _answered(self, result: Any) -> None:
        answer, self._answer, self._cursor = self._answer, None, None
        if not self._connection.closed:
            self.reactor.addReader(self)
            self.checkForNotifies()
        if answer is not None:
            answer.callback(result)

    def doRead(self) -> None:
        if self._answer is not None:
            self.reactor.removeReader(self)
            self._poll()
            return
        try:
            super().doRead()
        except psycopg2.Error:
            self.connectionLost(Failure())

    def doWrite(self) -> None:
        if self._answer is None:
            super().doWrite()
            return
        self.reactor.removeWriter(self)
        self.reactor.removeReader(self)
        self._poll()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._answer is not None:
            self._answered(reason)
        self._gone(reason)

    def checkForNotifies(self) -> None:
        notifies = self._connection.notifies
        if notifies:
            news, notifies[:] = list(notifies), []
            for one in news:
                self._told(one.payload)


class Link:
    """A connection, kept up.

    Args:
        reactor: Clock, sockets, and threads to resolve names in.
        dsn: Where to.
        application_name: As the server's pg_stat_activity shows it.
        up: Called with the link each time it is connected, before others use it; may return a Deferred; when it fails the
            connection is given up and tried again.
        down: Called with the reason each time it is lost, or couldn't be made.
        told: Called with the payload of each notification.

    Attributes:
        connected: It can be used.
        waiting: Queries that have no answer yet.
        since: When the oldest of them was sent.
    """

    def __init__(
        self,
        reactor: Any,
        dsn: Dsn,
        application_name: str,
        up: Callable[[Link], Any] = lambda link: None,
        down: Callable[[str], None] = lambda reason: None,
        told: Callable[[str], None] = lambda payload: None,
    ) -> None:
        self._reactor = reactor
        self._dsn = dsn
        self._name = application_name
        self._up = up
        self._down = down
        self._told = told
        self.connected = False
        self.waiting = 0
        self.since = 0.0
        self._connection: _Connection | None = None
        self._timer: Any = None
        self._limit: Any = None
        self._delay = FIRST_DELAY
        self._running = False
        self._attempts = 0
        self._idle: list[Deferred[None]] = []
        self._queue: deque[tuple[Deferred[Any], str, Sequence[Any] | None, bool]] = deque()
        self._busy = False
        self._sending = False

    def start(self) -> None:
        """Connect, and stay connected."""
        if not self._running:
            self._running = True
            self._attempt()

    def stop(self) -> None:
        """Disconnect for good; queries under way fail."""
        self._running = False
        self._drop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def when_idle(self) -> Deferred[None]:
        """Fires when no query is under way."""
        if not self.waiting:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        return waiter

    def query(self, sql: str, arguments: Sequence[Any] = ()) -> Deferred[list[Row]]:
        """Run a statement that has rows, after those before it. Fails with StorageError."""
        return self._run(sql, arguments, True)

    def command(self, sql: str, arguments: Sequence[Any] = ()) -> Deferred[None]:
        """Run a statement without rows, or several of them as one transaction. Fails with StorageError."""
        return self._run(sql, arguments, False)

    def _run(self, sql: str, arguments: Sequence[Any], rows: bool) -> Deferred[Any]:
        if self._connection is None:
            return fail(StorageError(f"{self._dsn.place} is away"))
        self.waiting += 1
        done: Deferred[Any] = Deferred()
        self._queue.append((done, sql, arguments or None, rows))
        self._next()
        return done

    def _next(self) -> None:
        # A queue of our own: txpostgres has one that a dead connection empties by recursion, a level for each query.
        if self._sending:
            return
        self._sending = True
        while self._queue and not self._busy:
            connection = self._connection
            done, sql, arguments, rows = self._queue.popleft()
            if connection is None:
                self._finish(done, Failure(StorageError(f"{self._dsn.place} is away")))
                continue
            self._busy = True
            self.since = self._reactor.seconds()
            connection.run(sql, arguments, rows).addBoth(self._answered, done, connection)
        self._sending = False

    def _answered(self, result: Any, done: Deferred[Any], connection: _Connection) -> None:
        self._busy = False
        if isinstance(result, Failure):
            fault = result.value
            if connection is self._connection and connection.closed:
                self._failed(connection, reason_of(fault))
            result = Failure(StorageError(f"{self._dsn.place}: {reason_of(fault)}"))
        self._finish(done, result)
        self._next()

    def _finish(self, done: Deferred[Any], result: Any) -> None:
        self.waiting -= 1
        done.callback(result)
        if not self.waiting:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)

    # -- life of the connection

    def _attempt(self) -> None:
        self._timer = None
        if self._dsn.host:
            port = self._dsn.parameters.get("port", 5432)
            pool = self._reactor.getThreadPool()
            found: Deferred[Any] = deferToThreadPool(self._reactor, pool, socket.getaddrinfo, self._dsn.host, port, type=socket.SOCK_STREAM)
            found.addCallback(lambda all_: self._connect({"hostaddr": all_[self._attempts % len(all_)][4][0]}))
            found.addErrback(lambda failure: self._failed(None, reason_of(failure.value)))
        else:
            self._connect({})

    def _connect(self, address: dict[str, str]) -> None:
        if not self._running:
            return
        self._attempts += 1
        connection = _Connection(self._reactor, lambda reason: self._lost(connection, reason_of(reason.value)), self._told)
        self._connection = connection
        self._limit = self._reactor.callLater(CONNECT_SECONDS, self._failed, connection, "no answer to the attempt to connect")
        made = connection.connect(**self._dsn.parameters, application_name=self._name, **address)
        made.addCallback(lambda _: self._up(self) if connection is self._connection else None)
        made.addCallbacks(lambda _: self._made(connection), lambda failure: self._failed(connection, reason_of(failure.value)))

    def _made(self, connection: _Connection) -> None:
        if connection is not self._connection:
            return
        self._cancel_limit()
        self._delay = FIRST_DELAY
        self.connected = True

    def _lost(self, connection: _Connection, reason: str) -> None:
        if connection is self._connection and self.connected:
            self._failed(connection, reason)

    def _failed(self, connection: _Connection | None, reason: str) -> None:
        if connection is not self._connection and connection is not None:
            return
        self._drop()
        if not self._running:
            return
        self._timer = self._reactor.callLater(self._delay * random.uniform(0.8, 1.2), self._attempt)
        self._delay = min(self._delay * 2, LAST_DELAY)
        self._down(f"{self._dsn.place}: {reason}")

    def _drop(self) -> None:
        self._cancel_limit()
        connection, self._connection = self._connection, None
        self.connected = False
        if connection is not None and connection.pollable() is not None:
            connection.close()
        # Those that wait fail; the one under way has been told by close().
        self._next()

    def _cancel_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
