"""Tests of `sipnode.media.ongoing`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ConfigError, MediaError
from sipnode.interfaces import IMediaCommands
from sipnode.media import ng
from sipnode.media.bridge import BYPASS, NoRelay, RtpengineRelay
from sipnode.media.names import tag_name
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.media.ongoing import OngoingMedia
from sipnode.settings import MediaSettings
from tests.media.support import Nodes, Reply

NAME = "own-name-of-the-call"


class OngoingTests(SynchronousTestCase):
    """Orders about one call at one node."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wire = Nodes(self.clock)
        nodes = NodeSet(parse_nodes(["192.0.2.1:2223", "192.0.2.2:2223"]), self.wire.send, self.clock, 60, 5)
        self.relay = RtpengineRelay(nodes, MediaSettings(), self.clock)
        self.node = nodes.nodes[1]
        self.media = OngoingMedia(self.relay, NAME, "call-1", self.node.name, ("f", "t"))
        self.caller, self.callee = tag_name(NAME, "f"), tag_name(NAME, "t")

    def answers(self, reply: Reply) -> None:
        self.wire.answer["192.0.2.2"] = lambda command: reply

    def refused(self, asked: Deferred[Any]) -> MediaError:
        error = self.failureResultOf(asked, MediaError).value
        assert isinstance(error, MediaError)
        return error

    def test_the_relay_takes_commands(self) -> None:
        """rtpengine's relay provides what it says."""
        verifyObject(IMediaCommands, self.relay)

    def test_orders_go_to_the_node_under_the_relays_names(self) -> None:
        """Each order goes to the node of the call, with its name there and the tags that its ends have there."""
        for asked in (
            self.media.start_recording("a:b"),
            self.media.stop_recording(),
            self.media.pause_recording(),
            self.media.play_media("/x.wav", "callee"),
            self.media.stop_media(),
            self.media.block_dtmf("caller"),
            self.media.unblock_dtmf(),
            self.media.block_media(),
            self.media.unblock_media("callee"),
            self.media.silence_media("callee"),
            self.media.unsilence_media(),
            self.media.unsubscribe("s"),
            self.media.subscribe_answer("s", b"v=0", "allow-transcoding"),
            self.media.query(),
        ):
            self.successResultOf(asked)
        self.assertEqual({host for host, _ in self.wire.log}, {"192.0.2.2"})
        self.assertEqual({command["call-id"] for command in self.wire.commands}, {NAME})
        told = {command["command"]: command for command in self.wire.commands}
        self.assertEqual(len(told), 14)
        self.assertEqual(told["play media"]["from-tag"], self.callee)
        self.assertEqual(told["block DTMF"]["from-tag"], self.caller)
        self.assertEqual(told["stop media"]["flags"], ["all"])
        self.assertEqual(told["subscribe answer"]["flags"], ("allow-transcoding",))

    def test_play_tells_how_long(self) -> None:
        """Milliseconds where the daemon knows them, else 0."""
        self.answers({b"result": b"ok", b"duration": 1500})
        self.assertEqual(self.successResultOf(self.media.play_media("/x.wav")), 1500)
        self.answers({b"result": b"ok", b"duration": b"long"})
        self.assertEqual(self.successResultOf(self.media.play_media("/x.wav")), 0)

    def test_digits_go_one_after_the_other(self) -> None:
        """The next digit is sent when the last one was taken, and none after one that was refused."""
        self.successResultOf(self.media.play_dtmf("12#a", "caller"))
        self.assertEqual([command["code"] for command in self.wire.commands], ["1", "2", "#", "A"])
        self.wire.commands.clear()
        self.answers(MediaError("Monologue has no media capable of DTMF injection", 500))
        self.assertIn("DTMF injection", self.refused(self.media.play_dtmf("12", "caller")).words)
        self.assertEqual(len(self.wire.commands), 1)

    def test_what_cannot_be_is_not_sent(self) -> None:
        """An end that is none, a file that is none, digits that are none or too many: 400, and nothing goes out."""
        for asked in (
            self.media.play_media("/x.wav", "f"),
            self.media.play_media(""),
            self.media.block_media("everybody"),
            self.media.play_dtmf("1x", "caller"),
            self.media.play_dtmf("", "caller"),
            self.media.play_dtmf("1" * 65, "caller"),
            self.media.play_dtmf("1", "nobody"),
            self.media.subscribe_request("nobody"),
        ):
            self.assertEqual(self.refused(asked).status, 400)
        self.assertRaises(ConfigError, self.media.subscribe_request, "both", "ICE=forse")
        self.assertEqual(self.wire.commands, [])

    def test_a_copy(self) -> None:
        """A copy has a tag of its own that nobody can guess, and says whose media its m-lines are."""
        self.answers({b"result": b"ok", b"sdp": b"v=0", b"from-tags": [self.callee.encode(), self.caller.encode(), b"x"]})
        one = self.successResultOf(self.media.subscribe_request(words="ICE=remove"))
        other = self.successResultOf(self.media.subscribe_request("caller"))
        self.assertEqual((one.sdp, one.parties), (b"v=0", ["callee", "caller", ""]))
        self.assertNotEqual(one.to_tag, other.to_tag)
        self.assertEqual([command["from-tags"] for command in self.wire.commands], [[self.caller, self.callee], [self.caller]])
        self.assertEqual((self.wire.commands[0]["ICE"], self.wire.commands[0]["to-tag"]), ("remove", one.to_tag))
        self.answers({b"result": b"ok"})
        self.assertEqual(self.refused(self.media.subscribe_request()).status, 500)

    def test_an_older_daemon(self) -> None:
        """A daemon that has no such command is told from a fault, and what it lacks is said."""
        self.answers(MediaError("Unrecognized command", 500))
        error = self.refused(self.media.pause_recording())
        self.assertEqual((error.status, error.node), (501, "192.0.2.2:2223"))
        self.assertIn("no 'pause recording': it came with 11.3", error.blame)

    def test_a_call_that_is_gone(self) -> None:
        """A node that doesn't have the call, one that is unknown, a call without a relay: 404."""
        self.answers(ng.UnknownCall("Unknown call-id", 500))
        self.assertEqual(self.refused(self.media.start_recording()).status, 404)
        for node in ("", "n0", BYPASS):
            media = OngoingMedia(self.relay, NAME, "call-1", node, ("f", "t"))
            self.assertEqual(self.refused(media.start_recording()).status, 404)

    def test_silence(self) -> None:
        """A silent node is a 503 when its waits are over."""
        self.answers(None)
        asked = self.media.block_media()
        self.assertNoResult(asked)
        self.clock.advance(3)
        self.assertEqual(self.refused(asked).status, 503)

    def test_another_relay(self) -> None:
        """A relay that takes no commands says so."""
        media = OngoingMedia(NoRelay(), "", "call-1", "", ("f", "t"))
        self.assertEqual(self.refused(media.start_recording()).status, 501)
