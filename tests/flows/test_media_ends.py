"""What a call holds at the media relay ends with what it was held for, and what goes on stays as agreed."""

from __future__ import annotations

from sipnode.errors import MediaError
from sipnode.media import calls
from sipnode.records import Hop
from sipnode.testing import Phone
from tests.flows.test_media import OTHER, SAVP, SDP, WEBRTC, MediaCase

THIRD = SDP.replace(b"4000", b"6000")


class ForkTests(MediaCase):
    """Two phones ring."""

    def setUp(self) -> None:
        super().setUp()
        self.second = self.world.phone("bob")
        self.second.register()
        self.invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.one, self.two = self.bob.got("INVITE"), self.second.got("INVITE")
        self.relay.log.clear()

    def empty(self) -> None:
        """Nothing is held."""
        self.assertEqual(len(self.world.core.media_control.held), 0)

    def test_loser(self) -> None:
        """The phone that was cancelled since another answered gives its branch back with its 487, the call goes on."""
        self.second.reply(self.two, 180)
        self.bob.reply(self.one, 200, SDP)
        self.relay.log.clear()
        self.second.reply(self.two, 487)
        ((operation, key),) = self.relay.log
        self.assertEqual((operation, key.via_branch), ("delete", self.two.via.branch))

    def test_loser_that_never_answers(self) -> None:
        """So does one that never answers its CANCEL, when it can't any more (RFC 3261 §9.1)."""
        self.second.reply(self.two, 180)
        self.bob.reply(self.one, 200, SDP)
        self.relay.log.clear()
        self.world.advance(33)
        self.assertEqual([(name, key.via_branch) for name, key in self.relay.log], [("delete", self.two.via.branch)])

    def test_bye_before_the_loser_has_ended(self) -> None:
        """When the call ends while a loser still rings, all of it goes at once, and nothing is deleted twice."""
        self.second.reply(self.two, 180)
        answered = self.bob.reply(self.one, 200, SDP)
        self.bob.within("BYE", self.one, answered, False)
        self.assertEqual((self.relay.log[-1][0], self.relay.log[-1][1].from_tag), ("delete", ""))
        count = len(self.relay.log)
        self.second.reply(self.two, 487)
        self.assertEqual(len(self.relay.log), count)
        self.empty()

    def test_second_answer(self) -> None:
        """Of two phones that answered one is hung up on: its dialog is deleted by name, and the caller hears the first again."""
        self.bob.reply(self.one, 200, OTHER)
        self.second.reply(self.two, 200, THIRD)
        first, second = self.alice.response("INVITE"), self.alice.response("INVITE")
        self.relay.log.clear()
        self.relay.sdps.clear()
        self.alice.within("BYE", self.invite, second, True)
        (deleted, gone), (answered, again) = self.relay.log
        caller, callee = self.names(self.invite.from_.tag, self.second.tag)
        self.assertEqual((deleted, gone.from_tag, gone.to_tag, gone.via_branch), ("delete", caller, callee, ""))
        self.assertEqual((answered, again.via_branch, self.relay.sdps), ("answer", self.one.via.branch, [OTHER]))
        self.relay.log.clear()
        self.alice.within("BYE", self.invite, first, True)
        self.assertEqual([(name, key.from_tag) for name, key in self.relay.log], [("delete", "")])
        self.empty()

    def test_first_answer_is_hung_up_on(self) -> None:
        """Where the caller keeps the second, nothing has to be set back."""
        self.bob.reply(self.one, 200, OTHER)
        self.second.reply(self.two, 200, THIRD)
        first = self.alice.response("INVITE")
        self.relay.log.clear()
        self.alice.within("BYE", self.invite, first, True)
        self.assertEqual(self.relay.operations, ["delete"])

    def test_answer_in_between(self) -> None:
        """A 200 with the SDP of its 183 is asked again when another phone's 183 came in between; its repeats aren't."""
        self.bob.reply(self.one, 183, OTHER)
        self.second.reply(self.two, 183, THIRD)
        self.relay.sdps.clear()
        self.bob.reply(self.one, 200, OTHER)
        self.bob.reply(self.one, 200, OTHER)
        self.assertEqual(self.relay.sdps, [OTHER])
        self.assertEqual(self.relay.log[-1][1].via_branch, self.one.via.branch)

    def test_repeated_200s_of_two(self) -> None:
        """Repeats of two 200s don't turn the media to and fro."""
        self.bob.reply(self.one, 200, OTHER)
        self.second.reply(self.two, 200, THIRD)
        count = len(self.relay.log)
        self.bob.reply(self.one, 200, OTHER)
        self.second.reply(self.two, 200, THIRD)
        self.assertEqual(len(self.relay.log), count)

    def test_proxy_behind_us_that_forked(self) -> None:
        """A branch that had two early dialogs gives both back when it fails."""
        self.bob.reply(self.one, 183, OTHER, tag="t1")
        self.bob.reply(self.one, 183, THIRD, tag="t2")
        self.relay.log.clear()
        self.bob.reply(self.one, 486)
        caller, callee = self.names(self.invite.from_.tag, "t2", self.call_name())
        self.assertEqual([name for name, _ in self.relay.log], ["delete", "delete"])
        self.assertEqual([(key.via_branch, key.to_tag) for _, key in self.relay.log], [(self.one.via.branch, ""), ("", callee)])
        self.assertEqual(self.relay.log[1][1].from_tag, caller)

    def call_name(self) -> str:
        """Of the only call."""
        (name,) = self.world.core.media_control.held._calls
        return str(name)

    def test_all_fail(self) -> None:
        """With the last branch nothing is held any more."""
        self.bob.reply(self.one, 486)
        self.second.reply(self.two, 486)
        self.assertEqual(self.relay.operations, ["delete", "delete"])
        self.empty()


