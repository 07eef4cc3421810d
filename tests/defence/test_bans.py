"""The list of those that are shut out."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.bans import BanList
from sipnode.defence.failures import FailureCounter


class BanTests(SynchronousTestCase):
    """Until when, and how many."""

    def test_ends(self) -> None:
        """A ban ends by itself, or when it is taken off."""
        bans = BanList(10)
        bans.add("a", "flood", 100.0, 60)
        bans.add("b", "scanner", 100.0, 30)
        self.assertEqual([ban.key for ban in bans.list(110.0)], ["a", "b"])
        self.assertIsNone(bans.get("b", 130.0))
        self.assertTrue(bans.remove("a"))
        self.assertFalse(bans.remove("a"))
        self.assertEqual(len(bans), 0)

    def test_longer(self) -> None:
        """Who is shut out already stays the same entry, until the later of both ends."""
        bans = BanList(10)
        first = bans.add("a", "flood", 100.0, 60)
        self.assertIs(bans.add("a", "operator", 110.0, 5), first)
        self.assertEqual((first.until, first.reason), (160.0, "operator"))
        bans.add("a", "operator", 110.0, 500)
        self.assertEqual(first.until, 610.0)

    def test_bounded(self) -> None:
        """Full, it lets those go that end first."""
        bans = BanList(100)
        bans.add("long", "operator", 0.0, 1e9)
        for number in range(1000):
            bans.add(str(number), "flood", 0.0, 1000 + number)
            self.assertLessEqual(len(bans), 100)
        self.assertIsNotNone(bans.get("long", 1.0))
        self.assertIsNotNone(bans.get("999", 1.0))
        self.assertIsNone(bans.get("0", 1.0))


class FailureTests(SynchronousTestCase):
    """The counter of failures."""

    def test_window(self) -> None:
        """Failures count within a window that the first of them opens; success forgets them."""
        counter = FailureCounter(10, 60)
        self.assertEqual([counter.add("a", now) for now in (0.0, 30.0, 59.0, 60.0)], [1, 2, 3, 1])
        self.assertEqual((counter.count("a", 61.0), counter.count("a", 130.0)), (1, 0))
        counter.forget("a")
        self.assertEqual(counter.add("a", 62.0), 1)

    def test_bounded(self) -> None:
        """At most so many keys; the ones counted lately stay."""
        counter = FailureCounter(10, 60)
        for number in range(1000):
            counter.add(("s", number), 0.0)
            counter.add("busy", 0.0)
        self.assertEqual((len(counter), counter.count("busy", 1.0)), (10, 1000))
