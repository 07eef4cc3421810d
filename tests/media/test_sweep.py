"""Tests of `sipnode.media.sweep`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.calls import HeldCalls
from sipnode.media.names import Names
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.media.sweep import ALIVE, MOST_A_LOOK, QUIET, Sweep
from sipnode.settings import MediaSettings
from tests.media.support import Nodes, Reply

SECOND = 20.0


class Daemon:
    """What a node holds: ``calls`` by name, whether each was answered, and how many packets it had."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[bool, int]] = {}
        self.asked: list[tuple[str, str]] = []

    def answer(self, command: dict[str, Any]) -> Reply:
        """As rtpengine 10.5 does."""
        name = command.get("call-id", "")
        self.asked.append((command["command"], name))
        if command["command"] == "list":
            return {b"result": b"ok", b"calls": [call.encode() for call in self.calls][: command["limit"]]}
        if command["command"] == "query":
            answered, packets = self.calls[name]
            other = {b"tag": b"t" if answered else b""}
            totals = {b"RTP": {b"packets": packets}, b"RTCP": {b"packets": 0}}
            return {b"result": b"ok", b"tags": {b"a": {b"tag": b"a"}, b"<untagged 1>": other}, b"totals": totals}
        if command["command"] == "delete":
            del self.calls[name]
        return {b"result": b"ok"}


class SweepTests(SynchronousTestCase):
    """Two looks apart."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.wire = Nodes(self.clock)
        self.daemon = Daemon()
        self.wire.answer["192.0.2.1"] = self.daemon.answer
        self.counters: Counter[str] = Counter()
        self.names, self.before = Names(b"secret"), Names(b"secret")
        self.held = HeldCalls(self.counters)
        nodes = NodeSet(parse_nodes(["192.0.2.1:2223"]), self.wire.send, self.clock, 60, 5)
        self.sweep = Sweep(nodes, self, self.clock, MediaSettings(sweep_seconds=SECOND))
        self.sweep.start()
        self.addCleanup(self.sweep.stop)

    def looks(self, count: float) -> None:
        """Time for so many."""
        for _ in range(int(count)):
            self.clock.advance(SECOND)

    def test_rang_at_the_end(self) -> None:
        """What rang when the server was killed is freed at the second look, and nothing happens before the first."""
        self.daemon.calls[self.before.new()] = (False, 0)
        self.clock.advance(SECOND - 1)
        self.assertEqual(self.daemon.asked, [])
        self.clock.advance(1)
        self.assertEqual([command for command, _ in self.daemon.asked], ["list"])
        self.looks(1)
        self.assertEqual((self.daemon.calls, self.counters["swept_media"]), ({}, 1))

    def test_talked_at_the_end(self) -> None:
        """What was up goes on while media flows; after an hour without a packet it is over."""
        name = self.before.new()
        self.daemon.calls[name] = (True, 100)
        self.looks(10)
        self.daemon.calls[name] = (True, 200)
        self.looks(QUIET / SECOND - 1)
        self.assertIn(name, self.daemon.calls)
        self.looks(2 * ALIVE / SECOND)
        self.assertEqual(self.daemon.calls, {})

    def test_is_asked_seldom(self) -> None:
        """A call that was answered is asked about every few minutes only."""
        self.daemon.calls[self.before.new()] = (True, 100)
        self.looks(ALIVE / SECOND)
        self.assertEqual([command for command, _ in self.daemon.asked].count("query"), 1)

    def test_owned(self) -> None:
        """What is held here stays: calls of this run, and those of an earlier one that a re-INVITE has made known again."""
        for name in (self.names.new(), self.before.new()):
            self.daemon.calls[name] = (False, 0)
            self.held.enter(name, "call", "n", True)
        self.looks(20)
        self.assertEqual(len(self.daemon.calls), 2)
        self.assertEqual({command for command, _ in self.daemon.asked}, {"list"})

    def test_lost_delete(self) -> None:
        """A call of this run that nobody holds is freed after a minute, answered or not, without a question."""
        self.daemon.calls[self.names.new()] = (True, 100)
        self.looks(3)
        self.assertEqual(len(self.daemon.calls), 1)
        self.looks(1)
        self.assertEqual(self.daemon.calls, {})
        self.assertNotIn("query", [command for command, _ in self.daemon.asked])

    def test_forgotten(self) -> None:
        """Where calls were forgotten for newer ones, one of this run that isn't held may live, and is judged like one of another."""
        self.held.whole = False
        self.daemon.calls[self.names.new()] = (True, 100)
        self.looks(10)
        self.assertEqual(len(self.daemon.calls), 1)

    def test_of_others(self) -> None:
        """Calls of another server, of a sister node and of tools are never asked about nor deleted."""
        for name in (Names(b"other").new(), Names(b"secret", 2).new(), "ogi3dpopec8u56dffe3s", "x@192.0.2.9", "é"):
            self.daemon.calls[name] = (False, 0)
        self.looks(400)
        self.assertEqual(len(self.daemon.calls), 5)
        self.assertEqual({command for command, _ in self.daemon.asked}, {"list"})

    def test_bound(self) -> None:
        """One look asks about so many and no more; the next goes on with others."""
        for _ in range(MOST_A_LOOK + 10):
            self.daemon.calls[self.before.new()] = (False, 0)
        self.looks(2)
        self.assertEqual(len(self.daemon.calls), 10)
        self.looks(1)
        self.assertEqual(self.daemon.calls, {})

    def test_known_again_meanwhile(self) -> None:
        """A call that became known while the node was asked about it stays."""
        name = self.before.new()
        self.daemon.calls[name] = (False, 0)
        answer = self.daemon.answer

        def late(command: dict[str, Any]) -> Reply:
            if command["command"] == "query":
                self.held.enter(name, "call", "n", False)
            return answer(command)

        self.wire.answer["192.0.2.1"] = late
        self.looks(2)
        self.assertIn(name, self.daemon.calls)

    def test_silent_node(self) -> None:
        """A node that doesn't answer a list is pinged and not marked as down by it: the list may have been too large."""
        self.wire.answer["192.0.2.1"] = lambda command: None if command["command"] == "list" else Nodes.ok(command)
        self.clock.advance(SECOND)
        self.clock.advance(3)
        self.assertEqual(self.wire.took("ping"), ["192.0.2.1"])
        (node,) = self.sweep._nodes.nodes
        self.assertTrue(self.sweep._nodes.is_up(node))

    def test_long_list(self) -> None:
        """Where a list fits into no datagram, a shorter one is asked for next, but not shorter and shorter for ever."""
        limits: list[int] = []

        def answer(command: dict[str, Any]) -> Reply:
            if command["command"] != "list":
                return Nodes.ok(command)
            limits.append(command["limit"])
            return None

        self.wire.answer["192.0.2.1"] = answer
        self.looks(8)
        self.assertEqual(limits, [2000, 1000, 500, 250, 125, 100, 100, 100])

    def test_garbage(self) -> None:
        """Replies that are none of a list or a query change nothing."""
        name = self.before.new()
        for reply in ({b"calls": b"x"}, {b"calls": [1, b"\xff", [b"x"], name.encode()]}):
            self.wire.answer["192.0.2.1"] = lambda command, said=reply: {b"result": b"ok", **said}
            self.looks(3)
        self.assertEqual((self.counters["swept_media"], self.wire.took("delete")), (0, []))
