from __future__ import annotations

import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.python.threadable import isInIOThread
from twisted.trial.unittest import TestCase

from sipnode.errors import StorageError
from sipnode.storage.worker import Worker


class WorkerTests(TestCase):
    """The thread of a store."""

    timeout = 30

    def setUp(self) -> None:
        self.worker = Worker(reactor, "test")
        self.addCleanup(self.worker.stop)

    @inlineCallbacks
    def test_order(self) -> Any:
        """Jobs run one after the other, in one thread that isn't the reactor's."""
        seen: list[tuple[int, int]] = []
        yield gatherResults([self.worker.run(lambda n=n: seen.append((n, threading.get_ident()))) for n in range(50)])
        self.assertEqual([number for number, _ in seen], list(range(50)))
        self.assertEqual(len({thread for _, thread in seen}), 1)
        self.assertNotEqual(seen[0][1], threading.get_ident())

    @inlineCallbacks
    def test_result_thread(self) -> Any:
        """A result, and a fault, arrive in the reactor thread; the worker goes on after a fault."""
        here = yield self.worker.run(int, "7", base=8).addCallback(lambda number: (number, isInIOThread()))
        self.assertEqual(here, (7, True))
        yield self.assertFailure(self.worker.run(int, "x").addBoth(lambda fault: (self.assertTrue(isInIOThread()), fault)[1]), ValueError)
        again = yield self.worker.run(int, "8")
        self.assertEqual(again, 8)

    @inlineCallbacks
    def test_stop(self) -> Any:
        """Stopping lets what was asked for finish, refuses more, and ends the thread."""
        last = self.worker.run(int, "9")
        self.worker.stop()
        self.worker.stop()
        yield self.assertFailure(self.worker.run(int, "1"), StorageError)
        done = yield last
        self.assertEqual(done, 9)
        self.worker._thread.join(10)
        self.assertFalse(self.worker._thread.is_alive())
