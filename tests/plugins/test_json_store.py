"""docs/examples/json-store, installed: the suite that every store passes, and what its README promises besides."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.trial.unittest import TestCase

from sipnode.errors import ConfigError, StorageError
from sipnode.storage.factory import open_storage

from ..storage.suite import PersistentStoreSuite, binding, rows_of, save
from .examples import installed

reactor: Any = _reactor


class JsonStoreTests(PersistentStoreSuite, TestCase):
    """``[storage] url = "json:state"``"""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(installed()), *sys.path])
        self.folder = Path(self.mktemp()).absolute()

    def make_store(self) -> Any:
        return open_storage("json:state", str(self.folder), reactor)

    def add_user(self, store: Any, username: str, domain: str, password: str) -> None:
        from sipnode_json_store.__main__ import add  # type: ignore[import-not-found]  # installed by this test

        add(self.folder / "state", f"{username}@{domain}", password)

    @inlineCallbacks
    def test_users_change(self) -> Any:
        """A user of the file that was changed is known as it is now when it is looked up again."""
        store = yield self.opened()
        self.add_user(store, "alice", "example.test", "old")
        old = yield store.credentials.fetch("alice", "example.test")
        self.add_user(store, "alice", "example.test", "new one")
        new = yield store.credentials.fetch("alice", "example.test")
        self.assertNotEqual(old.ha1, new.ha1)
        self.assertEqual((self.folder / "state" / "users.json").stat().st_mode & 0o077, 0)

    def test_command(self) -> None:
        """``python -m sipnode_json_store`` makes a user with a password from standard input."""
        command = [sys.executable, "-m", "sipnode_json_store", str(self.folder / "state"), "bob@example.test"]
        environment = {"PYTHONPATH": f"{installed()}:{Path(__file__).parents[2]}"}
        done = subprocess.run(command, input="secret\n", env=environment, text=True, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.successResultOf(self.make_store().list_users("example.test")), ["bob"])

    @inlineCallbacks
    def test_together(self) -> Any:
        """Changes that come while the file is written go with the next writing; what is written is the whole table each time."""
        import sipnode_json_store as module

        texts: list[str] = []
        put = module.put
        self.patch(module, "put", lambda file, text: (texts.append(text), put(file, text)))
        store = yield self.opened()
        writes = [store.location.write(save(binding(f"r-{number}"))) for number in range(20)]
        self.assertEqual(store.waiting, 20)
        yield gatherResults(writes)
        self.assertEqual((len(texts), store.waiting), (2, 0))
        rows = yield rows_of(self.make_store())
        self.assertEqual(rows, [])

    def test_synced(self) -> None:
        """A file is on disk before it takes the old one's place, and its folder after."""
        import sipnode_json_store as module

        steps: list[str] = []
        sync, replace = os.fsync, Path.replace

        def synced(number: int) -> None:
            steps.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
            sync(number)

        def replaced(old: Path, new: Path) -> Path:
            steps.append("replace")
            return replace(old, new)

        self.patch(os, "fsync", synced)
        self.patch(Path, "replace", replaced)
        module.put(self.folder / "x.json", "[]")
        self.assertEqual(steps, ["file", "replace", "folder"])

    @inlineCallbacks
    def test_disk_full(self) -> Any:
        """A writing that fails fails those that wait for it, and the store says why; the next one has everything."""
        import sipnode_json_store as module

        store = yield self.opened()
        with_fault = self.patch(module, "put", lambda file, text: 1 / 0)
        yield self.assertFailure(store.location.write(save(binding())), StorageError)
        self.assertIn("division by zero", store.degraded)
        with_fault.restore()
        yield store.location.write(save(binding("r-2")))
        self.assertEqual(store.degraded, "")
        again = yield self.opened()
        rows = yield rows_of(again)
        self.assertEqual([row.ruid for row in rows], ["r-1", "r-2"])

    def test_edited_wrongly(self) -> None:
        """A file that is no table stops the start with its name."""
        (self.folder / "state").mkdir(parents=True)
        for name in ("location.json", "users.json"):
            for text in ("{", "5", '[{"colour": "red"}]', "[1]"):
                (self.folder / "state" / name).write_text(text)
                fault = self.assertRaises(StorageError, self.make_store().preflight)
                self.assertIn(name, str(fault))
            (self.folder / "state" / name).unlink()

    def test_settings(self) -> None:
        """A URL without a folder, and a store that is to be shared, are told by their settings."""
        error = self.assertRaises(ConfigError, open_storage, "json:", "", reactor)
        where = "sipnode.stores sipnode_json_store:stores of sipnode-json-store 1.0"
        self.assertIn(f"store 'json' ({where}): has to be json:FOLDER", error.reason)
        self.assertEqual(self.assertRaises(ConfigError, open_storage, "json:x", "", reactor, node_id=1).key, "node.id")
