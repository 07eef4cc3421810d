"""Tests of `sipnode.media.bridge`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ConfigError, MediaError
from sipnode.interfaces import IMediaRelay
from sipnode.media import bridge as module
from sipnode.media import ng
from sipnode.media.bridge import NoRelay, RtpengineRelay
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.records import MediaForm, MediaKey, MediaProfile
from sipnode.settings import MediaSettings
from tests.media.support import Nodes

BROWSER = MediaProfile(MediaForm.WEBRTC, protocol="UDP/TLS/RTP/SAVPF")
PHONE = MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP")
FULL = Nodes.refusing(ng.NodeFull, "Ran out of ports", 503)


class RelayCase(SynchronousTestCase):
    """A relay over nodes in memory; ``first`` and ``second`` are the nodes in the order that call "c" takes them."""

    def setUp(self) -> None:
        self.make(2)

    def make(self, count: int, **settings: Any) -> None:
        self.clock = Clock()
        self.wire = Nodes(self.clock)
        nodes = NodeSet(parse_nodes(f"192.0.2.{i}:2223" for i in range(1, count + 1)), self.wire.send, self.clock, 60, 5)
        self.relay = RtpengineRelay(nodes, MediaSettings(**settings), self.clock)
        ranked = [node.host for node in nodes.ranked("c")]
        self.first, self.second = ranked[0], ranked[-1]

    def host(self, key: MediaKey) -> str:
        """Where the key says that its call is."""
        node = self.relay.nodes.named(key.node)
        return node.host if node is not None else ""

    def name(self, host: str) -> str:
        """What a node is called towards callers."""
        return next(node.name for node in self.relay.nodes.nodes if node.host == host)

    def key(self, **fields: str) -> MediaKey:
        return MediaKey("c", "f", **{"via_branch": "z.0", "node": self.relay.choose("c"), **fields})

    def error(self, deferred: Deferred[Any]) -> MediaError:
        return self.failureResultOf(deferred, MediaError).value


class OfferTests(RelayCase):
    """Offers, and where they go."""

    def test_interface(self) -> None:
        """It is an IMediaRelay."""
        self.assertTrue(verifyObject(IMediaRelay, self.relay))
        self.assertTrue(self.relay.enabled)

    def test_offer(self) -> None:
        """The offer goes to the chosen node with the fields of its profile, and its SDP comes back."""
        key = self.key()
        self.assertEqual(self.successResultOf(self.relay.offer(key, b"v=0", BROWSER)), b"relayed v=0")
        self.assertEqual((self.wire.log, self.host(key)), ([(self.first, "offer")], self.first))
        command = self.wire.commands[0]
        self.assertEqual((command["DTLS"], command["ICE"], command["via-branch"]), ("passive", "force", "z.0"))

    def test_no_node_named(self) -> None:
        """A key without a node, or with one that the settings no longer have, gets the node by its Call-ID."""
        for name in ("", "n0123abc"):
            key = self.key(node=name)
            self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
            self.assertEqual(self.host(key), self.first)

    def test_set(self) -> None:
        """A call of another set stays in it when its node is silent, and fails where that has no other."""
        for silent in ((), ("192.0.2.2",), ("192.0.2.3",)):
            self.make(3)
            self.relay.nodes.replace(parse_nodes(["192.0.2.1:2223", "192.0.2.2:2223 set 1", "192.0.2.3:2223 set 1"]))
            self.wire.answer = dict.fromkeys(silent, Nodes.silent)
            key = self.key(node=self.relay.choose_in("c", 1))
            offered = self.relay.offer(key, b"v=0", PHONE)
            self.clock.advance(1)
            self.successResultOf(offered)
            self.assertIn(self.host(key), {"192.0.2.2", "192.0.2.3"} - set(silent))
        self.wire.answer = dict.fromkeys(("192.0.2.2", "192.0.2.3"), FULL)
        self.assertEqual(self.error(self.relay.offer(self.key(node=self.relay.choose_in("c", 1)), b"v=0", PHONE)).status, 503)
        self.assertNotIn("192.0.2.1", [host for host, name in self.wire.log if name == "offer"])
        self.assertRaises(ConfigError, self.relay.choose_in, "c", 7)

    def test_silent_node(self) -> None:
        """A silent node costs its waits but the last; then the next one has the call, and the silent one is told to forget it."""
        self.wire.answer[self.first] = Nodes.silent
        key = self.key()
        offered = self.relay.offer(key, b"v=0", PHONE)
        self.clock.advance(0.89)
        self.assertNoResult(offered)
        self.clock.advance(0.02)
        self.assertEqual(self.successResultOf(offered), b"relayed v=0")
        self.assertEqual(self.host(key), self.second)
        self.assertEqual(self.wire.took("offer"), [self.first, self.second])
        self.assertEqual(self.wire.took("delete"), [self.first])

    def test_next_call_waits_for_nobody(self) -> None:
        """Once a node is known to be down other calls don't try it."""
        self.wire.answer[self.first] = Nodes.silent
        self.relay.offer(self.key(), b"v=0", PHONE)
        self.clock.advance(0.9)
        self.wire.log.clear()
        for i in range(20):
            self.successResultOf(self.relay.offer(MediaKey(f"c{i}", "f"), b"v=0", PHONE))
        self.assertEqual(set(self.wire.took("offer")), {self.second})

    def test_branch_chosen_before_its_node_died(self) -> None:
        """A key that still names a node which is down goes to the other at once."""
        key = self.key()
        node = self.relay.nodes.named(key.node)
        assert node is not None
        node.down_until = 60.0
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        self.assertEqual(self.host(key), self.second)

    def test_all_silent(self) -> None:
        """Nobody answering, the call ends with 503 in bounded time."""
        for host in (self.first, self.second):
            self.wire.answer[host] = Nodes.silent
        offered = self.relay.offer(self.key(), b"v=0", PHONE)
        self.clock.pump([0.9, 2.1])
        error = self.error(offered)
        self.assertEqual((error.status, error.reason), (503, f"media node {self.name(self.second)} doesn't answer"))

    def test_all_held_down(self) -> None:
        """Where all are held to be down a new call tries the best at once, and it is up again by that."""
        for node in self.relay.nodes.nodes:
            node.down_until = 60.0
        key = self.key()
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        self.assertEqual((self.host(key), self.wire.log), (self.first, [(self.first, "offer")]))
        found = self.relay.nodes.named(key.node)
        assert found is not None
        self.assertTrue(self.relay.nodes.is_up(found))

    def test_few_are_tried_in_vain(self) -> None:
        """Of many that are held to be down two are tried."""
        self.make(5)
        for node in self.relay.nodes.nodes:
            node.down_until = 60.0
            self.wire.answer[node.host] = Nodes.silent
        offered = self.relay.offer(self.key(), b"v=0", PHONE)
        self.clock.pump([0.9, 2.1])
        self.assertEqual(self.error(offered).status, 503)
        self.assertEqual(len(self.wire.took("offer")), 2)

    def test_large_sdp(self) -> None:
        """Silence on an SDP that may fit into no datagram marks no healthy node as down, and the call says why it fails."""
        self.wire.answer[self.first] = lambda command: None if command["command"] == "offer" else Nodes.ok(command)
        large = b"v=0\r\n" + b"a=x\r\n" * 4000
        offered = self.relay.offer(self.key(), large, PHONE)
        self.clock.pump([0.9])
        error = self.error(offered)
        reason = f"media node {self.name(self.first)} refuses: no answer to an SDP of {len(large)} octets"
        self.assertEqual((error.status, error.reason), (513, reason))
        self.assertEqual(self.wire.took("ping"), [self.first])
        self.assertEqual(self.host(self.key()), self.first)

    def test_full_node(self) -> None:
        """A node without ports passes the call on, stays up, and has nothing to delete."""
        self.wire.answer[self.first] = FULL
        key = self.key()
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        self.assertEqual((self.host(key), self.relay.choose("c") != key.node), (self.second, True))
        self.assertEqual(self.wire.took("delete"), [])

    def test_all_full(self) -> None:
        """All full: 503 in a sentence that names the node as it was configured; nothing is deleted, for nothing was made."""
        for host in (self.first, self.second):
            self.wire.answer[host] = FULL
        key = self.key()
        before = key.node
        error = self.error(self.relay.offer(key, b"v=0", PHONE))
        self.assertEqual(error.status, 503)
        self.assertEqual(str(error), f"media node {self.name(self.second)} has no room for a call: Ran out of ports")
        self.assertEqual((self.wire.took("delete"), key.node), ([], before))

    def test_bad_sdp_is_tried_once(self) -> None:
        """SDP that one node can't read isn't shown to the others."""
        self.wire.answer[self.first] = Nodes.refusing(MediaError, "Failed to parse SDP", 488)
        self.assertEqual(self.error(self.relay.offer(self.key(), b"v=0", PHONE)).status, 488)
        self.assertEqual(self.wire.took("offer"), [self.first])

    def test_no_sdp_back(self) -> None:
        """Success without SDP is a failure: the caller's own never comes back instead."""
        for sdp in ({}, {b"sdp": b""}, {b"sdp": 1}):
            self.wire.answer[self.first] = lambda command, sdp=sdp: {b"result": b"ok", **sdp}
            self.assertEqual(self.error(self.relay.offer(self.key(), b"v=0", PHONE)).status, 488)
            self.assertEqual(self.error(self.relay.answer(self.key(to_tag="t"), b"v=0", PHONE)).status, 488)

    def test_single_node_uses_all_waits(self) -> None:
        """With nobody else to ask the last wait is worth its time."""
        self.make(1)
        self.wire.answer[self.first] = Nodes.silent
        offered = self.relay.offer(self.key(), b"v=0", PHONE)
        self.clock.advance(2.09)
        self.assertNoResult(offered)
        self.clock.advance(0.02)
        self.assertIsInstance(self.error(offered), ng.NoAnswer)

    def test_draining_node_keeps_its_calls(self) -> None:
        """A re-INVITE of a call at a draining node stays there; a new call goes elsewhere."""
        key = self.key()
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        self.relay.nodes.drain(key.node)
        self.successResultOf(self.relay.offer(MediaKey("c", "f", "t", node=key.node), b"v=0", PHONE))
        self.assertEqual(self.wire.took("offer"), [self.first, self.first])
        self.assertNotEqual(self.relay.choose("c"), key.node)


