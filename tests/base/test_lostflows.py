"""Tests of the memory of connections that are gone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base import lostflows
from sipnode.base.lostflows import LostFlows, name_of
from sipnode.base.tap import LOST, Tap, Watcher
from sipnode.fakes import FakeFlow
from sipnode.sip import build
from sipnode.sip.message import SipRequest


def request(call_id: str = "c1") -> SipRequest:
    """A BYE."""
    return build.request("BYE", "sip:alice@example.test", [("call-id", call_id)])


class Noting(Watcher):
    """Keeps facts."""

    def __init__(self) -> None:
        self.facts: list[tuple[object, ...]] = []

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[object, ...]) -> None:
        self.facts.append((call_id, fact, *parts))


class LostFlowsTests(SynchronousTestCase):
    """What is known of a connection that is gone."""

    def setUp(self) -> None:
        self.tap, self.counters, self.watcher = Tap(), Counter[str](), Noting()
        self.tap.subscribe(self.watcher)
        self.lost = LostFlows(self.tap, self.counters)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def flow(self, token: str) -> FakeFlow:
        """A page's connection."""
        return FakeFlow("WS", ("192.0.2.9", 4711), token=token)

    def lines(self) -> list[str]:
        """What the log has."""
        return [str(formatEvent(event)) for event in self.events if event.get("log_namespace") == "sipnode.flow"]

    def test_told(self) -> None:
        """A request that meets one is told with which, whose, since when and why, is counted, and is a fact of its call."""
        self.lost.closed(self.flow("ab-h"), ["alice@example.test"], 100.0, "1001 page left")
        self.lost.met(request(), "ab-h", 2, 103.2)
        line = "BYE sip:alice@example.test can't go on: flow ws-17 of alice@example.test closed 3 s ago (1001 page left)"
        self.assertEqual(self.lines(), [line])
        ((call_id, fact, index, name, user, seconds, why),) = self.watcher.facts
        self.assertEqual((call_id, fact, index, name, user), ("c1", LOST, 2, "ws-17", "alice@example.test"))
        self.assertEqual((round(seconds, 1), why), (3.2, "1001 page left"))  # type: ignore[call-overload]  # a fact's parts are objects
        self.assertEqual(self.counters["lost_flow_requests"], 1)

    def test_seldom(self) -> None:
        """However many requests meet one, the log has a line in ten seconds for each; those that nobody knows share one."""
        self.lost.closed(self.flow("ab-1"), ["alice@example.test"], 100.0, "lost")
        for second in range(11):
            for token in ("ab-1", "xy-1", f"xy-{second}"):
                self.lost.met(request(), token, 0, 100.0 + second)
        self.assertEqual(len([line for line in self.lines() if "alice@example.test closed" in line]), 2)
        self.assertEqual(len([line for line in self.lines() if "isn't known any more" in line]), 2)
        self.assertEqual(self.counters["lost_flow_requests"], 33)

    def test_bounded(self) -> None:
        """The oldest is forgotten over the bound, and those of nobody push nobody out; a reason is cut."""
        self.patch(lostflows, "MOST", 2)
        for number in range(3):
            self.lost.closed(self.flow(f"ab-{number}"), [f"u{number}@example.test"], 1.0, "x" * 999)
        for number in range(100):
            self.lost.closed(self.flow(f"st-{number}"), [], 1.0, "lost")
        self.assertEqual(len(self.lost), 2)
        self.assertIsNone(self.lost.find("ab-0"))
        found = self.lost.find("ab-2")
        assert found is not None
        self.assertEqual((found.user, len(found.why)), ("u2@example.test", 80))

    def test_names(self) -> None:
        """A connection's name is its transport and its number; a token of another kind stays as it is."""
        self.assertEqual([name_of(self.flow(token)) for token in ("0a-1z", "zz!")], ["ws-71", "ws-zz!"])
