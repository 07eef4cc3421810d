"""Media of whole calls: what the relay is asked for each message, and what the ends get (the table of ``media.manage``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError
from sipnode.media.bridge import RtpengineRelay
from sipnode.media.names import tag_name
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.records import MediaKey, MediaProfile
from sipnode.routing.script import RoutingScript
from sipnode.settings import MediaSettings, Settings
from sipnode.sip.message import SipMessage
from sipnode.testing import Call, Phone, RecordingMediaRelay, World
from tests.media.support import Nodes

PRIVATE = b"10.1.1.1"
SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
WEBRTC = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\n"
    b"c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 AA\r\na=setup:actpass\r\n"
)
SAVP = SDP.replace(b"RTP/AVP", b"RTP/SAVP") + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"
OTHER = SDP.replace(b"4000", b"5000")


class MediaCase(SynchronousTestCase):
    """Alice and bob, phones, with a relay that writes down what it is asked."""

    def setUp(self) -> None:
        self.start()

    def start(self, one: str = "UDP", other: str = "UDP", **media: Any) -> None:
        """A world with settings of [media]."""
        self.relay = RecordingMediaRelay()
        self.world = World(Settings(media=replace(MediaSettings(), **media)), media=self.relay)
        self.alice, self.bob = self.world.phone("alice", one), self.world.phone("bob", other)
        self.alice.register()
        self.bob.register()

    def up(self, offer: bytes = SDP, answer: bytes = SDP) -> Call:
        """A call that is up, with the relay's log empty."""
        call = self.world.call(self.alice, self.bob, offer, answer)
        self.call = self.relay.log[0][1].call_id
        self.relay.log.clear()
        return call

    def names(self, one: str, other: str, call: str = "") -> tuple[str, str]:
        """What the relay knows two ends of the latest call by."""
        call = call or self.relay.log[-1][1].call_id
        return tag_name(call, one), tag_name(call, other)

    def no_private_sdp(self, *phones: Phone) -> None:
        """Nothing that waits for these phones has a private address in its body."""
        for phone in phones:
            for message in phone.inbox:
                self.assertNotIn(PRIVATE, message.body)


