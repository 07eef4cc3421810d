"""Dialogs that are over, pure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.dialog.ended import EndedDialogs


class EndedTests(SynchronousTestCase):
    """The memory."""

    def test_kinds(self) -> None:
        """What isn't known, what failed and what was up are told apart; the next try of a call is a new one."""
        ended = EndedDialogs()
        ended.add("one", "t", False)
        ended.add("two", "t", True)
        self.assertEqual([ended.get(name, "t") for name in ("one", "two", "three")], [False, True, None])
        self.assertIsNone(ended.get("one", "other"))
        ended.discard("one", "t")
        self.assertIsNone(ended.get("one", "t"))

    def test_bound(self) -> None:
        """However many end, the last ones are known and no more than twice the bound are kept."""
        ended = EndedDialogs(10)
        for number in range(95):
            ended.add(str(number), "t", True)
            self.assertLessEqual(len(ended), 20)
        self.assertTrue(all(ended.get(str(number), "t") for number in range(85, 95)))