class BypassTests(RelayCase):
    """on_error = "bypass"."""

    def setUp(self) -> None:
        self.make(2, on_error="bypass")

    def test_new_call_passes(self) -> None:
        """A call that no node takes gets its SDP back as it was, and everything that follows under its key passes by the nodes."""
        for host in (self.first, self.second):
            self.wire.answer[host] = FULL
        key = self.key()
        self.assertEqual(self.successResultOf(self.relay.offer(key, b"v=0", BROWSER)), b"v=0")
        self.assertRegex(key.node, r"^[0-9A-Za-z_.-]+$")
        self.wire.log.clear()
        self.wire.answer.clear()
        key.to_tag = "t"
        self.assertEqual(self.successResultOf(self.relay.answer(key, b"v=1", PHONE)), b"v=1")
        self.assertEqual(self.successResultOf(self.relay.offer(MediaKey("c", "t", "f", node=key.node), b"v=2", PHONE)), b"v=2")
        self.assertIsNone(self.successResultOf(self.relay.delete(key)))
        self.assertEqual(self.wire.log, [])

    def test_bad_sdp_does_not(self) -> None:
        """SDP that a node can't read is refused, bypass or not."""
        self.wire.answer[self.first] = Nodes.refusing(MediaError, "Failed to parse SDP", 488)
        self.assertEqual(self.error(self.relay.offer(self.key(), b"v=0", PHONE)).status, 488)

    def test_relayed_call_does_not(self) -> None:
        """A call that has begun with a relay isn't switched over in its midst."""
        key = self.key()
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        for node in self.relay.nodes.nodes:
            self.wire.answer[node.host] = FULL
        self.assertEqual(self.error(self.relay.offer(MediaKey("c", "f", "t", node=key.node), b"v=0", PHONE)).status, 503)