class OfferAnswerTests(MediaCase):
    """Which message drives what."""

    def test_invite_and_200(self) -> None:
        """An INVITE with SDP is an offer, its 200 the answer; both ends get the relay's SDP with a Content-Length that fits."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.assertTrue(received.body.startswith(b"v=0\r\ns=offer"))
        self.assertEqual(received.get("content-length"), str(len(received.body)))
        self.bob.reply(received, 200, SDP)
        answer = self.alice.response("INVITE")
        self.assertTrue(answer.body.startswith(b"v=0\r\ns=answer"))
        (_, offered), (_, answered) = self.relay.log
        caller, callee = self.names(invite.from_.tag, self.bob.tag)
        self.assertEqual((offered.from_tag, offered.to_tag), (caller, ""))
        self.assertEqual((answered.from_tag, answered.to_tag), (caller, callee))
        self.assertEqual(offered.via_branch, answered.via_branch)
        self.assertEqual(offered.via_branch, received.via.branch)

    def test_183_and_200(self) -> None:
        """183 and 200 with SDP are both answers; the same SDP again isn't asked again, and gives the same."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        for status in (183, 180, 200, 200):
            self.bob.reply(received, status, SDP)
        messages = self.alice.take()[1:]
        self.assertEqual([m.status for m in messages if hasattr(m, "status")], [183, 180, 200, 200])
        self.assertEqual(len({m.body for m in messages}), 1)
        self.assertEqual(self.relay.operations, ["offer", "answer"])

    def test_200_with_another_sdp(self) -> None:
        """Another SDP in the 200 is another answer."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 183, SDP)
        self.bob.reply(received, 200, OTHER)
        self.assertEqual(self.relay.operations, ["offer", "answer", "answer"])

    def test_retransmission_asks_nothing(self) -> None:
        """A repeated INVITE makes no second offer."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.alice.send_again(invite)
        self.assertEqual(self.relay.operations, ["offer"])

    def test_late_offer(self) -> None:
        """Without SDP in the INVITE the 200's is the offer, from the callee, and the ACK's the answer."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP)
        answer = self.alice.response("INVITE")
        self.assertTrue(answer.body.startswith(b"v=0\r\ns=offer"))
        self.alice.ack(invite, answer, SDP)
        self.assertTrue(self.bob.got("ACK").body.startswith(b"v=0\r\ns=answer"))
        self.assertEqual(self.relay.operations, ["offer", "answer"])
        for _, key in self.relay.log:
            self.assertEqual((key.from_tag, key.to_tag), self.names(self.bob.tag, invite.from_.tag))

    def test_late_offer_in_a_183(self) -> None:
        """A reliable 183 that carries the offer: the PRACK's SDP is its answer."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 183, SDP)
        early = self.alice.response("INVITE", 183)
        self.alice.within("PRACK", invite, early, True, SDP)
        prack = self.bob.got("PRACK")
        self.assertTrue(prack.body.startswith(b"v=0\r\ns=answer"))
        self.bob.reply(prack, 200)
        self.bob.reply(received, 200)
        self.assertEqual(self.relay.operations, ["offer", "answer"])
        self.assertEqual(self.world.core.media_control._late, {})

    def test_offer_in_prack(self) -> None:
        """A PRACK with SDP is else an offer, its 200 the answer (RFC 3262 §5)."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 183, SDP)
        self.alice.within("PRACK", invite, self.alice.response("INVITE", 183), True, SDP)
        self.bob.reply(self.bob.got("PRACK"), 200, SDP)
        self.assertTrue(self.alice.response("PRACK").body.startswith(b"v=0\r\ns=answer"))
        self.assertEqual(self.relay.operations, ["offer", "answer"] * 2)

    def test_within_the_dialog(self) -> None:
        """re-INVITE and UPDATE of either side are offers with that side's tag first; their 200 is the answer."""
        call = self.up()
        tags = self.names(call.invite.from_.tag, self.bob.tag, self.call)
        for method in ("INVITE", "UPDATE"):
            for send, far, near, expected in (
                (call.from_caller, self.bob, self.alice, tags),
                (call.from_callee, self.alice, self.bob, tags[::-1]),
            ):
                send(method, SDP)
                far.reply(far.got(method), 200, SDP)
                self.assertTrue(near.response(method).body.startswith(b"v=0\r\ns=answer"))
                for _, key in self.relay.log[-2:]:
                    self.assertEqual((key.from_tag, key.to_tag, key.via_branch, key.node), (*expected, "", "n0"))
        self.assertEqual(self.relay.operations, ["offer", "answer"] * 4)

    def test_session_refresh_without_sdp(self) -> None:
        """An UPDATE or INFO without SDP asks nothing."""
        call = self.up()
        call.from_caller("UPDATE")
        self.bob.reply(self.bob.got("UPDATE"), 200)
        call.from_caller("INFO", b"Signal=5")
        self.assertEqual(self.bob.got("INFO").body, b"Signal=5")
        self.assertEqual(self.relay.log, [])

    def test_refused_reinvite_keeps_the_call(self) -> None:
        """A re-INVITE that is refused deletes nothing: the relay is set back to what was agreed."""
        call = self.up(SDP, OTHER)
        tags = self.names(call.invite.from_.tag, self.bob.tag, self.call)
        call.from_callee("INVITE", WEBRTC)
        self.relay.sdps.clear()
        self.alice.reply(self.alice.got("INVITE"), 488)
        self.assertEqual(self.relay.operations, ["offer", "offer", "answer"])
        self.assertEqual(self.relay.sdps, [SDP, OTHER])
        for _, key in self.relay.log[1:]:
            self.assertEqual((key.from_tag, key.to_tag, key.via_branch), (*tags, ""))

    def test_bye(self) -> None:
        """BYE deletes the call, of either side, and waits for nothing."""
        for side in ("from_caller", "from_callee"):
            call = self.up()
            getattr(call, side)("BYE")
            self.assertEqual(self.relay.operations, ["delete"])
            self.assertEqual(self.relay.log[0][1].via_branch, "")
            (self.bob if side == "from_caller" else self.alice).got("BYE")

    def test_failure(self) -> None:
        """A call that is refused, times out or finds nobody gives its ports back."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 486)
        self.assertEqual(self.relay.operations, ["offer", "delete"])
        self.assertEqual(self.relay.log[1][1].via_branch, received.via.branch)
        self.relay.log.clear()
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.world.advance(33)
        self.assertEqual(self.relay.operations, ["offer", "delete"])

    def test_forks(self) -> None:
        """Each branch has an offer of its own, of the caller's SDP; the one that fails is deleted alone."""
        second = self.world.phone("bob")
        second.register()
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        one, two = self.bob.got("INVITE"), second.got("INVITE")
        self.assertNotEqual(one.body, two.body)
        self.assertEqual({key.via_branch for _, key in self.relay.log}, {one.via.branch, two.via.branch})
        self.bob.reply(one, 486)
        second.reply(two, 200, SDP)
        self.assertEqual(self.relay.operations, ["offer", "offer", "delete", "answer"])
        self.assertEqual(self.relay.log[2][1].via_branch, one.via.branch)
        self.assertEqual(self.relay.log[3][1].via_branch, two.via.branch)

    def test_cancel(self) -> None:
        """A call that is given up is deleted by its 487, not by the CANCEL, which a 200 may cross."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.assertEqual(self.relay.operations, ["offer"])
        self.bob.reply(received, 487)
        self.assertEqual(self.relay.operations, ["offer", "delete"])

    def test_multipart(self) -> None:
        """Of a multipart body only the SDP changes."""
        body = b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b--\r\n"
        self.alice.send("INVITE", self.bob.aor, body=body, content_type='multipart/mixed;boundary="b"')
        received = self.bob.got("INVITE")
        self.assertIn(b"\r\n\r\nhello\r\n--b", received.body)
        self.assertIn(b"v=0\r\ns=offer", received.body)
        self.assertNotIn(PRIVATE, received.body)

    def test_other_bodies(self) -> None:
        """A body that isn't SDP passes octet for octet, and asks nothing."""
        self.alice.send("INVITE", self.bob.aor, body=b"\x00\xff<xml/>", content_type="application/xml")
        self.assertEqual(self.bob.got("INVITE").body, b"\x00\xff<xml/>")
        self.assertEqual(self.relay.log, [])