class DialogTests(MediaCase):
    """A call that is up."""

    def setUp(self) -> None:
        super().setUp()
        self.talk = self.up(SDP, OTHER)
        self.relay.sdps.clear()

    def test_reinvite_that_ends_without_agreement(self) -> None:
        """A re-INVITE or UPDATE that is refused, cancelled or never answered is undone, whoever asked."""
        for method, status in (("INVITE", 491), ("UPDATE", 488), ("INVITE", 487), ("INVITE", 0), ("UPDATE", 0)):
            for send, far in ((self.talk.from_caller, self.bob), (self.talk.from_callee, self.alice)):
                send(method, THIRD)
                received = far.got(method)
                if status:
                    far.reply(received, status)
                else:
                    self.world.advance(40 if method == "UPDATE" else 230)
                self.assertEqual((method, status, self.relay.sdps), (method, status, [THIRD, SDP, OTHER]))
                self.relay.sdps.clear()
                far.take()

    def test_undone_to_the_latest(self) -> None:
        """What is undone goes back to what was agreed last, in the profiles of that."""
        self.talk.from_callee("INVITE", THIRD)
        self.alice.reply(self.alice.got("INVITE"), 200, SAVP)
        self.talk.from_caller("INVITE", OTHER)
        self.relay.sdps.clear()
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.assertEqual(self.relay.sdps, [THIRD, SAVP])
        for _, key in self.relay.log[-2:]:
            self.assertEqual((key.from_tag, key.to_tag), self.names(self.bob.tag, self.talk.invite.from_.tag))

    def test_glare(self) -> None:
        """Of two re-INVITEs that cross, the refusal of one changes nothing while the other waits."""
        self.talk.from_caller("INVITE", THIRD)
        self.talk.from_callee("INVITE", SDP)
        ours, theirs = self.alice.got("INVITE"), self.bob.got("INVITE")
        self.relay.sdps.clear()
        self.bob.reply(theirs, 491)
        self.assertEqual(self.relay.sdps, [])
        self.alice.reply(ours, 491)
        self.assertEqual(self.relay.sdps, [SDP, OTHER])

    def test_offer_that_the_relay_refused(self) -> None:
        """An offer that never got into the relay has nothing to be undone."""
        self.relay.error = MediaError("no", 488)
        self.talk.from_caller("INVITE", THIRD)
        self.assertEqual(self.relay.operations, ["offer"])

    def test_bye_to_nobody(self) -> None:
        """A BYE to an end whose connection is gone gives the ports back at once, whether or not it arrives."""
        self.start("UDP", "WS")
        call = self.up(SDP, WEBRTC)
        self.world.close(self.bob)
        call.from_caller("BYE")
        self.assertEqual(self.relay.operations, ["delete"])
        self.world.advance(40)
        self.assertEqual(self.relay.operations, ["delete"])

    def test_bye_crosses_reinvite(self) -> None:
        """A re-INVITE under way when BYE comes leaves nothing, and sets nothing back."""
        self.relay.hold = True
        self.talk.from_callee("INVITE", THIRD)
        self.talk.from_caller("BYE")
        self.assertEqual(self.relay.operations, ["offer", "delete"])
        self.relay.release()
        self.assertEqual(self.relay.operations, ["offer", "delete", "delete"])
        self.assertEqual(self.bob.statuses()[-1], 481)
        self.assertEqual(len(self.world.core.media_control.held), 0)

    def test_lost_connection(self) -> None:
        """A browser that doesn't come back gives the ports back."""
        self.start("UDP", "WS")
        self.up(SDP, WEBRTC)
        self.world.close(self.bob)
        self.world.advance(6)
        self.assertEqual(self.relay.operations, ["delete"])
        self.assertEqual(len(self.world.core.media_control.held), 0)

    def test_session_expired(self) -> None:
        """So does a session that nobody refreshed (RFC 4028 §9)."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP, headers=[("session-expires", "90;refresher=uac")])
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.relay.log.clear()
        self.world.advance(300)
        self.assertEqual(self.relay.operations, ["delete"])

    def test_stray_sdp_in_an_ack(self) -> None:
        """SDP in the ACK of a call that has its answer asks nothing and isn't passed on."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP)
        self.relay.log.clear()
        self.alice.ack(invite, self.alice.response("INVITE"), SDP)
        self.assertEqual((self.bob.got("ACK").body, self.relay.log), (b"", []))

    def test_repeated_ack(self) -> None:
        """A repeat of an ACK with the answer gets the same again, and asks nothing."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP)
        answer = self.alice.response("INVITE")
        bodies = []
        for _ in range(2):
            self.alice.ack(invite, answer, OTHER)
            bodies.append(self.bob.got("ACK").body)
        self.assertEqual((bodies[0], self.relay.operations[-2:]), (bodies[1], ["offer", "answer"]))

    def test_late_answer_that_the_relay_refused(self) -> None:
        """A call whose answer in the ACK the relay refuses is ended for both."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200, SDP)
        answer = self.alice.response("INVITE")
        self.relay.error = MediaError("no", 488)
        self.alice.ack(invite, answer, OTHER)
        self.world.advance(0.1)
        self.assertEqual((self.alice.methods(), self.bob.methods()[-1:]), (["BYE"], ["BYE"]))
        self.assertEqual(self.relay.operations[-1], "delete")


