"""A script and an operator that work on the media of a call which is up: whole calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sipnode.errors import MediaError
from sipnode.media import ng
from sipnode.media.bridge import RtpengineRelay
from sipnode.media.names import tag_name
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.proxy.branch import Branch
from sipnode.routing.request import Request
from sipnode.routing.script import RoutingScript
from sipnode.routing.verdict import Step
from sipnode.settings import MediaSettings, Settings
from sipnode.sip.message import SipResponse
from sipnode.testing import Call, World
from tests.media.support import Nodes, Reply
from tests.rpc.support import RpcCase

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Recorded(RoutingScript):
    """Each call is recorded from its answer on; an INFO of an end keeps its digits from the other."""

    async def manage_reply(self, branch: Branch, response: SipResponse) -> SipResponse | None:
        passed = super().manage_reply(branch, response)
        if isinstance(passed, Deferred):
            passed = await passed
        media = branch.ongoing_media(response)
        if media is not None and response.status == 200 and response.cseq_method == "INVITE":
            await media.start_recording("by:script")
        return passed

    def follow(self, r: Request) -> Step:
        media = r.ongoing_media
        if r.method == "INFO" and media is not None:
            media.block_dtmf(media.party(r.request.from_.tag)).addErrback(lambda _: None)
        return super().follow(r)


class OngoingCase(RpcCase):
    """Two phones and a node in memory that writes down its commands."""

    def start(self, script: type[RoutingScript] = RoutingScript, **media: Any) -> None:
        clock = Clock()
        clock.advance(1_700_000_000)
        self.wire = Nodes(clock)
        nodes = NodeSet(parse_nodes(["192.0.2.200:2223"]), self.wire.send, clock, 60, 5)
        settings = replace(MediaSettings(), **media)
        self.prepare(World(Settings(media=settings), RtpengineRelay(nodes, settings, clock), script, clock=clock))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()

    def answers(self, reply: Reply) -> None:
        self.wire.answer["192.0.2.200"] = lambda command: reply

    def command(self, name: str) -> dict[str, Any]:
        """The one command of that name."""
        (found,) = [command for command in self.wire.commands if command["command"] == name]
        return found

    def talk(self) -> Call:
        """A call that is up."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP, call_id="call-1", from_tag="fa")
        received = self.bob.got("INVITE")
        answered = self.bob.reply(received, 200, SDP)
        call = Call(self.alice, self.bob, invite, received, answered, self.alice.response("INVITE"))
        self.alice.ack(invite, call.answer)
        return call


class ScriptTests(OngoingCase):
    """Verbs of branch and request."""

    def test_a_reply_and_a_request_name_the_same_call(self) -> None:
        """What is said at an answer and at a request inside the dialog goes to the call that was offered, and to the right ends."""
        self.start(Recorded)
        call = self.talk()
        offer, order = self.command("offer"), self.command("start recording")
        self.assertEqual((order["call-id"], order["metadata"]), (offer["call-id"], "by:script"))
        self.assertNotIn("call-1", order["call-id"])
        for request, end in ((call.from_callee, "to-tag"), (call.from_caller, "from-tag")):
            self.wire.commands.clear()
            request("INFO")
            blocked = self.command("block DTMF")
            self.assertEqual((blocked["call-id"], blocked["from-tag"]), (offer["call-id"], self.tags(offer["call-id"], call)[end]))

    def tags(self, name: str, call: Call) -> dict[str, str]:
        return {"from-tag": tag_name(name, "fa"), "to-tag": tag_name(name, call.answer.to.tag)}

    def test_without_a_relay(self) -> None:
        """Where no relay carries the media there is nothing to work on, and the call is as it is."""
        self.prepare(World(script=Recorded))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.assertEqual(self.talk().answer.status, 200)


