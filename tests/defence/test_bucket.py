"""The token bucket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.bucket import Bucket


class BucketTests(SynchronousTestCase):
    """So many a second, so many at once."""

    def test_burst_then_rate(self) -> None:
        """After its burst it gives as many a second as its rate, and never saves more than its burst."""
        bucket = Bucket(10, 5, 100.0)
        self.assertEqual([bucket.take(100.0) for _ in range(6)], [True] * 5 + [False])
        self.assertEqual([bucket.take(100.25) for _ in range(4)], [True, True, False, False])
        self.assertEqual(sum(bucket.take(9000.0) for _ in range(50)), 5)

    def test_cost(self) -> None:
        """What costs more than is there takes nothing."""
        bucket = Bucket(1, 4, 0.0)
        self.assertFalse(bucket.take(0.0, 5))
        self.assertTrue(bucket.take(0.0, 4))

    def test_clock_set_back(self) -> None:
        """A clock that is set back neither gives nor takes, and counts on from there."""
        bucket = Bucket(1, 1, 1000.0)
        self.assertTrue(bucket.take(1000.0))
        self.assertFalse(bucket.take(10.0))
        self.assertTrue(bucket.take(11.0))
