"""PostgreSQL goes away in every way it can and comes back; meanwhile the reactor ticks, and what was acknowledged stays."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import psycopg2
from twisted.internet import reactor as _reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from sipnode.errors import StorageError
from sipnode.storage.factory import open_storage
from sipnode.storage.initialize import init_database
from tests.storage.suite import binding, rows_of, save

from .support import postgres
from .support.waiting import until
from .test_postgres import Feed

reactor: Any = _reactor
_TICK = 0.005


@functools.cache
def cluster() -> postgres.Cluster:
    """One for all outages, apart from that of the other tests."""
    return postgres.Cluster()


class Ticks:
    """Counts how often the reactor came round, and the longest it didn't."""

    def __init__(self) -> None:
        self.count = 0
        self.worst = 0.0
        self._last = reactor.seconds()
        self._loop = LoopingCall(self._tick)
        self._loop.start(_TICK, now=False)

    def _tick(self) -> None:
        now = reactor.seconds()
        self.worst = max(self.worst, now - self._last - _TICK)
        self._last = now
        self.count += 1

    def skip(self) -> None:
        """What went before was the test's own waiting."""
        self._last = reactor.seconds()

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()


class OutageTests(TestCase):
    """One outage each."""

    timeout = 120
    skip = postgres.missing()

    async def setUp(self) -> None:
        self.cluster = cluster()
        self.addCleanup(self.cluster.stop, signal.SIGKILL)
        self.cluster.start()
        await self.cluster.ready()
        self.database = self.cluster.create()
        init_database(self.cluster.url(self.database), "")
        self.store = open_storage(self.cluster.url(self.database, tls=True), "", reactor, node_id=3)
        self.addCleanup(self.store.close)
        self.feed = Feed()
        self.store.location.watch(self.feed)
        self.ticks = Ticks()
        self.addCleanup(self.report)

    def report(self) -> None:
        self.ticks.stop()
        Logger().info("{test}: worst stall of the reactor {ms:.0f} ms", test=self.id(), ms=self.ticks.worst * 1000)

    def do(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Something that the test itself waits for."""
        function(*arguments)
        self.ticks.skip()

    async def ticked(self) -> None:
        """The reactor goes on."""
        before = self.ticks.count
        await until(lambda: self.ticks.count > before + 20, "ticks of the reactor")

    async def away(self) -> None:
        await until(lambda: self.store.degraded, "the store's own word that it is away")
        await self.assertFailure(self.store.location.write(save(binding("lost"))), StorageError)
        await self.ticked()

    async def back(self, *ruids: str) -> None:
        await until(lambda: not self.store.degraded, lambda: f"the store's recovery: {self.store.degraded}")
        await self.store.location.write(save(binding("after")))
        rows = await rows_of(self.store)
        self.assertEqual(sorted(row.ruid for row in rows), sorted(("after", *ruids)))

    async def test_restarted(self) -> None:
        """Stopped and started by an operator: writes fail at once meanwhile, and news may have been missed."""
        await self.store.open()
        await self.store.location.write(save(binding("before")))
        self.do(self.cluster.stop)
        await self.away()
        await self.assertFailure(self.store.location.fetch("alice@example.test"), StorageError)
        await self.assertFailure(self.store.credentials.fetch("alice", "example.test"), StorageError)
        self.do(self.cluster.start)
        await self.back("before")
        await until(lambda: self.feed.losses, "the word that news may have been missed")

    async def test_absent_at_the_start(self) -> None:
        """A server that starts before its database finds it later."""
        self.do(self.cluster.stop)
        self.do(self.store.preflight)
        await self.assertFailure(self.store.open(), StorageError)
        await self.away()
        self.do(self.cluster.start)
        await self.back()

    async def test_killed(self) -> None:
        """SIGKILL under writes: every one that was acknowledged is there afterwards."""
        await self.store.open()
        acknowledged: set[str] = set()
        ended = []
        for number in range(300):
            ruid = f"r-{number}"
            ended.append(self.store.location.write(save(binding(ruid))).addCallback(lambda _, ruid=ruid: acknowledged.add(ruid)))
        await until(lambda: len(acknowledged) > 50, "some acknowledged writes")
        self.do(self.cluster.stop, signal.SIGKILL)
        await DeferredList(ended, consumeErrors=True)
        await self.away()
        self.do(self.cluster.start)
        await until(lambda: not self.store.degraded, "recovery")
        rows = await rows_of(self.store)
        self.assertEqual(acknowledged - {row.ruid for row in rows}, set())

    async def test_cut_off(self) -> None:
        """The network loses the connection of a write that hangs: what it was sent is ended before the next write can start."""
        await self.store.open()
        under_way = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'EXECUTE sipnode_location%%' AND state = 'active'"
        )
        blocker = self.cluster.connect(self.database)
        self.addCleanup(blocker.close)
        blocker.cursor().execute("BEGIN; LOCK TABLE location IN EXCLUSIVE MODE")
        writing = self.store.location.write(save(binding("r-1")))
        await until(lambda: self.cluster.execute(under_way, (self.database,)) == [(1,)], "the write that hangs")
        with socket.socket(fileno=os.dup(self.store._writer._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        await self.assertFailure(writing, StorageError)
        await until(lambda: self.cluster.execute(under_way, (self.database,)) == [(0,)], "the end of what it was sent")
        self.assertTrue(self.store.degraded)
        blocker.cursor().execute("ROLLBACK")
        await self.back()

    async def test_slow(self) -> None:
        """A write that another program's lock holds up: the store says so, reads go on, and the write is done when it is over."""
        await self.store.open()
        await self.store.location.write(save(binding("before")))
        blocker = self.cluster.connect(self.database)
        self.addCleanup(blocker.close)
        blocker.cursor().execute("BEGIN; LOCK TABLE location IN EXCLUSIVE MODE")
        writing = self.store.location.write(save(binding("meanwhile")))
        await until(lambda: "answer" in self.store.degraded, "the store's word that there is no answer")
        rows = await self.store.location.fetch("alice@example.test")
        self.assertEqual([row.ruid for row in rows], ["before"])
        await self.ticked()
        blocker.cursor().execute("ROLLBACK")
        await writing
        await self.back("before", "meanwhile")

    async def test_frozen(self) -> None:
        """SIGSTOP: the store says so, the reactor goes on, and the write under way is done when it is over."""
        await self.store.open()
        await self.store.location.write(save(binding("before")))
        self.do(self.cluster.freeze)
        try:
            writing = self.store.location.write(save(binding("meanwhile")))
            reading = self.store.location.fetch("alice@example.test")
            await until(lambda: "answer" in self.store.degraded, "the store's word that there is no answer")
            await self.ticked()
            # Longer than a read may take.
            await self.assertFailure(reading, StorageError)
        finally:
            self.do(self.cluster.resume)
        await writing
        await self.back("before", "meanwhile")

    async def test_frozen_at_the_start(self) -> None:
        """SIGSTOP before the first connection: attempts end by themselves, and the store connects when it is over."""
        self.do(self.cluster.freeze)
        try:
            opening = self.store.open()
            await self.ticked()
            await self.assertFailure(opening, StorageError)
        finally:
            self.do(self.cluster.resume)
        await self.back()

    async def test_no_connections_left(self) -> None:
        """A server that takes no more connections is tried again until it does."""
        taken = []
        try:
            with contextlib.suppress(psycopg2.OperationalError):
                while True:
                    taken.append(self.cluster.connect(self.database))
            self.ticks.skip()
            await self.assertFailure(self.store.open(), StorageError)
            self.assertIn("too many clients", self.store.degraded)
            await self.ticked()
        finally:
            for connection in taken:
                connection.close()
            self.ticks.skip()
        await self.back()

    async def test_read_only(self) -> None:
        """A database that takes no writes is read, says so, and takes them again."""
        await self.store.open()
        await self.store.location.write(save(binding("before")))
        self.do(self.cluster.execute, "ALTER SYSTEM SET default_transaction_read_only = on")
        self.do(self.cluster.execute, "SELECT pg_reload_conf()")
        try:
            await until(lambda: "read-only" in self.store.degraded, "the store's word that it is read-only")
            await self.away()
            rows = await self.store.location.fetch("alice@example.test")
            self.assertEqual([row.ruid for row in rows], ["before"])
        finally:
            self.do(self.cluster.execute, "ALTER SYSTEM RESET default_transaction_read_only")
            self.do(self.cluster.execute, "SELECT pg_reload_conf()")
        await self.back("before")
