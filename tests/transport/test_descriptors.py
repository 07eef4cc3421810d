"""Promises of ``sipnode.transport.descriptors``."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.tcp import Port
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.descriptors import RESERVE, AcceptLog, complaint, room


class RoomTests(SynchronousTestCase):
    """How many connections there are descriptors for."""

    def test_reserve(self) -> None:
        """What the rest of the server opens is left, of very few descriptors half."""
        self.assertEqual([room(count) for count in (65536, 1024, 256, 10)], [65536 - RESERVE, 1024 - RESERVE, 128, 16])

    def test_complaint(self) -> None:
        """Said only where they aren't enough, with what would be."""
        self.assertEqual(complaint(20000, 65536), "")
        self.assertIn(f"allow {20000 + RESERVE} ", complaint(20000, 1024))


class AcceptTests(SynchronousTestCase):
    """Out of descriptors."""

    def test_one_line(self) -> None:
        """Each is counted, one line in ten seconds says it with the number of the others, in the place of Twisted's several."""
        clock, counted = Clock(), list[int]()
        log = AcceptLog(clock.seconds, lambda: counted.append(1))
        with capturedLogs() as events:
            self.run_out(log, clock)
        self.assertEqual((len(counted), [event["more"] for event in events]), (4, ["", " (2 more before)"]))

    def run_out(self, log: AcceptLog, clock: Clock) -> None:
        """Three at once, and one later."""
        for _ in range(3):
            log.logger.info("EMFILE encountered; releasing reserved file descriptor.")
            log.logger.info("EMFILE recovery: Closed socket from {address}", address="x")
        clock.advance(11)
        log.logger.info("Could not accept new connection ({acceptError})", acceptError="ENFILE")

    def test_twisted_has_it_still(self) -> None:
        """Twisted's port says these things by the logger that is replaced."""
        self.assertTrue(hasattr(Port, "_logger"))
