"""Promises of ``sipnode.transport.wheel``."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.wheel import Wheel


class WheelTests(SynchronousTestCase):
    """Coarse timers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(7.3)
        self.wheel = Wheel(self.clock, 0.5)
        self.wheel.start()
        self.ran: list[float] = []

    def note(self) -> None:
        self.ran.append(self.clock.seconds())

    def test_not_before(self) -> None:
        """A callback runs not before its time, and at most a tick and a half after it."""
        start = self.clock.seconds()
        for wait in (0.0, 0.1, 0.5, 0.9, 3.0, 10.2):
            self.ran.clear()
            begun = self.clock.seconds()
            self.wheel.after(wait, self.note)
            while not self.ran:
                self.clock.advance(0.05)
            self.assertGreaterEqual(self.ran[0] - begun + 1e-6, wait)
            self.assertLess(self.ran[0] - begun, wait + 1.1)
        self.assertGreater(self.clock.seconds(), start)

    def test_cancel(self) -> None:
        """A cancelled timer doesn't run and holds nothing."""
        timer = self.wheel.after(1.0, self.note)
        timer.cancel()
        self.clock.pump([0.5] * 6)
        self.assertEqual((self.ran, timer.callback), ([], None))

    def test_again(self) -> None:
        """A callback may set the next one from inside."""

        def again() -> None:
            self.note()
            if len(self.ran) < 3:
                self.wheel.after(1.0, again)

        self.wheel.after(1.0, again)
        self.clock.pump([0.5] * 20)
        self.assertEqual(len(self.ran), 3)

    def test_a_fault_stops_nothing(self) -> None:
        """A callback that raises is logged and the others run."""
        self.wheel.after(1.0, lambda: 1 // 0)
        self.wheel.after(1.0, self.note)
        self.clock.pump([0.5] * 4)
        self.assertEqual(len(self.ran), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_leap(self) -> None:
        """Time that went on while the process stood still is caught up."""
        self.wheel.after(1.0, self.note)
        self.clock.advance(3600.0)
        self.assertEqual(len(self.ran), 1)

    def test_stop(self) -> None:
        """A stopped wheel leaves no call behind."""
        self.wheel.after(1.0, self.note)
        self.wheel.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
