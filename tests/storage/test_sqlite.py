from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from sipnode.errors import StorageError
from sipnode.records import LocationChange
from sipnode.storage import users
from sipnode.storage.sqlite import SqliteStorage
from tests.storage.suite import PersistentStoreSuite, binding, rows_of, save

ROOT = str(Path(__file__).resolve().parents[2])

# Writes batches for as long as it lives and says on stdout which were acknowledged.
WRITER = """
import sys
from twisted.internet import reactor
from sipnode.records import Binding, LocationChange
from sipnode.settings import LocationSettings
from sipnode.storage.sqlite import SqliteStorage
from sipnode.storage.writer import GroupCommitWriter

store = SqliteStorage(sys.argv[1], reactor)
writer = GroupCommitWriter(store.location, reactor, LocationSettings(batch_seconds=0.001))

def put(number):
    ruid = f"r-{number}"
    change = LocationChange(Binding("alice@example.test", f"<sip:alice@192.0.2.1:{number}>", 1.0, ruid))
    writer.put([change]).addCallback(acknowledged, ruid, number)

def acknowledged(_, ruid, number):
    print(ruid, flush=True)
    put(number + 8)

store.open().addCallback(lambda _: [put(number) for number in range(8)])
reactor.run()
"""


class Victim(ProcessProtocol):
    """Is killed with SIGKILL when it has acknowledged enough."""

    def __init__(self, enough: int, ended: Any) -> None:
        self.enough = enough
        self.ended = ended
        self.seen = b""
        self.errors = b""
        self.killed = False

    def outReceived(self, data: bytes) -> None:
        self.seen += data
        if self.seen.count(b"\n") >= self.enough and not self.killed:
            self.killed = True
            self.transport.signalProcess("KILL")

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(reason.value)


