"""The one way out."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.outbox import ACK_PASSED, PASSED, PING, REPLY, Outbox, Why
from sipnode.base.tap import Watcher
from sipnode.fakes import FakeFlow


class Seen(Watcher):
    """Writes down what left and what didn't."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def sent(self, now: float, data: bytes, flow: Any, why: Why, method: str, status: int, transaction: object | None) -> None:
        """Write down."""
        self.events.append(("sent", now, data, why, method, status, transaction))

    def resent(self, now: float, data: bytes, flow: Any, why: Why, transaction: object) -> None:
        """Write down."""
        self.events.append(("resent", now, data, why, transaction))

    def unsent(self, now: float, data: bytes, flow: Any, why: Why, transaction: object | None) -> None:
        """Write down."""
        self.events.append(("unsent", now, data, why, transaction))


class OutboxTests(SynchronousTestCase):
    """What leaves is told, with the octets themselves."""

    def setUp(self) -> None:
        self.outbox, self.seen, self.flow = Outbox(), Seen(), FakeFlow("TCP")
        self.outbox.tap.subscribe(self.seen)

    def test_sent(self) -> None:
        """A message is given to its flow and told of, once; so is its repeat. Nothing is copied."""
        data, mark = b"INVITE", object()
        self.assertTrue(self.outbox.send(1.0, data, self.flow, PASSED, "INVITE", 0, mark))
        self.assertTrue(self.outbox.repeat(2.0, data, self.flow, PASSED, mark))
        self.assertEqual(self.flow.sent, [data, data])
        self.assertEqual(self.seen.events, [("sent", 1.0, data, PASSED, "INVITE", 0, mark), ("resent", 2.0, data, PASSED, mark)])
        self.assertIs(self.seen.events[0][2], data)

    def test_unsent(self) -> None:
        """One whose connection is gone is told as such and counted; where no transaction hears of it, by its kind."""
        self.flow.closed = True
        self.assertFalse(self.outbox.send(1.0, b"a", self.flow, REPLY, "OPTIONS", 200))
        self.assertFalse(self.outbox.send(1.0, b"b", self.flow, ACK_PASSED, "ACK"))
        self.assertFalse(self.outbox.send(1.0, b"c", self.flow, PING, "OPTIONS"))
        self.assertFalse(self.outbox.send(1.0, b"d", self.flow, REPLY, "INVITE", 200, self))
        self.assertFalse(self.outbox.repeat(1.0, b"e", self.flow, REPLY, self))
        self.assertEqual(self.outbox.unsent, 5)
        self.assertEqual(self.outbox.counters, {"unsent_responses": 1, "unsent_acks": 1, "unsent_requests": 1})
        self.assertEqual([event[0] for event in self.seen.events], ["unsent"] * 5)
