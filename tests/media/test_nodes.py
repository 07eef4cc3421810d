"""Tests of `sipnode.media.nodes`."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError, MediaError
from sipnode.media import ng
from sipnode.media.nodes import NodeSet, parse_node, parse_nodes
from sipnode.records import MediaKey
from sipnode.settings import MediaSettings
from tests.media.support import Nodes

CALLS = [f"{i}@a.test" for i in range(2000)]


class LineTests(SynchronousTestCase):
    """The lines of the setting."""

    def test_forms(self) -> None:
        """Name, IPv4 and IPv6, with and without a weight; a name has no address yet."""
        for line, expected in (
            ("127.0.0.1:2223", ("127.0.0.1", 2223, 1, "127.0.0.1")),
            (" 192.0.2.1:2223  weight  5 ", ("192.0.2.1", 2223, 5, "192.0.2.1")),
            ("[2001:DB8:0::1]:2223 weight 0", ("2001:db8::1", 2223, 0, "2001:db8::1")),
            ("RTP-1.a.test:65535", ("rtp-1.a.test", 65535, 1, "")),
        ):
            node = parse_node(line)
            self.assertEqual((node.host, node.port, node.weight, node.address), expected)

    def test_nonsense(self) -> None:
        """What can't be a node stops the start and names the setting."""
        for line in (
            "", "127.0.0.1", "127.0.0.1:", ":2223", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:2223 weight", "127.0.0.1:2223 weight -1",
            "127.0.0.1:2223 weight 1.5", "127.0.0.1:2223 heavy", "::1:2223", "[127.0.0.1]:2223", "[::g]:2223", "1.2.3:2223",
            "1.2.3.256:2223",
            "0.0.0.0:2223", "[::]:2223", "224.0.0.1:2223", "a b:2223", "-a:2223", "a..b:2223", "udp:127.0.0.1:2223", "127.0.0.1:2223\n:1",
            "x" * 64 + ":2223",
        ):  # fmt: skip
            with self.assertRaises(ConfigError, msg=line) as caught:
                parse_node(line)
            self.assertEqual(caught.exception.key, "media.nodes")

    def test_twice(self) -> None:
        """One node in two lines is a fault, however it is written."""
        self.assertRaises(ConfigError, parse_nodes, ["[::1]:2223", "127.0.0.1:2223", "[0:0::1]:2223 weight 2"])

    def test_name(self) -> None:
        """A name fits a Record-Route parameter, and stays the same whatever else the setting says."""
        nodes = parse_nodes(["127.0.0.1:2223", "127.0.0.1:2224", "[::1]:2223"])
        self.assertEqual(len({node.name for node in nodes}), 3)
        for node in nodes:
            self.assertTrue(re.fullmatch(r"[0-9A-Za-z_.-]{1,16}", node.name))
        self.assertEqual(parse_nodes(["[::1]:2223 weight 7"])[0].name, nodes[2].name)


class NodeSetCase(SynchronousTestCase):
    """Nodes h1 … in memory."""

    def make(self, *weights: int) -> NodeSet:
        self.clock = Clock()
        self.wire = Nodes(self.clock)
        lines = [f"192.0.2.{i}:2223 weight {weight}" for i, weight in enumerate(weights, 1)]
        self.set = NodeSet(parse_nodes(lines), self.wire.send, self.clock, disable_seconds=60, ping_seconds=5)
        self.addCleanup(self.set.stop)
        return self.set

    def share(self) -> Counter[str]:
        """How many of the calls each host takes."""
        chosen = (self.set.choose(call) for call in CALLS)
        return Counter(node.host if node is not None else "" for node in chosen)