class OperatorTests(OngoingCase):
    """rtpengine.* of calls."""

    def test_orders(self) -> None:
        """Each method sends its command, with the names of the call at the node."""
        self.start()
        self.talk()
        name = self.command("offer")["call-id"]
        caller = tag_name(name, "fa")
        for method, params, command in (
            ("start_recording", ("a:b",), "start recording"),
            ("stop_recording", (), "stop recording"),
            ("pause_recording", (), "pause recording"),
            ("stop_media", ("caller",), "stop media"),
            ("play_dtmf", ("5", "caller"), "play DTMF"),
            ("block_dtmf", ("caller",), "block DTMF"),
            ("unblock_dtmf", ("caller",), "unblock DTMF"),
            ("block_media", ("caller",), "block media"),
            ("unblock_media", ("caller",), "unblock media"),
            ("silence_media", ("caller",), "silence media"),
            ("unsilence_media", ("caller",), "unsilence media"),
            ("subscribe_answer", ("s", "v=0"), "subscribe answer"),
            ("unsubscribe", ("s",), "unsubscribe"),
        ):
            self.assertEqual(self.call(f"rtpengine.{method}", "call-1", *params), {"call_id": "call-1"})
            sent = self.command(command)
            self.assertEqual(sent["call-id"], name)
            if "caller" in params:
                self.assertEqual(sent["from-tag"], caller)
        self.answers({b"result": b"ok", b"duration": 700})
        self.assertEqual(self.call("rtpengine.play_media", "call-1", "/a.wav", "callee", 2), {"call_id": "call-1", "duration": 700})
        self.assertEqual(self.command("play media")["repeat-times"], 2)
        self.answers({b"result": b"ok", b"sdp": b"v=0", b"from-tags": [caller.encode()]})
        copy = self.call("rtpengine.subscribe_request", "call-1", "caller", "ICE=remove")
        self.assertEqual((copy["sdp"], copy["parties"]), ("v=0", ["caller"]))

    def test_digits_are_not_logged(self) -> None:
        """Digits may be somebody's PIN: the log tells who sent some, and not which."""
        method = self.registry.get("rtpengine.play_dtmf")
        self.assertEqual(method.logged(["call-1", "4711", "caller"]), ["call-1", "***", "caller"])

    def test_numbers(self) -> None:
        """The quality of each end, by the end that sent it."""
        self.start()
        self.talk()
        tag = tag_name(self.command("offer")["call-id"], "fa").encode()
        stream = {
            b"flags": [b"RTP"], b"SSRC": 7, b"stats": {b"packets": 50, b"bytes": 8600},
            b"endpoint": {b"address": b"10.1.1.1", b"port": 4000},
        }  # fmt: skip
        report = {b"average MOS": {b"MOS": 43, b"packet loss": 1, b"jitter": 3}}
        self.answers({b"result": b"ok", b"tags": {tag: {b"medias": [{b"streams": [stream]}]}}, b"SSRC": {b"7": report}})
        (leg,) = self.call("rtpengine.query", "call-1")
        self.assertEqual((leg["party"], leg["packets"], leg["lost"], leg["mos"]), ("caller", 50, 1.0, 4.3))

    def test_refusals(self) -> None:
        """A call that isn't up or has no relay, an end or a word that is none, a node that has lost the call or can't: said in words."""
        self.start()
        self.assertEqual(self.refused("rtpengine.query", "call-1"), (404, "No such call is up"))
        self.talk()
        self.assertEqual(self.refused("rtpengine.query", "call-1", "other-tag")[0], 404)
        self.assertEqual(self.refused("rtpengine.block_media", "call-1", "bob"), (400, "an end is caller, callee or both"))
        self.assertEqual(self.refused("rtpengine.subscribe_request", "call-1", "both", "ICE=forse")[0], 400)
        self.assertEqual(self.refused("rtpengine.subscribe_answer", "call-1", "s", "v=0", "ICE=forse")[0], 400)
        self.answers(ng.UnknownCall("Unknown call-id", 500))
        code, said = self.refused("rtpengine.stop_recording", "call-1")
        self.assertEqual((code, said), (404, "media node 192.0.2.200:2223, Unknown call-id"))
        self.answers(MediaError("Unrecognized command", 500))
        self.assertEqual(self.refused("rtpengine.pause_recording", "call-1")[0], 501)

    def test_without_a_relay(self) -> None:
        """A call whose media goes its own way can't be worked on."""
        self.prepare(World())
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.talk()
        self.assertEqual(self.refused("rtpengine.start_recording", "call-1"), (404, "No media relay carries this call"))