class SpiralTests(MediaCase):
    """A call that another proxy sends back to us."""

    def spiral(self, other: str, answer: bytes) -> None:
        """Alice calls abroad, from where she is sent to bob."""
        self.start("UDP", other)
        self.world.resolver.names["foreign.test"] = [Hop("UDP", "198.51.100.9", 5060)]
        self.alice.send("INVITE", "sip:x@foreign.test", body=SDP)
        abroad = self.world.flows.by_address("UDP", "198.51.100.9", 5060)
        data = abroad.sent.pop().replace(b"INVITE sip:x@foreign.test ", b"INVITE sip:bob@example.test ")
        head, _, tail = data.partition(b"Via: ")
        self.world.sink.received(head + b"Via: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKabroad\r\nVia: " + tail, abroad)
        self.bob.reply(self.bob.got("INVITE"), 200, answer)
        back = next(data for data in abroad.sent if b"SIP/2.0 200" in data)
        abroad.sent.clear()
        head, _, tail = back.partition(b"Via: ")
        self.world.sink.received(head + tail.partition(b"\r\n")[2], abroad)
        self.assertTrue(self.alice.response("INVITE").body.startswith(b"v=0\r\ns=answer"))

    def test_engaged_once(self) -> None:
        """It has one call at the relay."""
        self.spiral("UDP", SDP)
        self.assertEqual(self.relay.operations, ["offer", "answer"])

    def test_browser_behind_it(self) -> None:
        """A browser that it comes to in the end is served all the same."""
        self.spiral("WS", WEBRTC)
        self.assertEqual([profile.to_browser for profile in self.relay.profiles], [False, True, False, False])


