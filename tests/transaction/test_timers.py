"""Tests of the wheel against a list that is sorted every time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transaction.timers import TICK, TimerWheel, Timings
from tests.sip.kit import PROFILE
from tests.transaction.kit import START


class Item:
    """Something with one timer."""

    def __init__(self, name: int = 0) -> None:
        self.name = name
        self.wake = -1
        self.when = 0.0

    def due(self) -> float:
        return self.when


class Owner:
    """Who puts items into a wheel and takes them out, as the layer does: a later timer is looked at when the entry comes up."""

    def __init__(self) -> None:
        self.wheel = TimerWheel()
        self.now = START
        self.fired: list[tuple[int, float]] = []

    def set(self, item: Item, when: float) -> None:
        item.when = when
        if when:
            self.wheel.add(item, when)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timed in self.wheel.advance(self.now):
            assert isinstance(timed, Item)
            if timed.when and timed.when <= self.now:
                self.fired.append((timed.name, timed.when))
                timed.when = 0.0
            elif timed.when:
                self.wheel.add(timed, timed.when)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), st.floats(0.001, 40)),
        st.tuples(st.just("stop"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("advance"), st.just(0), st.floats(0, 20)),
    ),
    max_size=40,
)


class WheelTests(SynchronousTestCase):
    """One entry an item, cancelled by not caring."""

    @PROFILE
    @given(steps)
    def test_like_a_sorted_list(self, script: list[tuple[str, int, float]]) -> None:
        """Whatever is set, moved and stopped: nothing fires early, nothing later than a tick, nothing twice, nothing is forgotten."""
        owner = Owner()
        items = [Item(name) for name in range(6)]
        waiting: dict[int, float] = {}
        for what, name, number in script:
            if what == "advance":
                owner.fired.clear()
                owner.advance(number)
                for fired, when in owner.fired:
                    self.assertEqual(waiting.pop(fired), when)
                    self.assertTrue(when <= owner.now)
                self.assertEqual({n for n, when in waiting.items() if when + TICK < owner.now}, set())
            else:
                owner.set(items[name], owner.now + number if what == "set" else 0.0)
                waiting.pop(name, None)
                if what == "set":
                    waiting[name] = owner.now + number
        for _ in range(3):
            owner.advance(100)
        self.assertEqual((len(owner.wheel), owner.wheel.next_wake()), (0, 0.0))

    @PROFILE
    @given(st.floats(START, START + 1e6), st.floats(0.001, 200))
    def test_woken_when_asked(self, now: float, seconds: float) -> None:
        """Being called at the very time that next_wake() gives is enough, and that's a tick after the timer at most."""
        wheel = TimerWheel()
        item = Item()
        self.assertTrue(wheel.add(item, now + seconds))
        wake = wheel.next_wake()
        self.assertTrue(now + seconds <= wake + 1e-6 and wake <= now + seconds + TICK + 1e-6)
        self.assertEqual(wheel.advance(wake), [item])
        self.assertEqual(wheel.next_wake(), 0.0)

    def test_earliest(self) -> None:
        """add() says whether the owner has to be woken earlier than before."""
        wheel = TimerWheel()
        said = [wheel.add(Item(), START + after) for after in (10, 20, 5, 5, 7, 1)]
        self.assertEqual(said, [True, False, True, False, False, True])

    def test_moved_earlier(self) -> None:
        """An entry that was moved to an earlier time comes up there, once."""
        wheel = TimerWheel()
        item = Item()
        wheel.add(item, START + 10)
        self.assertTrue(wheel.add(item, START + 5))
        self.assertFalse(wheel.add(item, START + 7))
        self.assertEqual(wheel.advance(START + 6), [item])
        self.assertEqual(wheel.advance(START + 20), [])
        self.assertEqual(len(wheel), 0)

    def test_back_in_the_slot_it_left(self) -> None:
        """An item that is put back where an old entry of it stands comes up once."""
        wheel = TimerWheel()
        item = Item()
        wheel.add(item, START + 10)
        wheel.add(item, START + 5)
        wheel.advance(START + 6)
        wheel.add(item, START + 10)
        self.assertEqual(wheel.advance(START + 20), [item])
        self.assertEqual(len(wheel), 0)


class TimingTests(SynchronousTestCase):
    """RFC 3261 table 4."""

    def test_defaults(self) -> None:
        """T1, T2, T4 of the RFC, 64 times T1, and a timer C of at least three minutes."""
        timings = Timings()
        self.assertEqual((timings.t1, timings.t2, timings.t4, timings.timeout), (0.5, 4.0, 5.0, 64 * timings.t1))
        self.assertTrue(timings.invite_timeout >= 180)