class ChoiceTests(NodeSetCase):
    """Who takes a call."""

    def test_weights(self) -> None:
        """A node of three times the weight takes about three times the calls, and the same call always goes to the same."""
        self.make(1, 3)
        share = self.share()
        self.assertTrue(2.5 < share["192.0.2.2"] / share["192.0.2.1"] < 3.5, share)
        self.assertEqual(share, self.share())

    def test_only_calls_of_the_lost_node_move(self) -> None:
        """When a node goes, the calls of the others stay where they are."""
        nodes = self.make(1, 1, 1)
        before = {call: nodes.choose(call) for call in CALLS}
        gone = nodes.nodes[1]
        gone.down_until = 60.0
        for call, node in before.items():
            if node is not gone:
                self.assertIs(nodes.choose(call), node)
        self.assertEqual(self.share()[gone.host], 0)

    def test_weight_zero_is_the_last_resort(self) -> None:
        """A node of weight 0 takes calls only when no other is up."""
        nodes = self.make(0, 1, 0)
        self.assertEqual(set(self.share()), {"192.0.2.2"})
        nodes.nodes[1].down_until = 60.0
        self.assertEqual(set(self.share()), {"192.0.2.1", "192.0.2.3"})
        self.assertEqual([node.weight for node in nodes.ranked("x")], [0, 0])

    def test_sets(self) -> None:
        """A call takes nodes of its set, up or held down, and no other; a reload moves a node to another set; set 0 can't be empty."""
        nodes = self.make(1, 1, 1)
        nodes.replace(parse_nodes(["192.0.2.1:2223", "192.0.2.2:2223 set 1", "192.0.2.3:2223 weight 2 set 1"]))
        self.assertEqual(set(self.share()), {"192.0.2.1"})
        self.assertEqual({node.host for call in CALLS if (node := nodes.choose(call, 1))}, {"192.0.2.2", "192.0.2.3"})
        for node in nodes.nodes[1:]:
            node.down_until = 60.0
        self.assertEqual((nodes.ranked("x", 1), len(nodes.held_down("x", 1))), ([], 2))
        self.assertIsNone(nodes.choose("x", 2))
        self.assertEqual([nodes.has_set(number) for number in (0, 1, 2)], [True, True, False])
        error = self.assertRaises(ConfigError, parse_nodes, ["192.0.2.1:2223 set 1"])
        self.assertIn("set 0 has no node", str(error))

    def test_none_up(self) -> None:
        """Nobody up, or not yet resolved: no node."""
        nodes = self.make(1)
        nodes.nodes[0].address = ""
        self.assertIsNone(nodes.choose("x"))

    def test_drain(self) -> None:
        """A draining node gets no new calls and is still known by its name."""
        nodes = self.make(1, 1)
        name = nodes.nodes[0].name
        self.assertTrue(nodes.drain(name))
        self.assertEqual(set(self.share()), {"192.0.2.2"})
        self.assertIs(nodes.named(name), nodes.nodes[0])
        self.assertTrue(nodes.drain(name, False))
        self.assertEqual(len(self.share()), 2)
        self.assertFalse(nodes.drain("nobody"))

    @given(st.text(max_size=30))
    def test_any_call_id(self, call_id: str) -> None:
        """Any Call-ID has a node."""
        self.make(1, 0, 9)
        self.assertIn(self.set.choose(call_id), self.set.nodes)

    def test_odd_octets(self) -> None:
        """So has one of octets that are no UTF-8."""
        self.make(1, 1)
        self.assertIn(self.set.choose(b"\xff\xfe".decode("utf-8", "surrogateescape")), self.set.nodes)


