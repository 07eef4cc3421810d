from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.seldom import Seldom


class SeldomTests(SynchronousTestCase):
    """Once in ten seconds for each key."""

    def test_once(self) -> None:
        """A key is told once, then again when its time is over; others don't wait for it."""
        seldom = Seldom(10.0)
        told = [seldom.may(("h", "a"), 0.0), seldom.may(("h", "a"), 9.9), seldom.may(("h", "b"), 9.9), seldom.may(("h", "a"), 10.0)]
        self.assertEqual(told, [True, False, True, True])

    def test_bounded(self) -> None:
        """A flood of keys is told up to the limit, counted beyond it, and forgotten with time."""
        seldom = Seldom(10.0, most=100)
        told = sum(seldom.may(("h", str(number)), 0.0) for number in range(1000))
        self.assertEqual((told, seldom.untold, len(seldom._told)), (100, 900, 100))
        self.assertTrue(seldom.may(("h", "late"), 11.0))