class SqliteStorageTests(PersistentStoreSuite, TestCase):
    """The store of ``sqlite:``."""

    timeout = 60

    def setUp(self) -> None:
        self.path = os.path.join(self.mktemp_folder(), "sipnode.sqlite")

    def mktemp_folder(self) -> str:
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        return folder

    def make_store(self, **options: Any) -> SqliteStorage:
        return SqliteStorage(self.path, reactor, **options)

    def add_user(self, store: Any, username: str, domain: str, password: str) -> None:
        users.add_user(self.path, username, domain, password)

    @inlineCallbacks
    def fails(self, deferred: Any, *words: str) -> Any:
        fault = yield self.assertFailure(deferred, StorageError)
        for word in (self.path, *words):
            self.assertIn(word, str(fault))

    @inlineCallbacks
    def test_changed_by_another_program(self) -> Any:
        """What ``sipnode user`` changes is seen in a second or so, whatever the cache says; what the store writes itself is no news."""
        store = self.make_store(cache_seconds=600.0)
        self.addCleanup(store.close)
        yield store.open()

        def forgotten() -> bool:
            try:
                store.credentials.cached("alice", "example.test")
            except KeyError:
                return True
            return False

        for change in (users.add_user, users.set_password, users.remove_user):
            yield store.credentials.fetch("alice", "example.test")
            for number in range(3):
                yield store.location.write(save(binding(f"r-{number}")))
                yield store._look()
            self.assertFalse(forgotten())
            change(self.path, "alice", "example.test", *(() if change is users.remove_user else (change.__name__,)))
            while not forgotten():
                yield deferLater(reactor, 0.02)
        self.assertIsNone((yield store.credentials.fetch("alice", "example.test")))

    @inlineCallbacks
    def test_kill_9(self) -> Any:
        """Every change that was acknowledged before SIGKILL is there after it, and the file is sound."""
        ended: Any = Deferred()
        victim = Victim(200, ended)
        environment = dict(os.environ, PYTHONPATH=ROOT)
        reactor.spawnProcess(victim, sys.executable, [sys.executable, "-c", WRITER, self.path], environment)
        reason = yield ended
        self.assertIsInstance(reason, ProcessTerminated, victim.errors)
        self.assertEqual(reason.signal, signal.SIGKILL, victim.errors)
        acknowledged = set(victim.seen.decode().split("\n")[:-1])
        self.assertGreaterEqual(len(acknowledged), 200)
        store = yield self.opened()
        rows = yield rows_of(store)
        self.assertLessEqual(acknowledged, {row.ruid for row in rows})
        with closing(sqlite3.connect(self.path)) as look:
            self.assertEqual(look.execute("PRAGMA integrity_check").fetchall(), [("ok",)])

    @inlineCallbacks
    def test_durable_settings(self) -> Any:
        """Commits go to a write-ahead log and are synced each, so a power cut takes back nothing that was acknowledged."""
        store = yield self.opened()
        modes = yield store._run(lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")])
        self.assertEqual(modes, ["wal", 2])

    @inlineCallbacks
    def test_private_file(self) -> Any:
        """The file and its logs, which hold password hashes, are readable by their owner only, whatever the umask is."""
        previous = os.umask(0)
        try:
            store = yield self.opened()
            yield store.location.write(save(binding()))
        finally:
            os.umask(previous)
        for suffix in ("", "-wal", "-shm"):
            self.assertEqual(stat.S_IMODE(os.stat(self.path + suffix).st_mode) & 0o077, 0, suffix)

    @inlineCallbacks
    def test_all_or_nothing(self) -> Any:
        """A batch that fails half way leaves nothing of itself."""
        store = yield self.opened()
        poison = binding("r-2")
        poison.expires = None  # type: ignore[assignment]  # a row that the table refuses
        yield self.fails(store.location.write([*save(binding("r-1")), LocationChange(binding("r-9"), True), *save(poison)]))
        rows = yield rows_of(store)
        self.assertEqual(rows, [])
        yield store.location.write(save(binding("r-3")))

    @inlineCallbacks
    def test_locked(self) -> Any:
        """A file that another program has locked fails by name within the busy time, and works again after it."""
        store = self.make_store(busy_seconds=0.05)
        yield store.open()
        self.addCleanup(store.close)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield self.fails(store.location.write(save(binding())), "locked")
        yield store.location.write(save(binding()))
        rows = yield rows_of(store)
        self.assertEqual(len(rows), 1)

    @inlineCallbacks
    def test_locked_at_open(self) -> Any:
        """A new file that another program holds locked stops the start by name."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            store = self.make_store(busy_seconds=0.05)
            self.addCleanup(store.close)
            yield self.fails(store.open(), "locked")
        yield store.open()

    @inlineCallbacks
    def test_full_disk(self) -> Any:
        """A disk that is full fails the batch by name; what was there stays readable."""
        store = yield self.opened()
        yield store.location.write(save(binding()))
        yield store._run(lambda c: c.execute(f"PRAGMA max_page_count = {c.execute('PRAGMA page_count').fetchone()[0]}").fetchall())
        many = save(*(binding(f"r-{number}") for number in range(2, 200)))
        yield self.fails(store.location.write(many), "disk is full")
        rows = yield rows_of(store)
        self.assertEqual(rows, [binding()])

    @inlineCallbacks
    def test_no_database(self) -> Any:
        """A file that is something else is named and left as it is."""
        Path(self.path).write_bytes(b"#!/bin/sh\necho not a database\n" * 100)
        before = Path(self.path).read_bytes()
        store = self.make_store()
        self.addCleanup(store.close)
        yield self.fails(store.open(), "not an SQLite database")
        self.assertEqual(Path(self.path).read_bytes(), before)

    @inlineCallbacks
    def test_damaged(self) -> Any:
        """A database whose pages are damaged is named."""
        store = self.make_store()
        yield store.open()
        yield store.location.write(save(*(binding(f"r-{number}") for number in range(300))))
        yield store.close()
        with open(self.path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            for offset in range(4096, size, 4096):
                file.seek(offset)
                file.write(b"\xff" * 200)
        store = self.make_store()
        self.addCleanup(store.close)
        yield self.fails(store.open().addCallback(lambda _: rows_of(store)), "is damaged")

    @inlineCallbacks
    def test_folder_missing(self) -> Any:
        """A path in a folder that isn't there is named."""
        self.path = os.path.join(self.path, "none", "x.sqlite")
        store = self.make_store()
        self.addCleanup(store.close)
        yield self.fails(store.open(), "No such file")

    @inlineCallbacks
    def test_folder_in_its_place(self) -> Any:
        """A folder in the file's place is named."""
        os.mkdir(self.path)
        store = self.make_store()
        self.addCleanup(store.close)
        yield self.fails(store.open(), "directory")

    @inlineCallbacks
    def test_read_only(self) -> Any:
        """A file that can't be written is named at the start, not at the first REGISTER."""
        store = self.make_store()
        yield store.open()
        yield store.close()
        # Run as somebody whom the mode binds: root writes everywhere.
        script = """
            import os, sys
            from twisted.internet import reactor
            from sipnode.storage.sqlite import SqliteStorage
            os.chmod(sys.argv[1], 0o444)
            os.chmod(os.path.dirname(sys.argv[1]), 0o555)
            os.chdir(os.path.dirname(sys.argv[1]))
            if os.geteuid() == 0:
                os.setuid(65534)
            def end(result):
                print(repr(result))
                reactor.stop()
            reactor.callWhenRunning(lambda: SqliteStorage(os.path.basename(sys.argv[1]), reactor).open().addBoth(end))
            reactor.run()
        """
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([*sys.path, ROOT]))
        try:
            out, errors, _ = yield getProcessOutputAndValue(
                sys.executable, ["-c", textwrap.dedent(script), self.path], environment, os.path.dirname(self.path)
            )
        finally:
            os.chmod(os.path.dirname(self.path), 0o755)
        self.assertIn(b"StorageError", out, errors)
        self.assertIn(b"sipnode.sqlite", out)

    @inlineCallbacks
    def test_closed(self) -> Any:
        """A store that isn't open answers with StorageError, not with silence."""
        store = self.make_store()
        yield self.fails(rows_of(store), "not open")
        yield self.fails(store.location.write(save(binding())), "not open")
        yield self.assertFailure(store.credentials.fetch("alice", "example.test"), StorageError)
        yield store.close()

    @inlineCallbacks
    def test_open_twice(self) -> Any:
        """Opening an open store does nothing."""
        store = yield self.opened()
        yield store.open()
        yield store.location.write(save(binding()))

    @inlineCallbacks
    def test_password_change_is_seen(self) -> Any:
        """A password that the command line changes is seen once the cache has forgotten the old one."""
        store = self.make_store(cache_seconds=0)
        yield store.open()
        self.addCleanup(store.close)
        users.add_user(self.path, "alice", "example.test", "one")
        before = yield store.credentials.fetch("alice", "example.test")
        users.set_password(self.path, "alice", "example.test", "two")
        after = yield store.credentials.fetch("alice", "example.test")
        self.assertEqual(after, users.make_credential("alice", "example.test", "two"))
        self.assertNotEqual(before, after)
