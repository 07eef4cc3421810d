"""The clock of the layer: repeats go out in time, and the process isn't woken for those that nobody needs."""

from __future__ import annotations

from twisted.internet.task import Clock

from sipnode.services import TransactionClock
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.timers import TICK, Timings
from tests.transaction.kit import START, LayerCase


class ClockTests(LayerCase):
    """TransactionClock in virtual time."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(START)
        self.woken: list[float] = []
        timer = TransactionClock(self.clock)
        self.layer = self.world.layer = TransactionLayer(Timings(), timer.wake_at)
        timer.advance, timer.next_wake = self.woke, self.layer.next_wake

    def woke(self, now: float) -> None:
        """The layer's turn."""
        self.woken.append(now)
        self.world.now = now
        self.layer.advance(now)

    def run_for(self, seconds: float) -> None:
        """Let time pass in steps shorter than a tick."""
        for _ in range(round(seconds / 0.01)):
            self.clock.advance(0.01)
            self.world.now = self.clock.seconds()

    def test_repeats_in_time(self) -> None:
        """An unanswered NOTIFY is repeated after 0.5, 1.5, 3.5 and 7.5 seconds, within a tick, whatever the time is when it goes out."""
        for start in (0.0, 0.07, 0.33):
            self.run_for(start)
            begun = self.world.now - START
            self.udp.sent.clear()
            self.world.client("NOTIFY", branch=f"z9hG4bK{start}")
            self.run_for(8)
            after = [when - begun for when in self.udp.times("NOTIFY")]
            self.assertEqual(len(after), 5)
            for real, due in zip(after, (0, 0.5, 1.5, 3.5, 7.5), strict=True):
                self.assertTrue(-0.001 <= real - due <= 2 * TICK + 0.011, f"{real} for {due}")
            self.run_for(30)

    def test_answered_ones_wake_nobody(self) -> None:
        """A hundred NOTIFYs in ten seconds, answered at once: the layer's turn comes less often than four times a second, and all are
        forgotten in the end.
        """
        for number in range(100):
            sent = self.world.client("NOTIFY", branch=f"z9hG4bK{number}")
            self.assertTrue(self.world.receive(sent, 200))
            self.run_for(0.1)
        self.assertTrue(len(self.woken) <= 40, len(self.woken))
        self.run_for(7)
        self.assertEqual(len(self.layer), 0)
        before = len(self.woken)
        self.run_for(60)
        self.assertEqual(len(self.woken), before, "nothing is left to wake up for")

    def test_one_among_answered_ones(self) -> None:
        """The one that isn't answered is repeated in time though the others of its tick are."""
        lost = self.world.client("NOTIFY", branch="z9hG4bKlost")
        for number in range(5):
            self.world.receive(self.world.client("NOTIFY", branch=f"z9hG4bK{number}"), 200)
        self.udp.sent.clear()
        self.run_for(0.7)
        self.assertEqual(len(self.udp.times("NOTIFY")), 1)
        self.world.receive(lost, 200)
        self.run_for(10)
        self.assertEqual((len(self.udp.times("NOTIFY")), len(self.layer)), (1, 0))

    def test_short_timers(self) -> None:
        """Timers shorter than the time that is looked ahead are kept as well."""
        self.layer.timings = Timings(t1=0.1, timeout=6.4)
        self.world.client("NOTIFY")
        self.run_for(0.4)
        self.assertEqual(len(self.udp.times("NOTIFY")), 3)
