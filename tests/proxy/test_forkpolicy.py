"""The table of the best response, pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.forkpolicy import LOCAL, RECEIVED, best, cancels_others, upstream_status

FINAL = st.tuples(st.integers(300, 699), st.sampled_from((LOCAL, RECEIVED)))


def chosen(*statuses: int) -> int:
    """The status that is chosen of responses that were received."""
    return statuses[best((status, RECEIVED) for status in statuses)]


class BestTests(SynchronousTestCase):
    """RFC 3261 §16.7 (6)."""

    def test_table(self) -> None:
        """Each row of the rule, with the responses in an order that alone would choose wrongly."""
        for statuses, expected in (
            ((404, 603, 401), 603),
            ((500, 486), 486),
            ((486, 302), 302),
            ((404, 401), 401),
            ((486, 407, 404), 407),
            ((486, 415), 415),
            ((486, 420), 420),
            ((486, 484), 484),
            ((503, 500), 500),
            ((503, 404), 404),
            ((408, 486), 486),
            ((408, 500), 500),
            ((408, 503), 408),
            ((486, 404), 486),
        ):
            self.assertEqual((statuses, chosen(*statuses)), (statuses, expected))

    def test_own_timeouts_come_last(self) -> None:
        """A 408, 430 or 480 that was made here never hides what somebody really said."""
        for own in (408, 430, 480):
            for said in (404, 486, 500, 503, 603, 302):
                self.assertEqual(best([(own, LOCAL), (said, RECEIVED)]), 1)

    def test_upstream(self) -> None:
        """A 503 goes up as 500, unless it's all that is known; other statuses stay."""
        self.assertEqual(upstream_status(503, False), 500)
        self.assertEqual(upstream_status(503, True), 503)
        self.assertEqual(upstream_status(486, False), 486)
        self.assertEqual(upstream_status(430, True), 480)

    def test_ends_the_search(self) -> None:
        """2xx and 6xx end the search, nothing else does."""
        self.assertEqual([s for s in range(200, 700) if cancels_others(s)], [*range(200, 300), *range(600, 700)])

    @given(st.lists(FINAL, min_size=1, max_size=12))
    def test_any_6xx_wins(self, responses: list[tuple[int, int]]) -> None:
        """Where there's a 6xx, a 6xx is chosen; the position is always one of the list."""
        position = best(responses)
        self.assertTrue(0 <= position < len(responses))
        if any(status >= 600 for status, _ in responses):
            self.assertGreaterEqual(responses[position][0], 600)

    @given(st.lists(FINAL, min_size=1, max_size=12), st.randoms(use_true_random=False))
    def test_order_doesn_t_change_the_class(self, responses: list[tuple[int, int]], random: object) -> None:
        """Which branch answered first doesn't change what kind of answer the caller gets."""
        shuffled = list(responses)
        random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
        self.assertEqual(responses[best(responses)][0] // 100, shuffled[best(shuffled)][0] // 100)

    @given(st.lists(FINAL, min_size=1, max_size=8), FINAL)
    def test_the_loser_changes_nothing(self, responses: list[tuple[int, int]], other: tuple[int, int]) -> None:
        """Adding a response either wins itself or leaves the winner as it was."""
        self.assertIn(best([*responses, other]), (best(responses), len(responses)))