class ProfileTests(MediaCase):
    """Who gets what kind of SDP, and when the relay is engaged."""

    def test_sides(self) -> None:
        """An offer is made as its receiver is reached, an answer in the form of its offer, by whatever way that came."""
        for one in ("UDP", "WS"):
            for other in ("TCP", "WSS"):
                for offer in (SDP, WEBRTC):
                    self.start(one, other)
                    self.world.call(self.alice, self.bob, offer, SDP)
                    found = [profile.to_browser for profile in self.relay.profiles]
                    self.assertEqual((one, other, found), (one, other, [other == "WSS", offer is WEBRTC]))

    def test_sides_within_the_dialog(self) -> None:
        """So it is in the dialog, from either side."""
        self.start("WS", "UDP")
        call = self.up(WEBRTC)
        self.relay.profiles.clear()
        call.from_caller("INVITE", WEBRTC)
        self.bob.reply(self.bob.got("INVITE"), 200, SDP)
        call.from_callee("INVITE", SDP)
        self.alice.reply(self.alice.got("INVITE"), 200, WEBRTC)
        self.assertEqual([profile.to_browser for profile in self.relay.profiles], [False, True, True, False])

    def test_nat_source(self) -> None:
        """The true address of a natted phone goes along with its private SDP, in offers and answers, also in the dialog."""
        bob = self.world.phone("carol", host="203.0.113.50", contact="sip:carol@10.0.0.5")
        bob.register()
        call = self.world.call(self.alice, bob, SDP, SDP)
        call.from_callee("INVITE", SDP)
        self.alice.reply(self.alice.got("INVITE"), 200, SDP)
        call.from_caller("INVITE", SDP)
        bob.reply(bob.got("INVITE"), 200, SDP)
        self.assertEqual([p.nat_source for p in self.relay.profiles], ["", "203.0.113.50", "203.0.113.50", "", "", "203.0.113.50"])

    def test_mixed(self) -> None:
        """With ``engage = "mixed"`` the relay is engaged between a browser and a phone, and for who is behind NAT; else not."""
        for one, other, engaged in (("UDP", "UDP", False), ("WS", "WSS", False), ("WS", "UDP", True), ("TCP", "WSS", True)):
            self.start(one, other, engage="mixed")
            call = self.world.call(self.alice, self.bob, SDP, SDP)
            self.assertEqual((one, other, bool(self.relay.log)), (one, other, engaged))
            if not engaged:
                self.assertEqual((call.received.body, call.answer.body), (SDP, SDP))
            call.from_callee("BYE")
            self.assertEqual((one, other, "delete" in self.relay.operations), (one, other, engaged))

    def test_mixed_nat(self) -> None:
        """A phone behind NAT is served in mixed mode, calling or called."""
        self.start(engage="mixed")
        natted = self.world.phone("carol", host="203.0.113.50", contact="sip:carol@10.0.0.5")
        natted.register()
        self.world.call(self.alice, natted, SDP, SDP)
        self.world.call(natted, self.alice, SDP, SDP)
        self.assertEqual(self.relay.operations, ["offer", "answer"] * 2)

    def test_no_node(self) -> None:
        """Without a relay SDP passes octet for octet both ways, between all kinds of ends, and the dialog needs none either."""
        for one, other in (("UDP", "UDP"), ("WS", "WS"), ("WS", "UDP")):
            world = World()
            alice, bob = world.phone("alice", one), world.phone("bob", other)
            alice.register()
            bob.register()
            call = world.call(alice, bob, SDP, OTHER)
            self.assertEqual((call.received.body, call.answer.body), (SDP, OTHER))
            call.from_caller("INVITE", OTHER)
            self.assertEqual(bob.got("INVITE").body, OTHER)


