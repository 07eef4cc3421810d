"""Promises of ``sipnode.transport.srv``."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.srv import Target, srv_order

TARGET = st.builds(Target, st.just("UDP"), st.text(max_size=3), st.integers(1, 9), st.integers(0, 3), st.integers(0, 5))
TARGETS = st.lists(TARGET, max_size=8)


class SrvOrder(SynchronousTestCase):
    """RFC 2782."""

    @given(TARGETS, st.randoms(use_true_random=False))
    def test_every_target_once(self, targets: list[Target], random: object) -> None:
        """The order has each target once, by priority."""
        order = srv_order(targets, random.randrange)  # type: ignore[attr-defined]  # hypothesis gives random.Random
        self.assertEqual(Counter(order), Counter(targets))
        self.assertEqual([target.priority for target in order], sorted(target.priority for target in targets))

    def test_weights(self) -> None:
        """The running sum of the weights decides, those of weight 0 stand first."""
        one, three, zero = Target("UDP", "one", 1, 0, 1), Target("UDP", "three", 1, 0, 3), Target("UDP", "zero", 1, 0, 0)
        first = [srv_order([one, three, zero], lambda below, mark=mark: mark if below == 5 else 0)[0] for mark in range(5)]
        self.assertEqual(first, [zero, one, three, three, three])
