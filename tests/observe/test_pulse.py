"""Lag and pauses in virtual time."""

from __future__ import annotations

import gc

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.pulse import BOUNDS, LOOK_SECONDS, Histogram, Pulse


class HistogramTests(SynchronousTestCase):
    """Classes of seconds."""

    def test_classes(self) -> None:
        """A value on a bound is in the class below it, as Prometheus wants it; what is above all has a class too."""
        histogram = Histogram()
        for seconds in (0.0, 0.001, 0.0011, 5.0, 99.0):
            histogram.add(seconds)
        found = dict(histogram.buckets())
        self.assertEqual((found["0.001"], found["0.0025"], found["5.0"], found["+Inf"]), (2, 3, 4, 5))
        self.assertEqual(len(found), len(BOUNDS) + 1)
        self.assertEqual(histogram.total, 104.0021)


class PulseTests(SynchronousTestCase):
    """While it runs, and when it has ended."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.seconds = 0.0
        self.pulse = Pulse(self.clock, True, lambda: self.seconds)
        self.pulse.startService()
        self.addCleanup(lambda: self.pulse.running and self.pulse.stopService())

    def test_lag(self) -> None:
        """In time is no lag; a reactor that was held up is late by that much."""
        self.clock.pump([LOOK_SECONDS] * 10)
        self.assertEqual(sum(self.pulse.lag.counts[1:]), 0)
        self.clock.advance(LOOK_SECONDS + 0.7)
        self.assertAlmostEqual(self.pulse.lag.total, 0.7)

    def test_pauses(self) -> None:
        """A collection's length counts for its generation; an end without a begin counts for nothing."""
        self.pulse.collected("stop", {"generation": 1})
        self.seconds = 10.0
        self.pulse.collected("start", {"generation": 1})
        self.seconds = 10.25
        self.pulse.collected("stop", {"generation": 1})
        self.pulse.collected("stop", {"generation": 1})
        self.assertEqual((sum(self.pulse.pauses[1].counts), self.pulse.pauses[1].total), (1, 0.25))

    def test_real_collection(self) -> None:
        """The interpreter tells it of its collections while it runs, and not any more afterwards."""
        self.seconds = 1.0
        gc.collect()
        counted = sum(self.pulse.pauses[2].counts)
        self.assertGreaterEqual(counted, 1)
        self.pulse.stopService()
        gc.collect()
        self.assertEqual((sum(self.pulse.pauses[2].counts), self.clock.getDelayedCalls()), (counted, []))
