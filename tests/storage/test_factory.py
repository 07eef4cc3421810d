from __future__ import annotations

import os
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.storage.factory import BUILT_IN, database_path, open_storage
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.sqlite import SqliteStorage


class FactoryTests(SynchronousTestCase):
    """From URL to store."""

    def test_built_in(self) -> None:
        """``sqlite:`` is relative to the state folder, ``memory:`` needs nothing; neither touches the disk yet."""
        store = open_storage("sqlite:a.sqlite", "/nowhere", Clock())
        self.assertIsInstance(store, SqliteStorage)
        self.assertEqual(store.path, "/nowhere/a.sqlite")
        self.assertEqual(open_storage("SQLITE:/var/x.sqlite", "/nowhere", Clock()).path, "/var/x.sqlite")
        self.assertIsInstance(open_storage("memory:", "", Clock()), MemoryStorage)
        self.assertFalse(os.path.exists("/nowhere"))

    def test_plugin(self) -> None:
        """A plugin's scheme gets what follows the colon."""
        seen: list[Any] = []

        def factory(rest: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> Any:
            seen.append((rest, state_dir, cache_seconds, node_id))
            return "store"

        store = open_storage("etcd://host/x", "/s", Clock(), 7.0, {**BUILT_IN, "etcd": factory}, 3)
        self.assertEqual((store, seen), ("store", [("//host/x", "/s", 7.0, 3)]))

    def test_unknown(self) -> None:
        """A scheme that nobody serves is named with what is there; a typing slip gets its correction."""
        fault = self.assertRaises(ConfigError, open_storage, "sqllite:x", "", Clock())
        self.assertIn("sqlite:", str(fault))
        fault = self.assertRaises(ConfigError, open_storage, "mongodb://x", "", Clock())
        self.assertIn("memory:… or postgres:…", str(fault))
        self.assertEqual(fault.key, "storage.url")
        for url in ("", "sipnode.sqlite", "sqlite:"):
            self.assertRaises(ConfigError, open_storage, url, "", Clock())

    def test_database_path(self) -> None:
        """The commands get the file of a sqlite URL, and a reason for another."""
        self.assertEqual(database_path("sqlite:a.sqlite", "/s"), "/s/a.sqlite")
        self.assertRaises(ConfigError, database_path, "memory:", "/s")
        self.assertRaises(ConfigError, database_path, "sqlite:", "/s")