class DialogTests(RelayCase):
    """Answers, moves and deletes."""

    def start(self, **fields: str) -> MediaKey:
        key = self.key(**fields)
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        return key

    def test_answer(self) -> None:
        """The answer goes where the offer went, with both tags and no DTLS for a browser."""
        key = self.start()
        key.to_tag = "t"
        self.assertEqual(self.successResultOf(self.relay.answer(key, b"v=1", BROWSER)), b"relayed v=1")
        self.assertEqual(self.wire.log[-1], (self.first, "answer"))
        self.assertNotIn("DTLS", self.wire.commands[-1])

    def test_answer_after_a_restart_of_ours(self) -> None:
        """A relay that has just started finds the node by the key, without one by the Call-ID."""
        for node in (self.relay.choose("c"), ""):
            self.successResultOf(self.relay.answer(MediaKey("c", "f", "t", node=node), b"v=1", PHONE))
        self.assertEqual(self.wire.took("answer"), [self.first, self.first])

    def test_answer_with_nobody_up(self) -> None:
        """No node at all is a 503."""
        for node in self.relay.nodes.nodes:
            node.address = ""
        self.assertEqual(self.error(self.relay.answer(MediaKey("c", "f", "t"), b"v=1", PHONE)).status, 503)

    def test_unknown_call_tells_its_story(self) -> None:
        """The error of an answer that its node doesn't know names the node, and when the offer and the delete were."""
        key = self.start(via_branch="")
        self.wire.answer[self.first] = Nodes.refusing(ng.UnknownCall, "Unknown call-id", 500)
        self.clock.advance(3)
        self.assertEqual(self.error(self.relay.answer(key, b"v=1", PHONE)).status, 503)
        self.assertEqual(
            self.error(self.relay.answer(key, b"v=1", PHONE)).reason,
            f"media node {self.name(self.first)} doesn't have the call: Unknown call-id, offered 3.0 s ago, not deleted by us",
        )
        self.relay.delete(key)
        self.clock.advance(1)
        self.assertIn("offered 4.0 s ago, deleted 1.0 s ago", self.error(self.relay.answer(key, b"v=1", PHONE)).reason)
        self.assertIn("no offer known", self.error(self.relay.answer(MediaKey("other", "f", "t", node=key.node), b"v=1", PHONE)).reason)

    def test_move_inside_a_dialog(self) -> None:
        """A re-INVITE moves from a dead node; later commands whose Route names the dead one follow, and the BYE clears the new one."""
        route = self.start().node
        self.wire.answer[self.first] = Nodes.silent
        again = MediaKey("c", "f", "t", node=route)
        offered = self.relay.offer(again, b"v=0", PHONE)
        self.clock.advance(0.9)
        self.successResultOf(offered)
        self.assertEqual(self.host(again), self.second)
        del self.wire.answer[self.first]
        self.clock.advance(10)
        self.wire.log.clear()
        self.successResultOf(self.relay.answer(MediaKey("c", "f", "t", node=route), b"v=0", PHONE))
        self.successResultOf(self.relay.offer(MediaKey("c", "t", "f", node=route), b"v=0", PHONE))
        self.successResultOf(self.relay.delete(MediaKey("c", "t", "f", node=route)))
        self.assertEqual({host for host, command in self.wire.log if command != "ping"}, {self.second})

    def test_fork_on_two_nodes(self) -> None:
        """Each branch is answered where its own offer went, and the BYE ends the call at both."""
        one = self.start()
        self.wire.answer[self.first] = FULL
        two = self.start(via_branch="z.1")
        del self.wire.answer[self.first]
        self.assertEqual((self.host(one), self.host(two)), (self.first, self.second))
        for key in (one, two):
            key.to_tag = "t"
            self.successResultOf(self.relay.answer(key, b"v=0", PHONE))
        self.assertEqual(self.wire.took("answer"), [self.first, self.second])
        self.successResultOf(self.relay.delete(MediaKey("c", "", node=one.node)))
        self.assertEqual(sorted(self.wire.took("delete")), sorted([self.first, self.second]))

    def test_delete_of_a_branch(self) -> None:
        """A branch is deleted by its via-branch at its own node, with the delay of the settings."""
        key = self.start()
        self.successResultOf(self.relay.delete(key))
        self.assertEqual(self.wire.log[-1], (self.first, "delete"))
        self.assertEqual((self.wire.commands[-1]["via-branch"], self.wire.commands[-1]["delete delay"]), ("z.0", 0))

    def test_measured(self) -> None:
        """Where somebody wants the numbers of a call they are asked for before it is deleted, and it is deleted whatever comes of that."""
        measured: list[str] = []
        self.relay.measured = lambda name, reply: measured.append(name)
        key = self.key()
        self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        del self.wire.log[:]
        self.successResultOf(self.relay.delete(MediaKey("c", "", node=key.node)))
        self.assertEqual(([name for _, name in self.wire.log], measured[0]), (["query", "delete"], "c"))
        del self.wire.log[:]
        self.successResultOf(self.relay.delete(key))
        self.assertEqual([name for _, name in self.wire.log], ["delete"])

    def test_delete_never_fails(self) -> None:
        """Silence, refusal, a node that nobody knows, no node up: the Deferred fires with None."""
        key = self.start(via_branch="")
        self.wire.answer[self.first] = Nodes.refusing(MediaError, "x", 500)
        self.assertIsNone(self.successResultOf(self.relay.delete(key)))
        self.wire.answer[self.first] = Nodes.silent
        deleted = self.relay.delete(key)
        self.clock.advance(2.1)
        self.assertIsNone(self.successResultOf(deleted))
        for node in self.relay.nodes.nodes:
            node.address = ""
        self.assertIsNone(self.successResultOf(self.relay.delete(MediaKey("x", "f", node="n0123abc"))))

    def test_call_id_used_again(self) -> None:
        """A Call-ID that comes again after its delete is a new call, at whichever node takes it now."""
        self.relay.delete(self.start(via_branch=""))
        self.wire.answer[self.first] = FULL
        key = self.start(via_branch="")
        self.assertEqual(self.host(key), self.second)
        self.wire.log.clear()
        self.relay.delete(key)
        self.assertEqual(self.wire.took("delete"), [self.second])

    def test_notes_are_bounded(self) -> None:
        """However many calls come, what is remembered of them is bounded, and the oldest still work by their key."""
        self.patch(module, "MAX_NOTES", 3)
        keys = [MediaKey(f"c{i}", "f") for i in range(10)]
        for key in keys:
            self.successResultOf(self.relay.offer(key, b"v=0", PHONE))
        self.assertEqual(len(self.relay._notes), 3)
        keys[0].to_tag = "t"
        self.successResultOf(self.relay.answer(keys[0], b"v=0", PHONE))
        self.assertEqual(self.wire.log[-1], (self.host(keys[0]), "answer"))


class NoRelayTests(SynchronousTestCase):
    """Without any node."""

    def test_passes_sdp(self) -> None:
        """It is an IMediaRelay that says it is off and gives SDP back as it came."""
        relay = NoRelay()
        self.assertTrue(verifyObject(IMediaRelay, relay))
        self.assertEqual((relay.enabled, relay.choose("c")), (False, ""))
        key = MediaKey("c", "f", "t")
        self.assertEqual(self.successResultOf(relay.offer(key, b"v=0", BROWSER)), b"v=0")
        self.assertEqual(self.successResultOf(relay.answer(key, b"v=0", PHONE)), b"v=0")
        self.assertIsNone(self.successResultOf(relay.delete(key)))
