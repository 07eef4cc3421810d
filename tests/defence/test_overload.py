"""When lag is overload."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.overload import OverloadMeter


class OverloadTests(SynchronousTestCase):
    """Lag that lasts."""

    def feed(self, meter: OverloadMeter, lag: float, start: float, seconds: float) -> int:
        """The same lag for some time; how often the state changed."""
        return sum(meter.feed(lag, start + step / 4) for step in range(int(seconds * 4) + 1))

    def test_lasting(self) -> None:
        """It begins when the lag lasts, and ends when it has been small for as long."""
        meter = OverloadMeter(0.2, 2.0)
        self.feed(meter, 0.3, 0, 1.5)
        self.assertFalse(meter.overloaded)
        self.feed(meter, 0.3, 2, 1)
        self.assertTrue(meter.overloaded)
        self.feed(meter, 0.15, 4, 10)
        self.assertTrue(meter.overloaded)
        self.feed(meter, 0.01, 20, 2.5)
        self.assertFalse(meter.overloaded)
        self.assertEqual((meter.times, meter.worst), (1, 0.3))

    def test_one_pause(self) -> None:
        """A single pause, however long, is none."""
        meter = OverloadMeter(0.2, 2.0)
        self.assertEqual((meter.feed(30.0, 100.0), meter.feed(0.0, 100.25), meter.feed(30.0, 140.0)), (False, False, False))

    def test_off(self) -> None:
        """A limit of 0 switches it off, also in the middle of it; a clock that was set back is no lag."""
        meter = OverloadMeter(0.2, 0.0)
        self.feed(meter, 1.0, 0, 1)
        self.assertTrue(meter.overloaded)
        meter.limit = 0.0
        self.feed(meter, 1.0, 2, 1)
        self.assertFalse(meter.overloaded)
        meter.feed(-5.0, 10)
        self.assertEqual(meter.lag, 0.0)