class FailureTests(MediaCase):
    """A relay that can't."""

    def test_rejected(self) -> None:
        """No node serves the call: 503 with Warning and Retry-After, the phone never rings, nothing has to be deleted."""
        self.relay.error = MediaError("Ran out of ports (n0)", 503)
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        answer = self.alice.response("INVITE")
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.get("warning"), '399 sipnode "Ran out of ports (n0)"')
        self.assertEqual(answer.get("retry-after"), "5")
        self.assertEqual(self.bob.inbox, [])
        self.assertEqual(self.relay.operations, ["offer"])

    def test_bad_sdp(self) -> None:
        """SDP that the relay can't read is 488, with its words, quotes made harmless."""
        self.relay.error = MediaError('Failed to parse "SDP"', 488)
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        answer = self.alice.response("INVITE")
        self.assertEqual((answer.status, answer.get("warning")), (488, "399 sipnode \"Failed to parse 'SDP'\""))

    def test_answer_fails(self) -> None:
        """A 183 whose SDP the relay refuses goes to the caller without it; a 200 is a refused call, and its phone gets ACK and BYE."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.relay.error = MediaError("Unknown call-id", 500)
        self.bob.reply(received, 183, SDP)
        self.bob.reply(received, 200, SDP)
        self.no_private_sdp(self.alice)
        early, answer = self.alice.response("INVITE", 183), self.alice.response("INVITE")
        self.assertEqual((early.status, early.body, early.get("warning")), (183, b"", '399 sipnode "Unknown call-id"'))
        self.assertNotIn("content-type", early)
        self.assertEqual((answer.status, answer.body, answer.get("warning")), (500, b"", '399 sipnode "Unknown call-id"'))
        self.assertEqual(self.bob.got("ACK").cseq, received.cseq)
        bye = self.bob.got("BYE")
        self.assertEqual((bye.from_.tag, bye.to.tag, bye.uri), (received.from_.tag, self.bob.tag, self.bob.contact))
        self.bob.reply(received, 200, SDP)
        self.assertEqual((self.bob.methods(), self.alice.statuses()), (["ACK"], []))

    def test_answer_of_one_phone_fails(self) -> None:
        """Where the relay refuses the answer of one phone, the other goes on ringing and can be answered."""
        second = self.world.phone("bob")
        second.register()
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        one, two = self.bob.got("INVITE"), second.got("INVITE")
        self.relay.error = MediaError("Unknown call-id", 500)
        self.bob.reply(one, 200, SDP)
        self.relay.error = None
        self.assertEqual(self.bob.methods(), ["ACK", "BYE"])
        second.reply(two, 200, SDP)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_reinvite_whose_answer_fails(self) -> None:
        """A re-INVITE whose answer the relay refuses is refused, its 200 acknowledged, and the call goes on as agreed."""
        call = self.up(SDP, OTHER)
        call.from_caller("INVITE", SDP)
        again = self.bob.got("INVITE")
        self.relay.error = MediaError("Failed to parse SDP", 488)
        self.bob.reply(again, 200, SDP)
        self.relay.error = None
        self.assertEqual(self.alice.statuses(), [100, 488])
        self.assertEqual(self.bob.methods(), ["ACK"])
        self.assertEqual(self.relay.operations[:3], ["offer", "answer", "offer"])

    def test_reinvite_fails(self) -> None:
        """A re-INVITE that the relay refuses is refused; the call goes on."""
        call = self.up()
        self.relay.error = MediaError("no answer", 503)
        call.from_caller("INVITE", SDP)
        self.assertEqual(self.alice.statuses(), [100, 503])
        self.assertEqual(self.bob.inbox, [])
        self.assertEqual(self.relay.operations, ["offer"])

    def test_late_answer_fails(self) -> None:
        """An ACK whose SDP the relay refuses isn't sent on with private addresses."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP)
        self.relay.error = MediaError("no answer", 503)
        self.alice.ack(invite, self.alice.response("INVITE"), SDP)
        self.no_private_sdp(self.bob)
        self.assertEqual(self.alice.inbox, [])

    def test_one_branch_of_two(self) -> None:
        """An offer that fails for one branch leaves the other ringing."""
        second = self.world.phone("bob")
        second.register()
        offer, asked = self.relay.offer, []

        def every_second(key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
            asked.append(key)
            self.relay.error = MediaError("Ran out of ports", 503) if len(asked) == 1 else None
            return offer(key, sdp, profile)

        self.relay.offer = every_second  # type: ignore[method-assign]  # the first offer fails
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        ringing = [phone for phone in (self.bob, second) if phone.inbox]
        self.assertEqual(len(ringing), 1)
        ringing[0].reply(ringing[0].got("INVITE"), 486)
        self.assertEqual(self.alice.statuses(), [100, 486])

    def test_hook_that_raises(self) -> None:
        """A site's reply route that raises costs the call, not its privacy."""

        class Broken(RoutingScript):
            def manage_reply(self, branch: Any, response: SipMessage) -> Any:
                raise ValueError("a fault of the site")

        self.world = World(media=self.relay, script=Broken)
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor, body=SDP)
        bob.reply(bob.got("INVITE"), 200, SDP)
        answer = alice.response("INVITE")
        self.assertEqual((answer.status, answer.body), (500, b""))
        self.assertEqual(bob.methods(), ["ACK", "BYE"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_bypass(self) -> None:
        """With ``on_error = "bypass"`` a call that no node takes passes untouched, to its end and in its dialog."""
        settings = MediaSettings(nodes=("192.0.2.200:2223",), on_error="bypass")
        clock = Clock()
        clock.advance(1_700_000_000)
        wire = Nodes(clock)
        wire.answer["192.0.2.200"] = Nodes.refusing(MediaError, "Ran out of ports", 503)
        relay = RtpengineRelay(NodeSet(parse_nodes(settings.nodes), wire.send, clock, 60, 5), settings, clock)
        world = World(Settings(media=settings), media=relay, clock=clock)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        call = world.call(alice, bob, SDP, OTHER)
        self.assertEqual((call.received.body, call.answer.body), (SDP, OTHER))
        wire.answer.clear()
        call.from_caller("INVITE", OTHER)
        self.assertEqual(bob.got("INVITE").body, OTHER)
        call.from_callee("BYE")
        self.assertEqual(set(wire.took("offer")), {"192.0.2.200"})
        self.assertEqual(wire.took("answer"), [])


class SlowRelayTests(MediaCase):
    """A relay that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.relay.hold = True

    def test_200_never_overtakes_183(self) -> None:
        """Replies of a branch go out in the order in which they came, however long the relay thinks."""
        self.relay.hold = False
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.alice.take()
        self.relay.hold = True
        self.bob.reply(received, 183, SDP)
        self.bob.reply(received, 180)
        self.bob.reply(received, 200, OTHER)
        self.assertEqual(self.alice.inbox, [])
        self.relay.release()
        self.assertEqual(self.alice.statuses(), [183, 180])
        self.relay.release()
        self.assertEqual(self.alice.statuses(), [200])

    def test_failure_waits_too(self) -> None:
        """A 486 behind a 183 that is still answered comes after it, and gives the ports back."""
        self.relay.hold = False
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.alice.take()
        self.relay.hold = True
        self.bob.reply(received, 183, SDP)
        self.bob.reply(received, 486)
        self.assertEqual(self.alice.inbox, [])
        self.relay.release()
        self.assertEqual(self.alice.statuses(), [183, 486])
        self.assertEqual(self.relay.operations, ["offer", "answer", "delete"])

    def test_retransmission_meanwhile(self) -> None:
        """A repeated INVITE while the offer is under way is answered with 100 and makes no second offer or call."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.alice.send_again(invite)
        self.assertEqual(self.alice.statuses(), [100, 100])
        self.assertEqual(self.bob.inbox, [])
        self.relay.release()
        self.assertEqual(self.bob.methods(), ["INVITE"])
        self.assertEqual(self.relay.operations, ["offer"])

    def test_cancel_meanwhile(self) -> None:
        """A CANCEL while the offer is under way: nothing is sent, the ports are given back once the offer has succeeded."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.alice.cancel(invite)
        self.assertEqual(self.relay.operations, ["offer"])
        self.relay.release()
        self.assertEqual(self.bob.inbox, [])
        self.assertEqual(self.alice.statuses(), [100, 200, 487])
        self.assertEqual(self.relay.operations, ["offer", "delete"])
        self.assertEqual(self.relay.log[0][1].via_branch, self.relay.log[1][1].via_branch)

    def test_cancel_while_183_is_answered(self) -> None:
        """A CANCEL while the relay thinks of the 183 goes to the phone at once: it has seen the 1xx."""
        self.relay.hold = False
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.relay.hold = True
        self.bob.reply(received, 183, SDP)
        self.alice.cancel(invite)
        self.bob.got("CANCEL")
        self.bob.reply(received, 487)
        self.relay.release()
        self.assertEqual(self.alice.statuses()[-1], 487)
        self.assertEqual(self.relay.operations, ["offer", "answer", "delete"])

    def test_branch_lost_while_183_is_answered(self) -> None:
        """A browser that goes while the relay thinks of its 183: its branch has ended, and the late answer changes nothing."""
        self.start("UDP", "WS")
        second = self.world.phone("bob")
        second.register()
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        early, other = self.bob.got("INVITE"), second.got("INVITE")
        self.relay.hold = True
        self.bob.reply(early, 183, SDP)
        self.world.close(self.bob)
        self.relay.release()
        second.reply(other, 486)
        self.assertEqual(self.alice.statuses()[-1], 486)

    def test_bye_waits_for_nothing(self) -> None:
        """A BYE goes on at once, whatever the relay does."""
        self.relay.hold = False
        call = self.up()
        self.relay.hold = True
        call.from_callee("BYE")
        self.alice.got("BYE")

    def test_other_calls_meanwhile(self) -> None:
        """A call without SDP passes while another's offer is under way."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.alice.send("INVITE", self.bob.aor)
        self.assertEqual(self.bob.methods(), ["INVITE"])
