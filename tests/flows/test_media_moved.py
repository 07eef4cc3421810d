"""A media node is lost or started anew while calls are up: the server offers both ends another way, and their numbers go on shifted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.flow import Flow
from sipnode.dialog import mediamove, reinvite
from sipnode.dialog.mediamove import ICE_SECONDS, MediaMoves
from sipnode.media import ng
from sipnode.media.bridge import RtpengineRelay
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.proxy import renumber
from sipnode.proxy.provider import Provider
from sipnode.proxy.renumber import Renumbering
from sipnode.settings import DialogSettings, MediaSettings, Settings
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.testing import Call, Phone, World
from sipnode.wiring.renumbering import NumbersFile
from tests.flows.test_media import OTHER, SDP, WEBRTC
from tests.media.support import Nodes, Reply

PLACES = ("192.0.2.201:2223", "192.0.2.202:2223")


class Trunk(Provider):
    """One that is content with a word, once."""

    def proof(self, method: str, uri: str, response: SipResponse, flow: Flow, asked: int) -> tuple[str, str] | None:
        return None if asked else ("proxy-authorization", "Digest x")


class MoveCase(SynchronousTestCase):
    """Alice calls bob; two nodes that know which calls they have."""

    def setUp(self) -> None:
        self.start()

    def start(self, places: tuple[str, ...] = PLACES, **media: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.wire = Nodes(self.clock)
        settings = MediaSettings(nodes=places, **media)
        self.nodes = NodeSet(parse_nodes(places), self.wire.send, self.clock, 60, 1)
        self.nodes.ping_waits = (0.3, 0.6)
        self.calls: dict[str, set[str]] = {node.host: set() for node in self.nodes.nodes}
        for node in self.nodes.nodes:
            self.wakes(node.host)
        self.relay = RtpengineRelay(self.nodes, settings, self.clock)
        dialog = replace(DialogSettings(), lost_flow_seconds=4.0)
        self.world = World(Settings(media=settings, dialog=dialog), self.relay, clock=self.clock)
        core = self.world.core
        self.moves = MediaMoves(core, core.dialogs, self.nodes, self.relay, self.clock, Random(1), 15.0)
        self.nodes.on_down, self.nodes.on_back, self.nodes.on_look = self.moves.down, self.moves.back, self.moves.look
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.alice.register()
        self.bob.register()
        self.ended: list[Any] = []
        core.dialogs.on_change(lambda _, call: self.ended.append(call), "terminated")
        self.nodes.start()
        self.addCleanup(self.nodes.stop)

    def wakes(self, host: str) -> None:
        def answer(command: dict[str, Any]) -> Reply:
            known, name = self.calls[host], command.get("call-id", "")
            if command["command"] == "offer":
                known.add(name)
            elif command["command"] in ("answer", "query") and name not in known:
                return ng.UnknownCall("Unknown call-id", 500)
            elif command["command"] == "delete":
                known.discard(name)
            return {b"result": b"ok", b"sdp": self.sdp(host, command), b"calls": []}

        self.wire.answer[host] = answer

    @staticmethod
    def sdp(host: str, command: dict[str, Any]) -> bytes:
        """What came, with the node's address in it."""
        sdp: bytes = command.get("sdp", b"")
        return re.sub(rb"(?m)^c=IN IP4 \S+", f"c=IN IP4 {host}".encode(), sdp)

    def up(self, offer: bytes = SDP, answer: bytes = SDP, caller: Phone | None = None, callee: Phone | None = None) -> Call:
        call = self.world.call(caller or self.alice, callee or self.bob, offer, answer)
        self.wire.commands.clear()
        return call

    @property
    def host(self) -> str:
        """The node that has the call."""
        (host,) = [host for host, calls in self.calls.items() if calls]
        return host

    def lose(self, host: str = "") -> str:
        """A node is silent from now on, and is found to be."""
        host = host or self.host
        self.wire.answer[host] = Nodes.silent
        self.calls[host].clear()
        self.world.advance(2.1)
        return host

    def forget(self) -> None:
        """A node is started anew, and quickly."""
        self.calls[self.host].clear()
        self.world.advance(1.1)

    def takes(self, phone: Phone, body: bytes = SDP) -> SipRequest:
        """A phone gets a re-INVITE of ours, takes it, and gets its ACK."""
        invite = phone.got("INVITE")
        phone.reply(invite, 200, body, tag=invite.to.tag)
        ack = phone.got("ACK")
        self.assertEqual((ack.cseq, ack.body), (invite.cseq, b""))
        return invite

    def moved(self, call: Call) -> tuple[SipRequest, SipRequest]:
        """Both take it; callee first, as the caller made the offer."""
        return self.takes(call.callee), self.takes(call.caller)


