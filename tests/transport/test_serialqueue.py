"""Promises of ``sipnode.transport.serialqueue``."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.serialqueue import SerialQueue


class Reactor:
    """Turns by hand: what is asked for during a turn is done in the next."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callLater(self, seconds: float, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        """One turn."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class TurnTests(SynchronousTestCase):
    """One thing in each turn."""

    def test_order(self) -> None:
        """In the order of asking, one each turn, also what is asked for meanwhile; one delayed call however much waits."""
        reactor, done = Reactor(), list[int]()
        queue = SerialQueue(reactor)

        def work(number: int) -> None:
            done.append(number)
            if number < 3:
                queue.add(lambda: work(number + 10))

        for number in range(4):
            queue.add(lambda number=number: work(number))  # type: ignore[misc]  # a default that binds the number
        for count in range(7):
            self.assertEqual((len(done), len(reactor.calls)), (count, 1))
            reactor.turn()
        self.assertEqual((done, len(queue), reactor.calls), ([0, 1, 2, 3, 10, 11, 12], 0, []))

    def test_fault(self) -> None:
        """What raises keeps nobody else from having a turn."""
        reactor, done = Reactor(), list[int]()
        queue = SerialQueue(reactor)
        queue.add(lambda: 1 / 0)
        queue.add(lambda: done.append(1))
        self.assertRaises(ZeroDivisionError, reactor.turn)
        reactor.turn()
        self.assertEqual(done, [1])
