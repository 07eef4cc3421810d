from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from sipnode.storage.memory import MemoryStorage
from sipnode.storage.users import make_credential
from tests.storage.suite import StoreSuite, binding, rows_of, save


class MemoryStorageTests(StoreSuite, TestCase):
    """The store of ``memory:``."""

    def make_store(self) -> MemoryStorage:
        return MemoryStorage(Clock())

    def add_user(self, store: Any, username: str, domain: str, password: str) -> None:
        store.add(make_credential(username, domain, password))

    def test_forgets(self) -> None:
        """Nothing outlives close."""
        store = self.make_store()
        self.successResultOf(store.location.write(save(binding())))
        self.add_user(store, "alice", "example.test", "secret")
        self.successResultOf(store.close())
        self.assertEqual(self.successResultOf(rows_of(store)), [])
        self.assertEqual(self.successResultOf(store.list_users("example.test")), [])