class MovedTests(MoveCase):
    """A call goes on."""

    def test_lost(self) -> None:
        """Two seconds after its last word a node's call is offered to the callee, then to the caller, as if each had it from the other:
        Call-ID, tags, Contact, a number above all that it has seen; with the new node's address and a newer SDP."""
        call = self.up()
        lost = self.lose()
        there = next(place.partition(":")[0] for place in PLACES if lost not in place)
        first, second = self.moved(call)
        for invite, phone, other in ((first, self.bob, self.alice), (second, self.alice, self.bob)):
            self.assertEqual((invite.uri, invite.call_id), (phone.contact, call.invite.call_id))
            self.assertIn(other.contact, invite.values("contact")[0])
            self.assertIn(f"c=IN IP4 {there}".encode(), invite.body)
            self.assertIn(b"o=- 1 2 IN", invite.body)
            self.assertEqual(invite.get("content-type"), "application/sdp")
        self.assertEqual((first.from_.tag, first.to.tag), (call.invite.from_.tag, self.bob.tag))
        self.assertEqual((second.from_.tag, second.to.tag), (self.bob.tag, call.invite.from_.tag))
        self.assertGreater(first.cseq, call.invite.cseq)
        self.assertEqual((self.world.core.counters["moved_media"], len(self.moves), self.host), (1, 0, there))
        (known,) = self.world.core.dialogs.list()
        self.assertEqual((known.moves, known.media_place), (1, f"{there}:2223"))
        self.assertNotIn("asymmetric", str(self.wire.commands))
        words = [command["command"] for command in self.wire.commands if command["command"] not in ("ping", "query")]
        self.assertEqual(words, ["offer", "answer", "offer", "answer"])
        self.assertTrue(all("SDP-version" in command["replace"] for command in self.wire.commands if command["command"] == "offer"))

    def test_both_go_on(self) -> None:
        """What each end sends afterwards reaches the other with a higher number than ours, and its answer comes back with its own; an ACK
        of what was sent before has that one's number."""
        call = self.up()
        call.from_callee("INFO")
        call.caller.reply(call.caller.got("INFO"), 200, tag=call.invite.from_.tag)
        self.assertEqual(call.callee.response("INFO").cseq, call.callee.cseq)
        self.lose()
        first, second = self.moved(call)
        for send, speaker, listener, ours in (
            (call.from_caller, call.caller, call.callee, first), (call.from_callee, call.callee, call.caller, second),
            (call.from_caller, call.caller, call.callee, first),
        ):  # fmt: skip
            before = ours.cseq
            for method in ("INFO", "INVITE"):
                sent = send(method, SDP if method == "INVITE" else b"")
                got = listener.got(method)
                self.assertGreater(got.cseq, before)
                before = got.cseq
                listener.reply(got, 200, SDP if method == "INVITE" else b"", tag=got.to.tag)
                answer = speaker.response(method)
                self.assertEqual((answer.status, answer.cseq), (200, sent.cseq))
            speaker.send(
                "ACK", sent.uri, [("route", value) for value in sent.values("route")], to=sent.get("to") or "", from_tag=sent.from_.tag,
                call_id=sent.call_id, cseq=sent.cseq,
            )  # fmt: skip
            self.assertEqual(listener.got("ACK").cseq, before)
        call.from_callee("BYE")
        bye = call.caller.got("BYE")
        call.caller.reply(bye, 200, tag=bye.to.tag)
        self.assertEqual(call.callee.response("BYE").status, 200)
        self.assertEqual((len(self.ended), self.calls[self.nodes.nodes[0].host] | self.calls[self.nodes.nodes[1].host]), (1, set()))
        self.world.advance(100)
        self.assertEqual(len(self.world.core.renumbering), 0)

    def test_our_own_bye(self) -> None:
        """A BYE that this server sends after a move has a higher number still."""
        call = self.up()
        self.lose()
        first, second = self.moved(call)
        self.world.core.dialogs.end(call.invite.call_id)
        self.assertGreater(self.bob.got("BYE").cseq, first.cseq)
        self.assertGreater(self.alice.got("BYE").cseq, second.cseq)

    def test_twice(self) -> None:
        """It moves back again when the other node is lost, and each time the numbers grow."""
        call = self.up()
        lost = self.lose()
        before = self.moved(call)
        self.wakes(lost)
        self.world.advance(2)
        self.lose()
        for was, now in zip(before, reversed(self.moved_again(call)), strict=True):
            self.assertGreater(now.cseq, was.cseq)
        self.assertEqual(self.host, lost)

    def moved_again(self, call: Call) -> tuple[SipRequest, SipRequest]:
        """The end that offered last is asked last."""
        return self.takes(call.caller), self.takes(call.callee)

    def test_killed_between(self) -> None:
        """A server that is killed after a move and started again knows the numbers by its file, which nobody else can read; what is
        over, or can't be read, is left out of it."""
        call = self.up()
        path = Path(self.mktemp())
        NumbersFile(path, self.world.core.renumbering, self.clock.seconds).open()
        self.lose()
        first, second = self.moved(call)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.nodes.stop()
        world = self.world.restart()
        NumbersFile(path, world.core.renumbering, self.clock.seconds).open()
        for phone in (self.alice, self.bob):
            world.connect(phone, 0)
            phone.take()
        call.from_caller("INFO")
        self.assertGreater(self.bob.got("INFO").cseq, first.cseq)
        call.from_callee("BYE")
        self.assertGreater(self.alice.got("BYE").cseq, second.cseq)
        self.clock.advance(100)
        path.write_text(f"{path.read_text()}x\n[1]\n")
        numbers = Renumbering()
        NumbersFile(path, numbers, self.clock.seconds).open()
        self.assertEqual((len(numbers), path.read_text()), (0, ""))

    def test_no_file(self) -> None:
        """A file that can't be written stops no move."""
        call = self.up()
        NumbersFile(Path(self.mktemp()) / "x", self.world.core.renumbering, self.clock.seconds).open()
        self.lose()
        self.moved(call)

    def test_started_anew(self) -> None:
        """A node that was started anew gets its call again; nothing is done to one that knows it."""
        call = self.up()
        self.world.advance(5)
        self.assertEqual(self.bob.methods(), [])
        host = self.host
        self.forget()
        self.moved(call)
        self.assertEqual((self.host, self.world.core.counters["moved_media"]), (host, 1))
        words = [command["flags"] for command in self.wire.commands if command["command"] in ("offer", "answer")]
        self.assertEqual(["asymmetric" in flags for flags in words], [True] * 4)

    def test_came_back(self) -> None:
        """Where there is no other node, a lost one's call waits for it: one that knows it goes on as it was, else it is made anew."""
        self.start(PLACES[:1])
        call = self.up()
        host, known = self.host, set(self.calls[self.host])
        self.lose()
        self.assertEqual(self.bob.methods(), [])
        self.wakes(host)
        self.calls[host] |= known
        self.world.advance(2)
        self.assertEqual((self.bob.methods(), len(self.moves)), ([], 0))
        self.lose()
        self.wakes(host)
        self.world.advance(2)
        self.moved(call)
        self.assertEqual(self.host, host)

    def test_browser(self) -> None:
        """A browser is asked first, with its own names of m-lines; at a node that was started anew it has time to mend the call itself."""
        page = self.world.phone("page", "WSS")
        page.register()
        call = self.up(WEBRTC, SDP, caller=page)
        self.lose()
        invite = self.takes(page, WEBRTC)
        self.assertIn(b"a=mid:0", self.wire.commands[-2]["sdp"] if b"a=mid" in self.wire.commands[-2]["sdp"] else invite.body)
        self.takes(self.bob)
        self.assertEqual(self.world.core.counters["moved_media"], 1)
        self.forget()
        self.assertEqual((page.methods(), self.bob.methods()), ([], []))
        self.world.advance(ICE_SECONDS)
        self.assertEqual(page.methods(), ["INVITE"])
        self.assertEqual(call.caller, page)

    def test_session_timer(self) -> None:
        """The session timer goes on, with the same end to refresh it."""
        headers = (("session-expires", "1800;refresher=uas"), ("supported", "timer"))
        self.alice.send("INVITE", self.bob.aor, headers, body=SDP)
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 200, SDP, headers=headers[:1])
        self.alice.take()
        self.lose()
        first = self.takes(self.bob)
        self.assertEqual((first.get("session-expires"), first.get("supported")), ("1800;refresher=uas", "timer"))
        self.assertEqual(self.takes(self.alice).get("session-expires"), "1800;refresher=uac")


    def test_challenged(self) -> None:
        """A trunk that wants to know who we are is told, with a number of its own; anybody else who asks has refused."""
        self.up()
        self.moves.provider_of = lambda key: Trunk()
        self.lose()
        first = self.bob.got("INVITE")
        self.bob.reply(first, 407, tag=first.to.tag)
        again = self.takes(self.bob)
        self.assertEqual((again.get("proxy-authorization"), again.body), ("Digest x", first.body))
        self.assertGreater(again.cseq, first.cseq)
        own = self.alice.got("INVITE")
        self.alice.reply(own, 401, tag=own.to.tag)
        self.assertEqual(self.alice.got("INVITE").get("proxy-authorization"), "Digest x")

    def test_challenged_by_anybody(self) -> None:
        """Anybody else who asks that has refused."""
        self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 401, tag=invite.to.tag)
        self.assertEqual(self.bob.methods(), ["ACK"])
        self.world.advance(16)
        self.assertEqual(len(self.ended), 1)


