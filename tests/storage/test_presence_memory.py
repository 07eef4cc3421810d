from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from sipnode.storage.memory import MemoryStorage
from tests.storage.presence_suite import PresenceSuite, all_rows, publication, save, subscription, watcher


class MemoryPresenceTests(PresenceSuite, TestCase):
    """The tables of presence in ``memory:``."""

    def make_store(self) -> MemoryStorage:
        return MemoryStorage(Clock())

    def test_forgets(self) -> None:
        """Nothing outlives close."""
        store = self.make_store()
        self.successResultOf(store.presence.write(save(publication(), subscription(), watcher())))
        self.successResultOf(store.close())
        self.assertEqual(self.successResultOf(all_rows(store)), {"publications": [], "subscriptions": [], "watchers": []})
