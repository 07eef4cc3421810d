"""Promises of ``sipnode.transport.memory``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.memory import LOOK_SECONDS, WORTH, MemoryService, c_library


class GiveBackTests(SynchronousTestCase):
    """A count that tests set."""

    def setUp(self) -> None:
        clock: Any = Clock()
        clock.callInThread = lambda call: call()
        self.clock = clock
        self.count = 0
        self.trims = 0

    def trim(self) -> None:
        self.trims += 1

    def start(self, trim: Callable[[], object] | None) -> MemoryService:
        service = MemoryService(lambda: self.count, self.clock, trim)
        service.startService()
        return service

    def at(self, count: int) -> int:
        """How often memory was given back in all, when a look finds so many connections."""
        self.count = count
        self.clock.advance(LOOK_SECONDS)
        return self.trims

    def test_many_gone(self) -> None:
        """Once many have gone since the most there were, and once more when as many have gone again."""
        self.start(self.trim)
        counts = (0, 10 * WORTH, 9 * WORTH + 1, 9 * WORTH, 9 * WORTH, 8 * WORTH + 1, 8 * WORTH, 9 * WORTH, 0, 0, WORTH - 1, 0)
        self.assertEqual([self.at(count) for count in counts], [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3])

    def test_stop(self) -> None:
        """A stopped service has no timer; where the C library can't, there never is one."""
        self.start(self.trim).stopService()
        self.start(None).stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_real(self) -> None:
        """glibc has it, and it does no harm."""
        trim = c_library()
        if trim is not None:
            trim()
