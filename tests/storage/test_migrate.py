from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import StorageError
from sipnode.storage.database import connect
from sipnode.storage.migrate import Schema, migrate, packaged_schema
from sipnode.storage.rows import COLUMNS

KAMAILIO_LOCATION_9 = [
    "id", "ruid", "username", "domain", "contact", "received", "path", "expires", "q", "callid", "cseq", "last_modified", "flags", "cflags",
    "user_agent", "socket", "methods", "instance", "reg_id", "server_id", "connection_id", "keepalive", "partition",
]  # fmt: skip


def later(version: int, *scripts: str) -> Schema:
    """A schema of the future: each script leads one version on."""
    now = packaged_schema()
    return Schema(version, now.create + "".join(scripts), {now.version + 1 + n: script for n, script in enumerate(scripts)})


NOW = packaged_schema().version
COLOUR = "ALTER TABLE subscriber ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\n"
BROKEN = "ALTER TABLE subscriber ADD COLUMN size INTEGER;\nALTER TABLE nowhere ADD COLUMN x INTEGER;\n"


class MigrateTests(SynchronousTestCase):
    """Making and upgrading the file."""

    def setUp(self) -> None:
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        self.path = os.path.join(folder, "sipnode.sqlite")

    def run_migrate(self, schema: Schema | None = None) -> str:
        with closing(connect(self.path)) as connection:
            return migrate(connection, self.path, schema)

    def query(self, sql: str, path: str = "") -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path or self.path, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as connection:
            return list(connection.iterdump())

    def refused(self, word: str, schema: Schema | None = None) -> None:
        before = self.dump()
        fault = self.assertRaises(StorageError, self.run_migrate, schema)
        self.assertIn(self.path, str(fault))
        self.assertIn(word, str(fault))
        self.assertEqual(self.dump(), before)

    def test_new(self) -> None:
        """A new file has Kamailio's tables in the versions that its table of versions tells."""
        self.assertEqual(self.run_migrate(), "")
        self.assertEqual([row[1] for row in self.query("PRAGMA table_info(location)")], KAMAILIO_LOCATION_9)
        self.assertLessEqual(set(COLUMNS), set(KAMAILIO_LOCATION_9))
        columns = {row[1] for row in self.query("PRAGMA table_info(subscriber)")}
        self.assertLessEqual({"id", "username", "domain", "password", "ha1", "ha1b"}, columns)
        versions = dict(self.query("SELECT table_name, table_version FROM version"))  # type: ignore[arg-type]  # pairs
        self.assertEqual((versions["location"], versions["subscriber"]), (9, 7))

    def test_second_run(self) -> None:
        """A second run changes nothing, not one octet."""
        self.run_migrate()
        with open(self.path, "rb") as file:
            before = file.read()
        self.assertEqual(self.run_migrate(), "")
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["sipnode.sqlite"])

    def test_two_at_once(self) -> None:
        """Two first starts at the same time make one schema."""
        with closing(connect(self.path)) as one, closing(connect(self.path)) as other:
            migrate(one, self.path)
            self.assertEqual(migrate(other, self.path), "")

    def test_broken_creation(self) -> None:
        """A creation that fails half way leaves an empty file, and the next start makes it."""
        now = packaged_schema()
        self.assertRaises(StorageError, self.run_migrate, Schema(now.version, now.create + "CREATE TABLE location (x);"))
        self.assertEqual(self.query("SELECT * FROM sqlite_master"), [])
        self.run_migrate()

    def test_upgrade(self) -> None:
        """An older file is led through every step; its data stay; a private copy of the old state is kept beside it."""
        self.run_migrate()
        self.query("INSERT INTO subscriber (username, domain) VALUES ('alice', 'example.test')")
        backup = self.run_migrate(later(NOW + 2, COLOUR, "UPDATE subscriber SET colour = 'blue';\n"))
        self.assertEqual(self.query("SELECT username, colour FROM subscriber"), [("alice", "blue")])
        self.assertEqual(self.query("PRAGMA user_version"), [(NOW + 2,)])
        self.assertEqual(backup, f"{self.path}.v{NOW}.backup")
        self.assertEqual(self.query("PRAGMA user_version", backup), [(NOW,)])
        self.assertEqual(self.query("SELECT username FROM subscriber", backup), [("alice",)])
        self.assertEqual(stat.S_IMODE(os.stat(backup).st_mode), 0o600)

    def test_upgrade_from_the_first_release(self) -> None:
        """A file of version 1 gets the tables of presence, as a new one has them, and keeps its rows."""
        create = files("sipnode.storage").joinpath("schema", "sipnode-v1.sql").read_text("utf-8")
        self.run_migrate(Schema(1, create))
        self.query("INSERT INTO subscriber (username, domain) VALUES ('alice', 'example.test')")
        self.run_migrate()
        upgraded = {name: self.query(f"PRAGMA table_info({name})") for name in ("presentity", "active_watchers", "watchers")}
        self.assertEqual(self.query("SELECT username FROM subscriber"), [("alice",)])
        versions = self.query("SELECT table_name, table_version FROM version ORDER BY table_name")
        os.remove(self.path)
        self.run_migrate()
        self.assertEqual({name: self.query(f"PRAGMA table_info({name})") for name in upgraded}, upgraded)
        self.assertEqual(self.query("SELECT table_name, table_version FROM version ORDER BY table_name"), versions)

    def test_upgrade_keeps_backups(self) -> None:
        """A backup that is there already isn't written over."""
        self.run_migrate()
        with open(f"{self.path}.v{NOW}.backup", "wb") as file:
            file.write(b"mine")
        self.assertEqual(self.run_migrate(later(NOW + 1, COLOUR)), f"{self.path}.v{NOW}.backup2")
        with open(f"{self.path}.v{NOW}.backup", "rb") as file:
            self.assertEqual(file.read(), b"mine")

    def test_broken_upgrade(self) -> None:
        """An upgrade that fails half way leaves the file as it was."""
        self.run_migrate()
        self.refused("nowhere", later(NOW + 2, COLOUR, BROKEN))
        self.assertEqual(self.query("PRAGMA user_version"), [(NOW,)])
        self.run_migrate()

    def test_newer(self) -> None:
        """A file of a newer release is refused with the way out."""
        self.run_migrate()
        self.run_migrate(later(NOW + 1, COLOUR))
        self.refused("newer sipnode")

    def test_too_old(self) -> None:
        """A file for which steps are missing is refused, and says which release can help."""
        self.run_migrate()
        self.refused("can't upgrade", Schema(NOW + 2, "", {NOW + 2: COLOUR}))

    def test_foreign(self) -> None:
        """A database of another program is never touched."""
        self.query("CREATE TABLE bookmarks (url TEXT)")
        self.refused("another program")

    def test_foreign_but_empty(self) -> None:
        """One that only carries another program's mark isn't either."""
        self.query("PRAGMA application_id = 77")
        self.refused("another program")

    def test_table_of_another_version(self) -> None:
        """A table that somebody changed, as its entry in ``version`` tells, stops the start."""
        self.run_migrate()
        self.query("UPDATE version SET table_version = 8 WHERE table_name = 'location'")
        self.refused("table location in version 8")

    def test_table_missing(self) -> None:
        """A table that is gone stops the start."""
        self.run_migrate()
        self.query("DROP TABLE subscriber")
        self.refused("subscriber")
