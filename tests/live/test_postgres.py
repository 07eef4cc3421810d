"""The store suite on a real PostgreSQL, and what only it has: Kamailio's own scripts, news of others' writes, TLS."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from sipnode import config
from sipnode.app import build
from sipnode.cli import main
from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ILocationFeed
from sipnode.records import Binding, LocationChange
from sipnode.settings import CoreSettings, Settings, StorageSettings
from sipnode.storage.factory import open_storage, user_table
from sipnode.storage.initialize import init_database
from tests.storage.suite import PersistentStoreSuite, binding, rows_of, save

from .support import postgres
from .support.waiting import until

reactor: Any = _reactor
KAMAILIO = Path("/usr/share/kamailio/postgres")


@implementer(ILocationFeed)
class Feed:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rows: dict[str, Binding] = {}
        self.gone: list[tuple[str, str]] = []
        self.losses = 0

    def saved(self, bindings: list[Binding]) -> None:
        self.rows.update({one.ruid: one for one in bindings})

    def deleted(self, rows: list[tuple[str, str]]) -> None:
        self.gone += rows

    def lost(self) -> None:
        self.losses += 1


class PostgresCase(TestCase):
    """Has a database of its own."""

    timeout = 120
    skip = postgres.missing()
    tls = False

    async def setUp(self) -> None:
        self.cluster = postgres.shared()
        await self.cluster.ready()
        self.database = self.cluster.create()
        self.url = self.cluster.url(self.database, self.tls)

    def sql(self, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.cluster.execute(text, arguments or None, self.database)

    def make_store(self, **options: Any) -> Any:
        return open_storage(self.url, "", reactor, **options)


class PostgresStoreTests(PostgresCase, PersistentStoreSuite):
    """The store of ``postgres:`` by its UNIX socket."""

    async def setUp(self) -> None:
        await super().setUp()
        init_database(self.url, "")

    def add_user(self, store: Any, username: str, domain: str, password: str) -> None:
        user_table(self.url, "").add(username, domain, password)

    async def test_news(self) -> None:
        """A store hears what another one and plain SQL write, and not what it wrote itself; after a broken connection it says so."""
        one = await self.opened()
        other = await self.opened()
        feed = Feed()
        one.location.watch(feed)
        await one.location.write(save(binding("own")))
        await other.location.write(save(*(binding(f"r-{number}") for number in range(250))))
        await until(lambda: len(feed.rows) >= 250, "news")
        self.assertEqual(feed.rows["r-7"], binding("r-7"))
        self.assertNotIn("own", feed.rows)
        self.sql("UPDATE location SET contact = 'sip:k@192.0.2.3' WHERE ruid = 'r-7'")
        await until(lambda: feed.rows["r-7"].contact == "sip:k@192.0.2.3", "an update by another program")
        await other.location.write([LocationChange(binding("r-9"), delete=True)])
        await until(lambda: feed.gone == [(binding().aor, "r-9")], "a deletion")
        self.assertEqual(feed.losses, 0)
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", one._name)
        await until(lambda: feed.losses, "the loss of the listening connection")
        await other.location.write(save(binding("later")))
        await until(lambda: "later" in feed.rows, "news after it")

    async def test_news_of_users(self) -> None:
        """Another password, a user that is removed and one that is made are noticed at once, whoever did it."""
        store = await self.opened()
        users = user_table(self.url, "")
        users.add("alice", "example.test", "first")

        def forgotten(name: str) -> bool:
            try:
                store.credentials.cached(name, "example.test")
            except KeyError:
                return True
            return False

        async def known() -> bool:
            # News of what was done before may still be on their way.
            for name in ("alice", "bob per cent%20"):
                await store.credentials.fetch(name, "example.test")
            return not forgotten("alice") and not forgotten("bob per cent%20")

        await until(known, "both are known")
        users.set_password("alice", "example.test", "second")
        await until(lambda: forgotten("alice"), "news of the password")
        await until(known, "both are known again")
        self.sql("DELETE FROM subscriber WHERE username = 'alice'")
        await until(lambda: forgotten("alice"), "news of the removal")
        self.assertIsNone(await store.credentials.fetch("alice", "example.test"))
        await until(known, "both are known not to be")
        both = "('alice', 'example.test', 'x'), ('bob per cent%20', 'example.test', 'x')"
        self.sql(f"INSERT INTO subscriber (username, domain, ha1) VALUES {both}")
        await until(lambda: forgotten("alice") and forgotten("bob per cent%20"), "news of new users")
        await until(known, "both are known again")
        self.sql("INSERT INTO subscriber (username, domain) SELECT 'u' || n, 'example.test' FROM generate_series(1, 6000) AS n")
        await until(lambda: forgotten("alice"), "news of many")

    async def test_nobody_to_tell(self) -> None:
        """A store that is alone sends no notifications; when there is another one it does, and what other programs write is always told."""
        store = await self.opened()
        feed = Feed()
        store.location.watch(feed)
        listener = self.cluster.connect(self.database)
        self.addCleanup(listener.close)
        listener.cursor().execute("LISTEN sipnode_location")

        news: list[str] = []

        async def heard(*payloads: str) -> None:
            def all_there() -> bool:
                listener.poll()
                news.extend(one.payload.partition(" ")[2] for one in listener.notifies)
                listener.notifies.clear()
                return len(news) >= len(payloads)

            await until(all_there, lambda: f"{payloads}, heard: {news}")
            self.assertEqual(tuple(news), payloads)
            news.clear()

        await store.location.write(save(binding("alone")))
        self.sql("UPDATE location SET q = 1")
        await heard("S alone")
        await until(lambda: "alone" in feed.rows, "news of another program")
        other = await self.opened()
        await store.location.write(save(binding("seen")))
        await heard("S seen")
        await other.close()
        held = "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database WHERE locktype = 'advisory' AND datname = %s"
        await until(lambda: self.sql(held, self.database) == [(1,)], "its session's end")
        await store.location.write(save(binding("alone")))
        self.sql("UPDATE location SET q = 1 WHERE ruid = 'seen'")
        await heard("S seen")

    async def test_refresh_takes_no_number(self) -> None:
        """A row that is there keeps its id, and the sequence, which ends at two thousand million, isn't used up by refreshes."""
        store = await self.opened()
        await store.location.write(save(binding("one"), binding("two")))
        for number in range(5):
            await store.location.write(save(binding("one", cseq=number), binding("two"), binding(f"new-{number}")))
        self.assertEqual(self.sql("SELECT max(id), count(*), (SELECT last_value FROM location_id_seq) FROM location"), [(7, 7, 7)])
        self.assertEqual(self.sql("SELECT id, cseq FROM location WHERE ruid = 'one'"), [(1, 4)])

    async def test_odd_texts(self) -> None:
        """Texts that mean something in an array of PostgreSQL come back as they were."""
        odd = ("", "NULL", '"', "\\", '\\"', "{a,b}", " x ", "ä€😀", "%s %(x)s", "'; --")
        rows = [binding(f"r-{number}", user_agent=text, call_id=text, instance=text) for number, text in enumerate(odd)]
        store = await self.opened()
        await store.location.write(save(*rows))
        self.assertEqual(await rows_of(store), rows)

    async def test_too_much_news(self) -> Any:
        """A statement that changes more rows than can be named says that news was lost."""
        store = await self.opened()
        feed = Feed()
        store.location.watch(feed)
        self.sql("INSERT INTO location (ruid) SELECT 'x' || n FROM generate_series(1, 6000) AS n")
        await until(lambda: feed.losses == 1, "the word that too much happened")
        self.assertEqual(feed.rows, {})

    async def test_many_rows(self) -> Any:
        """A large table is loaded while the reactor goes on."""
        store = await self.opened()
        self.sql("INSERT INTO location (ruid, username, domain) SELECT 'x' || n, 'u' || n, 'd' FROM generate_series(1, 20000) AS n")
        chunks: list[int] = []
        count = await store.location.load(lambda rows: chunks.append(len(rows)))
        self.assertEqual((count, max(chunks)), (20000, 1000))

    async def test_asked_while_opening(self) -> None:
        """Who asks before the first connection is made gets its answer, and a store that is closed then says so."""
        store = self.make_store()
        self.addCleanup(store.close)
        opening = store.open()
        self.assertEqual((await store.location.fetch("alice@example.test"), await opening), ([], None))
        early = self.make_store()
        opening, loading = early.open(), early.location.load(lambda rows: None)
        closing = early.close()
        for failing in (opening, loading):
            await self.assertFailure(failing, StorageError)
        await closing

    async def test_time_zone(self) -> None:
        """Times are written and read in the zone that the URL names, as a Kamailio of that zone does."""
        url, self.url = self.url, f"{self.url}&timezone=Asia/Tokyo"
        store = self.make_store()
        await store.open()
        self.addCleanup(store.close)
        await store.location.write(save(binding()))
        self.assertEqual(await rows_of(store), [binding()])
        self.assertEqual(self.sql("SELECT expires::text FROM location"), [("2023-11-15 08:13:20.25",)])
        self.url = url

    async def test_too_long(self) -> Any:
        """Texts longer than their columns are cut; the other rows of the batch are written."""
        store = await self.opened()
        await store.location.write(save(binding(user_agent="x" * 5000, path="p" * 5000, call_id="c" * 999), binding("r-2")))
        rows = await rows_of(store)
        self.assertEqual([(row.ruid, len(row.user_agent)) for row in rows], [("r-1", 255), ("r-2", len("Phone 1.0"))])

    def test_users(self) -> None:
        """Users are added, given another password, listed and removed; each refusal has a name."""
        table = user_table(self.url, "")
        table.add("bob", "example.test", "one", True)
        table.add("alice", "example.test", "two")
        self.assertRaises(StorageError, table.add, "alice", "example.test", "two")
        self.assertEqual([user.username for user in table.list("EXAMPLE.test")], ["alice", "bob"])
        self.assertEqual(self.sql("SELECT username, password FROM subscriber ORDER BY 1"), [("alice", ""), ("bob", "one")])
        table.set_password("bob", "example.test", "three")
        self.assertEqual(self.sql("SELECT DISTINCT password FROM subscriber"), [("",)])
        self.assertRaises(StorageError, table.set_password, "eve", "example.test", "x")
        table.remove("bob", "example.test")
        self.assertRaises(StorageError, table.remove, "bob", "example.test")
        self.assertEqual([(user.username, user.extra) for user in table.list()], [("alice", {"algorithms": "SHA-256 MD5"})])


