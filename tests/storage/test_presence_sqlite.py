from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import TestCase

from sipnode.storage.sqlite import SqliteStorage
from tests.storage.presence_suite import PresenceSuite, all_rows, publication, save, subscription, watcher

reactor: Any = _reactor


class SqlitePresenceTests(PresenceSuite, TestCase):
    """The tables of presence in an SQLite file."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def make_store(self) -> SqliteStorage:
        return SqliteStorage(self.path, reactor)

    @inlineCallbacks
    def test_kept(self) -> Any:
        """Another process finds the rows."""
        store = self.make_store()
        yield store.open()
        rows = (publication(), subscription(), watcher())
        yield store.presence.write(save(*rows))
        yield store.close()
        again = yield self.opened()
        found = yield all_rows(again)
        self.assertEqual([one for table in found.values() for one in table], list(rows))