class RefusedTests(MoveCase):
    """A call can't be moved, or not now."""

    def test_glare(self) -> None:
        """An end that is making an offer itself (491) is asked again a little later."""
        call = self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 491, tag=invite.to.tag)
        self.bob.take()
        self.world.advance(0.4)
        self.assertEqual(self.bob.methods(), [])
        self.world.advance(2.2)
        self.moved(call)
        self.assertEqual(self.world.core.counters["moved_media"], 1)

    def test_no_way_just_now(self) -> None:
        """A browser whose connection is gone at this moment is asked when it is back."""
        page = self.world.phone("page", "WSS")
        page.params = ';+sip.instance="<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-111111111111>";reg-id=1'
        page.register()
        self.up(WEBRTC, SDP, caller=page)
        self.world.close(page)
        self.lose()
        self.assertEqual((len(self.moves), self.ended), (1, []))
        self.world.connect(page, 45678)
        page.register()
        self.world.advance(3)
        self.takes(page, WEBRTC)
        self.takes(self.bob)
        self.assertEqual(self.world.core.counters["moved_media"], 1)

    def test_for_ever_491(self) -> None:
        """So often, and no more; then it ends."""
        self.up()
        self.lose()
        asked = set()
        for _ in range(30):
            for invite in self.bob.take():
                if isinstance(invite, SipRequest) and invite.method == "INVITE":
                    self.bob.reply(invite, 491, tag=invite.to.tag)
                    asked.add(invite.cseq)
            self.world.advance(1)
        self.assertEqual((len(asked), self.ended[0].outcome, len(self.moves)), (mediamove.MOST_TRIES, "lost", 0))

    def test_an_end_is_faster(self) -> None:
        """An end that mends it by an offer of its own meanwhile is left alone."""
        call = self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        call.from_caller("INVITE", OTHER)
        again = self.bob.got("INVITE")
        self.bob.reply(invite, 491, tag=invite.to.tag)
        self.bob.reply(again, 200, OTHER, tag=again.to.tag)
        self.bob.take()
        self.world.advance(40)
        self.assertEqual((self.ended, len(self.moves), self.world.core.counters["moved_media"]), ([], 0, 0))

    def test_an_offer_is_under_way(self) -> None:
        """While an end waits for the answer to an offer of its own, nothing is sent."""
        call = self.up()
        call.from_caller("INVITE", OTHER)
        own = self.bob.got("INVITE")
        self.bob.reply(own, 180, tag=own.to.tag)
        self.lose()
        self.assertEqual(self.bob.methods(), [])
        self.bob.reply(own, 488, tag=own.to.tag)
        self.world.advance(3)
        self.moved(call)

    def test_refused(self) -> None:
        """An end that refuses is told why the call ends, as soon as it has been without media for ``lost_seconds``; both are."""
        for end in ("bob", "alice"):
            call = self.up()
            if end == "alice":
                self.wakes(self.other)
            lost = self.lose()
            self.other = lost
            if end == "alice":
                self.takes(self.bob)
            phone: Phone = getattr(self, end)
            invite = phone.got("INVITE")
            phone.reply(invite, 488, tag=invite.to.tag)
            phone.take()
            self.world.advance(12)
            self.assertEqual(len(self.ended), end == "alice")
            self.world.advance(4)
            for phone in (call.caller, call.callee):
                self.assertEqual(phone.got("BYE").get("reason"), 'SIP;cause=503;text="Media relay lost"')
            self.assertEqual((self.ended[-1].outcome, len(self.moves)), ("lost", 0))
        self.assertEqual(self.world.core.counters["unmoved_media"], 2)

    other = ""

    def test_gone(self) -> None:
        """An end that knows the dialog no more ends it at once; so does one that has no answer to give."""
        self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 481, tag=invite.to.tag)
        self.world.advance(0.1)
        self.assertEqual(len(self.ended), 1)

    def test_silent_end(self) -> None:
        """An end that rings for a re-INVITE is given up by CANCEL, its late 200 has its ACK, and the call ends."""
        self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 180, tag=invite.to.tag)
        self.world.advance(reinvite.SECONDS + 1)
        self.bob.got("CANCEL")
        self.bob.reply(invite, 200, SDP, tag=invite.to.tag)
        self.bob.got("ACK")
        self.assertEqual((len(self.ended), len(self.moves)), (1, 0))

    def test_hung_up_meanwhile(self) -> None:
        """A BYE that comes in the middle ends it all."""
        call = self.up()
        self.lose()
        invite = self.bob.got("INVITE")
        call.from_caller("BYE")
        self.bob.reply(invite, 200, SDP, tag=invite.to.tag)
        self.world.advance(40)
        self.assertEqual((len(self.moves), self.alice.methods().count("INVITE")), (0, 0))
        self.assertEqual([calls for calls in self.calls.values() if calls], [])

    def test_many(self) -> None:
        """Fifty calls begin in a second, and no more."""
        self.start(PLACES, timeouts=[0.3, 0.6, 1.2])
        for _ in range(60):
            self.up()
        self.bob.take()
        hosts = [host for host, calls in self.calls.items() if calls]
        host = max(hosts, key=lambda host: len(self.calls[host]))
        count = len(self.calls[host])
        self.wire.answer[host] = Nodes.silent
        self.world.advance(1.95)
        self.assertLessEqual(len(self.bob.methods()), mediamove.PER_TURN * 2)
        self.world.advance(count / 50 + 0.5)
        self.assertEqual(len(self.moves), count)

    def test_no_room_for_numbers(self) -> None:
        """Where no more numbers can be kept nothing is sent, and the call ends as before."""
        self.patch(renumber, "MOST", 0)
        self.up()
        self.lose()
        self.assertEqual(self.bob.methods(), [])
        self.world.advance(16)
        self.assertEqual(len(self.ended), 1)

    def test_nodes_that_cannot(self) -> None:
        """A node that refuses the offer leaves the call where it is; it is looked at again."""
        self.up()
        lost = self.host
        there = next(host for host in self.calls if host != lost)
        self.wire.answer[there] = Nodes.refusing(ng.NodeFull, "Ran out of ports", 503)
        self.lose()
        self.assertEqual((self.bob.methods(), len(self.moves), self.ended), ([], 0, []))