class RetryTests(MediaCase):
    """A callee that can't take the media as it was offered."""

    def tried(self, phone: Phone, refuse: int = 488) -> list[str]:
        """The forms that a phone is offered while it refuses them all."""
        self.relay.profiles.clear()
        self.alice.send("INVITE", phone.aor, body=self.offer)
        while any(data.startswith(b"INVITE") for data in phone.flow.sent):
            phone.reply(phone.got("INVITE"), refuse)
        return [profile.protocol or profile.form.name for profile in self.relay.profiles]

    def setUp(self) -> None:
        super().setUp()
        self.offer = SDP

    def test_refused(self) -> None:
        """488 and 415 are tried twice more in other forms, each a branch of its own that is given back; the last word goes back."""
        for status in (488, 415):
            self.assertEqual(self.tried(self.bob, status), ["PLAIN", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"])
            self.assertEqual(self.alice.statuses(), [100, status])
        offers = {key.via_branch for name, key in self.relay.log if name == "offer"}
        self.assertEqual(offers, {key.via_branch for name, key in self.relay.log if name == "delete"})
        self.assertEqual(len(offers), 6)

    def test_other_refusals(self) -> None:
        """Who is busy isn't tried again."""
        self.assertEqual(self.tried(self.bob, 486), ["PLAIN"])

    def test_never_plain(self) -> None:
        """An offer of SRTP isn't tried without."""
        self.offer = SAVP
        self.assertEqual(self.tried(self.bob), ["SDES", "UDP/TLS/RTP/SAVPF"])

    def test_known(self) -> None:
        """What a phone offered itself is tried next; what it took is tried first when it is called again."""
        self.bob.send("INVITE", self.alice.aor, body=WEBRTC)
        self.alice.reply(self.alice.got("INVITE"), 486)
        self.assertEqual(self.tried(self.bob)[:2], ["PLAIN", "UDP/TLS/RTP/SAVPF"])
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.bob.reply(self.bob.got("INVITE"), 200, SAVP)
        self.assertEqual(self.tried(self.bob)[:1], ["RTP/SAVP"])

    def test_in_the_dialog(self) -> None:
        """A re-INVITE that is refused isn't tried in another form."""
        call = self.up()
        call.from_caller("INVITE", OTHER)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.assertEqual(self.bob.methods(), ["ACK"])

    def test_forms_in_the_dialog(self) -> None:
        """Inside a dialog each end gets the form that it has shown, whatever the other offers."""
        call = self.up(SAVP, SDP)
        self.relay.profiles.clear()
        call.from_callee("INVITE", SDP)
        self.alice.reply(self.alice.got("INVITE"), 200, SAVP)
        call.from_caller("INVITE", SAVP)
        self.bob.reply(self.bob.got("INVITE"), 200, SDP)
        self.assertEqual([profile.form.name for profile in self.relay.profiles], ["SDES", "PLAIN", "PLAIN", "SDES"])
        self.assertEqual([profile.protocol for profile in self.relay.profiles], ["RTP/SAVP", "", "RTP/AVP", ""])


class FamilyTests(MediaCase):
    """IPv4 and IPv6."""

    def test_each_its_own(self) -> None:
        """An offer is made in the family that its receiver is reached by, an answer in that of its offer, where that isn't so already."""
        six = self.world.phone("carol", host="2001:db8::5", contact="sip:carol@[2001:db8::5]")
        six.register()
        over6 = SDP.replace(b"IP4 10.1.1.1", b"IP6 2001:db8::5")
        for caller, callee, offer, answer, families in (
            (self.alice, six, SDP, over6, ["IP6", "IP4"]),
            (six, self.alice, over6, SDP, ["IP4", "IP6"]),
            (self.alice, self.bob, SDP, SDP, ["", ""]),
        ):
            self.relay.profiles.clear()
            self.world.call(caller, callee, offer, answer)
            self.assertEqual([profile.family for profile in self.relay.profiles], families)


class InterfaceTests(MediaCase):
    """A relay with two interfaces."""

    def test_between(self) -> None:
        """Each offer says between which interfaces it goes, from its sender's to its receiver's, in the dialog too."""
        self.start("WS", "UDP", interfaces=("external ws wss", "internal all"))
        call = self.up(WEBRTC)
        call.from_callee("INVITE", SDP)
        self.alice.reply(self.alice.got("INVITE"), 200, WEBRTC)
        offers = [profile.interfaces for profile in self.relay.profiles[::2]]
        self.assertEqual(offers, [("external", "internal"), ("internal", "external")])


class BoundTests(MediaCase):
    """What is remembered."""

    def test_bounded(self) -> None:
        """However many calls are up, what is known of them is bounded, and a BYE of one that was forgotten deletes its dialog by name."""
        self.patch(calls, "MOST_CALLS", 2)
        first = self.up()
        for _ in range(3):
            self.up()
        held = self.world.core.media_control.held
        self.assertEqual((len(held), self.world.core.counters["forgotten_media"]), (2, 2))
        first.from_callee("BYE")
        ((name, key),) = self.relay.log
        self.assertEqual((name, bool(key.from_tag), bool(key.to_tag)), ("delete", True, True))

    def test_without_sdp(self) -> None:
        """A call without SDP that fails is forgotten too, and so is one that the relay refused."""
        for body in (b"", SDP):
            self.relay.error = MediaError("no", 488) if body else None
            self.alice.send("INVITE", self.bob.aor, body=body)
            if not body:
                self.bob.reply(self.bob.got("INVITE"), 486)
            self.assertEqual(len(self.world.core.media_control.held), 0)

    def test_large(self) -> None:
        """Of SDP too large to be kept a refused re-INVITE can't be undone, and nothing else is lost."""
        large = SDP + b"a=x\r\n" * (calls.MOST_KEPT // 4)
        call = self.up(large, SDP)
        call.from_callee("INVITE", OTHER)
        self.alice.reply(self.alice.got("INVITE"), 488)
        self.assertEqual(self.relay.operations, ["offer"])
        call.from_callee("BYE")
        self.assertEqual(self.relay.operations, ["offer", "delete"])