class TlsStoreTests(PostgresStoreTests):
    """The same by a host name, with a password, over TLS whose certificate is checked."""

    tls = True

    async def test_encrypted(self) -> Any:
        """Every connection of the store is encrypted."""
        await self.opened()
        found = self.sql(
            "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'sipnode-%%' "
            "AND datname = current_database() GROUP BY ssl"
        )
        self.assertEqual([encrypted for encrypted, _ in found], [True])


class SchemaTests(PostgresCase):
    """``sipnode db init`` and the check at the start."""

    def kamailio(self) -> None:
        for name in ("standard", "auth_db", "usrloc", "presence"):
            self.sql((KAMAILIO / f"{name}-create.sql").read_text())

    def columns(self) -> set[tuple[Any, ...]]:
        return set(
            self.sql(
                "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default FROM "
                "information_schema.columns WHERE table_schema = 'public' AND table_name IN "
                "('version', 'subscriber', 'location', 'presentity', 'active_watchers', 'watchers')"
            )
        )

    def test_twice(self) -> None:
        """An empty database gets all tables; the second run does nothing."""
        self.assertTrue(init_database(self.url, ""))
        self.assertEqual(init_database(self.url, ""), [])

    def test_older_triggers(self) -> None:
        """Triggers that an older release made are made anew."""
        init_database(self.url, "")
        self.sql(
            "CREATE OR REPLACE FUNCTION sipnode_location_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
        )
        (line,) = init_database(self.url, "")
        self.assertIn("location: triggers", line)
        self.assertEqual(init_database(self.url, ""), [])

    def test_same_as_kamailio(self) -> None:
        """The tables have the columns, types and defaults that Kamailio's own scripts give them, and only additions beside."""
        if not KAMAILIO.is_dir():
            self.assertFalse(os.environ.get("CI"), "kamailio-postgres-modules is not installed")
            return
        init_database(self.url, "")
        ours = self.columns()
        self.database = self.cluster.create()
        self.kamailio()
        theirs = self.columns()
        self.assertEqual(theirs - ours, set())
        self.assertEqual(
            {row[:2] for row in ours - theirs}, {("location", "flow"), ("subscriber", "ha1_sha256"), ("subscriber", "ha1b_sha256")}
        )

    async def test_plain_kamailio(self) -> Any:
        """A database of Kamailio's scripts is used as it is, and not changed; ``db init`` adds to it after a copy."""
        if not KAMAILIO.is_dir():
            self.assertFalse(os.environ.get("CI"), "kamailio-postgres-modules is not installed")
            return
        self.kamailio()
        self.sql("INSERT INTO subscriber (username, domain, password) VALUES ('alice', 'example.test', 'secret')")
        before = self.columns()
        store = self.make_store()
        store.preflight()
        await store.open()
        await store.location.write(save(binding(connection_id="")))
        rows = await rows_of(store)
        self.assertEqual(rows, [binding(connection_id="")])
        found = await store.credentials.fetch("alice", "example.test")
        self.assertEqual((found.password, found.ha1_sha256), ("secret", ""))
        await store.close()
        self.assertEqual(self.columns(), before)
        done = init_database(self.url, "")
        self.assertTrue([line for line in done if "copied" in line], done)
        self.assertEqual(init_database(self.url, ""), [])
        self.assertEqual(self.sql("SELECT password, ha1_sha256 FROM subscriber"), [("secret", "")])

    async def test_wrong_version(self) -> Any:
        """A table of another version stops the start, and the reason says what to do; so does an empty database."""
        store = self.make_store()
        fault = self.assertRaises(StorageError, store.preflight)
        self.assertIn("sipnode db init", str(fault))
        init_database(self.url, "")
        store.preflight()
        self.sql("UPDATE version SET table_version = 8 WHERE table_name = 'location'")
        fault = self.assertRaises(StorageError, store.preflight)
        self.assertIn("location has version 8 where 9", str(fault))
        self.assertRaises(StorageError, init_database, self.url, "")
        await self.assertFailure(store.open(), StorageError)
        self.assertIn("version 8", store.degraded)
        self.sql("UPDATE version SET table_version = 9 WHERE table_name = 'location'")
        await until(lambda: not store.degraded, "the store's own recovery")
        await store.close()

    def test_commands(self) -> None:
        """``sipnode db init`` and ``sipnode user`` work on the database of the configuration, and a server isn't made without tables."""
        folder = Path(self.mktemp())
        folder.mkdir()
        settings = Settings(core=CoreSettings(domains=("example.test",)), storage=StorageSettings(url=self.url))
        (folder / config.FILE_NAME).write_text(config.render(settings))
        self.assertRaises(StorageError, build, config.load(str(folder)), folder, reactor)
        said = StringIO()
        with redirect_stdout(said):
            for line in ("db init", "db init", "user add --password-stdin bob@example.test", "user list", "user remove bob@example.test"):
                words = line.split()
                self.patch(sys, "stdin", StringIO("secret\n"))
                self.assertEqual(main([*words[:2], "-c", str(folder), *words[2:]]), 0, line)
        self.assertIn("table location made", said.getvalue())
        lines = said.getvalue().splitlines()
        self.assertIn("nothing to do", lines)
        self.assertEqual(lines[-1], "bob@example.test")
        build(config.load(str(folder)), folder, reactor)

    def test_urls(self) -> None:
        """A URL that can't be is a ConfigError without the password in it."""
        for url in ("postgres:", "postgres://u:hushhush@h", "postgres://u:hushhush@h:x/d", "postgres://u:hushhush@h/d?options=-c"):
            fault = self.assertRaises(ConfigError, open_storage, url, "", reactor)
            self.assertNotIn("hushhush", str(fault))