class HealthTests(NodeSetCase):
    """Who is up."""

    def test_silence_disables_and_a_ping_brings_back(self) -> None:
        """A node that didn't answer isn't chosen; it is pinged at once and each interval, and is back by the first answer."""
        nodes = self.make(1, 1)
        node = nodes.nodes[0]
        nodes.start()
        self.wire.answer[node.host] = Nodes.silent
        failed = nodes.command(node, ng.offer(MediaKey("c", "f"), b"v=0", {}))
        self.clock.advance(2.1)
        self.failureResultOf(failed, ng.NoAnswer)
        self.assertEqual(set(self.share()), {"192.0.2.2"})
        self.clock.pump([1.0] * 20)
        self.assertEqual(set(self.share()), {"192.0.2.2"})
        del self.wire.answer[node.host]
        self.clock.pump([1.0] * 5)
        self.assertEqual(set(self.share()), {"192.0.2.1", "192.0.2.2"})

    def test_pinged_at_once(self) -> None:
        """A node that only lost some packets is back as soon as it answers the ping that follows."""
        nodes = self.make(1)
        self.wire.answer["192.0.2.1"] = lambda command: Nodes.ok(command) if command["command"] == "ping" else None
        failed = nodes.command(nodes.nodes[0], ng.offer(MediaKey("c", "f"), b"v=0", {}))
        self.clock.advance(2.1)
        self.failureResultOf(failed, ng.NoAnswer)
        self.assertTrue(nodes.is_up(nodes.nodes[0]))

    def test_gone(self) -> None:
        """What a node that is gone had is seen to by a ping in vain, not by any other command; and once, until it is back."""
        nodes, told = self.make(1), list[str]()
        nodes.on_down, nodes.on_back = (lambda node: told.append("down")), (lambda node: told.append("back"))
        node = nodes.nodes[0]
        self.wire.answer[node.host] = lambda command: Nodes.ok(command) if command["command"] == "ping" else None
        nodes.command(node, ng.offer(MediaKey("c", "f"), b"v=0", {})).addErrback(lambda _: None)
        self.clock.advance(2.1)
        self.assertEqual(told, [])
        self.wire.answer[node.host] = Nodes.silent
        nodes.start()
        self.clock.pump([0.5] * 20)
        self.assertEqual(told, ["down"])
        del self.wire.answer[node.host]
        self.clock.pump([0.5] * 20)
        self.assertEqual(told, ["down", "back"])
        nodes.stop()

    def test_started_meanwhile(self) -> None:
        """A ping that was lost while a node wasn't there says nothing of one that has answered since."""
        nodes = self.make(1)
        node = nodes.nodes[0]
        self.wire.answer[node.host] = Nodes.silent
        nodes.ping(node).addErrback(lambda _: None)
        self.clock.advance(0.5)
        del self.wire.answer[node.host]
        self.successResultOf(nodes.command(node, ng.list_calls()))
        self.clock.advance(3)
        self.assertTrue(nodes.is_up(node))

    def test_start_finds_the_dead(self) -> None:
        """A node that is dead at the start is found so without any call, and the start waits for nobody."""
        nodes = self.make(1, 1)
        self.wire.answer["192.0.2.1"] = Nodes.silent
        nodes.start()
        self.assertEqual(self.wire.took("ping"), ["192.0.2.1", "192.0.2.2"])
        self.clock.advance(2.1)
        self.assertEqual(set(self.share()), {"192.0.2.2"})

    def test_time_enables(self) -> None:
        """After the time of the setting a node is tried again even without a ping."""
        nodes = self.make(1)
        self.wire.answer["192.0.2.1"] = Nodes.silent
        failed = nodes.command(nodes.nodes[0], ng.offer(MediaKey("c", "f"), b"v=0", {}))
        self.clock.pump([2.1, 2.1])
        self.failureResultOf(failed, ng.NoAnswer)
        self.clock.advance(50)
        self.assertFalse(nodes.is_up(nodes.nodes[0]))
        self.clock.advance(10)
        self.assertTrue(nodes.is_up(nodes.nodes[0]))

    def test_unanswered_delete(self) -> None:
        """A delete that isn't answered asks for a ping and marks nothing down; the ping's own silence does."""
        nodes = self.make(1)
        self.wire.answer["192.0.2.1"] = lambda command: None if command["command"] == "delete" else Nodes.ok(command)
        for up in (True, False):
            failed = nodes.command(nodes.nodes[0], ng.delete(MediaKey("c", "")))
            self.clock.pump([2.1, 2.1])
            self.failureResultOf(failed, ng.NoAnswer)
            self.assertIs(nodes.is_up(nodes.nodes[0]), up)
            self.wire.answer["192.0.2.1"] = Nodes.silent
        self.assertEqual(len(self.wire.took("ping")), 2)

    def test_held_down(self) -> None:
        """Where none is up the best two are left to try, none that drains."""
        nodes = self.make(1, 1, 1)
        for node in nodes.nodes:
            node.down_until = 60.0
        nodes.nodes[0].draining = True
        self.assertEqual({node.host for node in nodes.held_down("c")}, {"192.0.2.2", "192.0.2.3"})
        self.assertIs(nodes.choose("c"), nodes.held_down("c")[0])

    def test_refusal_is_life(self) -> None:
        """A node that refuses is up."""
        nodes = self.make(1)
        self.wire.answer["192.0.2.1"] = Nodes.refusing(MediaError, "Failed to parse SDP", 488)
        self.failureResultOf(nodes.command(nodes.nodes[0], ng.offer(MediaKey("c", "f"), b"v=0", {})), MediaError)
        self.assertTrue(nodes.is_up(nodes.nodes[0]))

    def test_one_ping_at_a_time(self) -> None:
        """However short the interval, a silent node has one ping under way."""
        clock = Clock()
        wire = Nodes(clock)
        wire.answer["192.0.2.1"] = Nodes.silent
        nodes = NodeSet(parse_nodes(["192.0.2.1:2223"]), wire.send, clock, 60, 0.5)
        nodes.start()
        clock.pump([0.5] * 4)
        self.assertEqual(len(wire.took("ping")), 1)
        clock.pump([0.5] * 4)
        self.assertEqual(len(wire.took("ping")), 2)
        nodes.stop()

    def test_noticed_within_two_seconds(self) -> None:
        """With the settings as they are by default, a node that dies is out of the choice within 2 s, without any call."""
        settings, clock = MediaSettings(), Clock()
        wire = Nodes(clock, settings.timeouts)
        nodes = NodeSet(parse_nodes(["192.0.2.1:2223"]), wire.send, clock, settings.disable_seconds, settings.ping_seconds)
        nodes.ping_waits = settings.timeouts[:-1]
        nodes.start()
        self.addCleanup(nodes.stop)
        clock.pump([0.01] * 501)
        # It dies right after it has answered a ping.
        wire.answer["192.0.2.1"] = Nodes.silent
        clock.pump([0.01] * 198)
        self.assertFalse(nodes.is_up(nodes.nodes[0]))

    def lose(self) -> list[str]:
        """A node that answers no more; those that were found lost."""
        nodes, lost = self.make(1), []
        nodes.lost_seconds, nodes.on_lost = 15.0, lambda node: lost.append(node.place)
        self.wire.answer["192.0.2.1"] = Nodes.silent
        nodes.start()
        return lost

    def test_lost(self) -> None:
        """A node that is silent for long is lost, once; after it has answered it can be lost again."""
        lost = self.lose()
        self.clock.pump([0.1] * 160)
        self.assertEqual(lost, [])
        self.clock.pump([0.1] * 600)
        self.assertEqual(lost, ["192.0.2.1:2223"])
        del self.wire.answer["192.0.2.1"]
        self.clock.pump([0.1] * 60)
        node = self.set.nodes[0]
        self.assertEqual((node.lost, node.silent_since), (False, None))
        self.wire.answer["192.0.2.1"] = Nodes.silent
        self.clock.pump([0.1] * 300)
        self.assertEqual(len(lost), 2)

    def test_not_lost(self) -> None:
        """One that answers now and then is not lost, however often it is silent; nor is any where the setting is 0."""
        lost = self.lose()
        for _ in range(10):
            self.clock.pump([0.1] * 100)
            self.wire.answer["192.0.2.1"] = Nodes.ok
            self.clock.pump([0.1] * 51)
            self.wire.answer["192.0.2.1"] = Nodes.silent
        self.assertEqual(lost, [])
        self.set.lost_seconds = 0.0
        self.clock.pump([0.1] * 1000)
        self.assertEqual(lost, [])

    def test_too_large(self) -> None:
        """An offer too large for its reply to come marks nothing down, and asks for a ping, as an unanswered delete does."""
        nodes = self.make(1)
        self.wire.answer["192.0.2.1"] = lambda command: None if command["command"] == "offer" else Nodes.ok(command)
        failed = nodes.command(nodes.nodes[0], ng.offer(MediaKey("c", "f"), b"v=0" + b" " * 60_000, {}))
        self.clock.advance(2.1)
        self.failureResultOf(failed, ng.NoAnswer)
        self.assertEqual((nodes.is_up(nodes.nodes[0]), self.wire.took("ping")), (True, ["192.0.2.1"]))

    def test_stop(self) -> None:
        """After the stop nothing is scheduled, also when it never started."""
        nodes = self.make(1)
        nodes.stop()
        nodes.start()
        nodes.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
