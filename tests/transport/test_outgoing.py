"""Promises of ``sipnode.transport.outgoing``."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.admission import Admission
from sipnode.transport.outgoing import Outgoing


class Flow:
    """As far as a place is concerned."""

    def __init__(self, last: float) -> None:
        self.last = last
        self.closed = ""

    def close(self, reason: str) -> None:
        self.closed = reason


class OutgoingTests(SynchronousTestCase):
    """Connections that we open."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.admission = Admission(20, 5, seconds=self.clock.seconds)
        self.outgoing = Outgoing(self.admission, 1000, 3, self.clock.seconds)

    def open(self, cause: str) -> Any:
        place = self.outgoing.enter(cause)
        if place is not None:
            place.flow = Flow(self.clock.seconds())
        return place

    def test_one_user(self) -> None:
        """One user has so many, others have theirs; what is given back can be had again."""
        places = [self.open("mallory") for _ in range(4)]
        self.assertEqual([place is not None for place in places], [True, True, True, False])
        self.assertIsNotNone(self.open("alice"))
        self.assertEqual((self.admission.open, self.admission.counts["outgoing_refused"]), (4, 1))
        places[0].release()
        places[0].release()
        self.assertIsNotNone(self.open("mallory"))

    def test_room_for_users(self) -> None:
        """All together, ours too, never take more than half of all places."""
        opened = [self.open(cause) for number in range(10) for cause in (f"u{number}", f"u{number}", "")]
        self.assertEqual((sum(place is not None for place in opened), len(self.outgoing)), (10, 10))
        self.assertEqual(sum(self.admission.enter(f"203.0.113.{number}") is not None for number in range(10)), 10)

    def test_idle_ones_go(self) -> None:
        """For one too many the connection that was used longest ago is closed, once nothing can wait on it."""
        first, second, third = (self.open("alice") for _ in range(3))
        second.flow.last -= 5
        flow = second.flow
        self.clock.advance(20)
        self.assertIsNone(self.open("alice"))
        self.clock.advance(12)
        self.assertIsNotNone(self.open("alice"))
        self.assertEqual((flow.closed, self.outgoing.of("alice")), ("made room for others", 3))
        for place in (first, third):
            place.release()
        self.assertEqual(self.outgoing.of("alice"), 1)

    def test_nothing_left(self) -> None:
        """When all are gone nobody is remembered."""
        for place in [self.open(str(number)) for number in range(8)]:
            place.release()
        self.assertEqual((len(self.outgoing), self.outgoing._causes, self.admission.open), (0, {}, 0))
