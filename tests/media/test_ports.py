"""Tests of `sipnode.media.ports`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.bencode import Value
from sipnode.media.nodes import NodeSet, Ports, parse_nodes
from sipnode.media.ports import SECONDS, PortWatch, interfaces_of
from tests.media.support import Nodes, Reply


def statistics(free: int, total: int = 100) -> dict[bytes, Value]:
    """As rtpengine 10.5 gives them, without the rest."""
    ports: dict[bytes, Value] = {b"min": 30000, b"max": 29999 + total, b"free": free, b"totals": total}
    return {b"result": b"ok", b"statistics": {b"interfaces": [{b"name": b"default", b"address": b"192.0.2.1", b"ports": ports}]}}


class PortWatchTests(SynchronousTestCase):
    """One node."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wire = Nodes(self.clock)
        self.free: int | None = 100
        self.wire.answer["192.0.2.1"] = self.answer
        self.nodes = NodeSet(parse_nodes(["192.0.2.1:2223"]), self.wire.send, self.clock, 60, 5)
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.heard)
        self.addCleanup(globalLogPublisher.removeObserver, self.heard)
        watch = PortWatch(self.nodes, self.clock)
        watch.start()
        self.addCleanup(watch.stop)

    def answer(self, command: dict[str, Any]) -> Reply:
        return statistics(self.free) if self.free is not None else None

    def heard(self, event: Any) -> None:
        if event.get("log_namespace") == "sipnode.media.ports.PortWatch" or "ports" in event.get("log_format", ""):
            self.said.append(event["log_format"].format(**event))

    def now(self, free: int | None) -> None:
        """The next answer."""
        self.free = free
        self.clock.advance(SECONDS)

    def test_figures(self) -> None:
        """The node has its ports from the first look on, and anew at each."""
        (node,) = self.nodes.nodes
        self.now(100)
        self.assertEqual(node.ports, (Ports("default", "192.0.2.1", 30000, 30099, 100, 100),))
        self.now(60)
        self.assertEqual(node.ports[0].free, 60)

    def test_alarm(self) -> None:
        """Once when four fifths are in use, and once when it is over; not each time."""
        for free in (21, 20, 10, 20, 29, 31, 60):
            self.now(free)
        self.assertEqual(len(self.said), 2)
        self.assertIn("20 of 100 ports of 192.0.2.1 are free", self.said[0])
        self.assertIn("ports enough again", self.said[1])

    def test_silence(self) -> None:
        """A node that doesn't tell stays up; one that is down has no figures."""
        (node,) = self.nodes.nodes
        self.now(None)
        self.clock.advance(3)
        self.assertTrue(self.nodes.is_up(node))
        node.down_until = self.clock.seconds() + 1000
        self.now(50)
        self.assertEqual(node.ports, ())

    def test_garbage(self) -> None:
        """What isn't figures is none."""
        for said in (b"x", {b"interfaces": b"x"}, {b"interfaces": [b"x", {}, {b"ports": b"x"}]}):
            self.assertEqual(interfaces_of({b"statistics": said}), [])  # type: ignore[dict-item]
        self.assertEqual(interfaces_of({}), [])
        odd: dict[bytes, Value] = {b"statistics": {b"interfaces": [{b"ports": {b"free": b"x"}}]}}
        self.assertEqual(interfaces_of(odd), [Ports("", "", 0, 0, 0, 0)])
