"""CANCEL: RFC 3261 §9, §16.10; RFC 3326."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.fork import ELSEWHERE
from sipnode.routing.script import RoutingScript
from sipnode.sip import build
from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message
from sipnode.testing import World


class CancelTests(SynchronousTestCase):
    """Alice calls bob and gives up."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def test_ringing(self) -> None:
        """A CANCEL that matches gets 200, the phone is cancelled on the INVITE's own branch, the caller gets 487."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.take()
        self.alice.cancel(invite)
        self.assertEqual([(m.cseq_method, m.status) for m in self.alice.take()], [("CANCEL", 200)])
        cancel = self.bob.got("CANCEL")
        self.assertEqual(cancel.via.branch, received.via.branch)
        self.assertEqual((cancel.uri, cancel.cseq, len(cancel.get_all("via"))), (received.uri, received.cseq, 1))
        self.bob.reply(cancel, 200)
        self.bob.reply(received, 487)
        self.assertEqual([(m.cseq_method, m.status) for m in self.alice.take()], [("INVITE", 487)])
        self.assertEqual(self.bob.got("ACK").via.branch, received.via.branch)

    def test_same_to_tag(self) -> None:
        """The 200 of the CANCEL has the To tag of the 487 (§9.2)."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        accepted = self.alice.response("CANCEL")
        self.bob.reply(received, 487)
        self.assertEqual(accepted.to.tag, self.alice.response("INVITE").to.tag)

    def test_held_until_a_1xx(self) -> None:
        """Before the phone has said anything no CANCEL goes out; with its first 1xx one does."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.alice.cancel(invite)
        self.assertEqual(self.bob.inbox, [])
        self.bob.reply(received, 180)
        self.assertEqual(self.bob.methods(), ["CANCEL"])
        self.bob.reply(received, 183)
        self.assertEqual(self.bob.inbox, [])

    def test_no_word_from_the_phone(self) -> None:
        """A phone that never says anything gets no CANCEL; the caller gets 487 when timer B ends the branch."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.alice.cancel(invite)
        self.bob.take()
        self.alice.take()
        self.world.advance(33)
        self.assertEqual(set(self.bob.methods()), {"INVITE"})
        self.assertEqual(self.alice.statuses()[:1], [487])

    def test_no_answer_to_cancel(self) -> None:
        """A phone that rings on after CANCEL is given up after 64*T1, also when it repeats its 180."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.world.advance(20)
        self.bob.reply(received, 180)
        self.alice.take()
        self.world.advance(13)
        self.assertEqual(self.alice.statuses()[:1], [487])

    def test_matches_nothing(self) -> None:
        """A CANCEL without its INVITE is answered with 481 and forwarded to nobody."""
        invite = self.alice.send("INVITE", "sip:nobody@example.test")
        self.alice.take()
        self.alice.cancel(invite)
        self.assertEqual(self.alice.statuses(), [481])
        self.assertEqual(self.bob.inbox, [])

    def test_too_late(self) -> None:
        """A CANCEL after the 200 is answered with 200 and changes nothing."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200)
        self.alice.take()
        self.alice.cancel(invite)
        self.assertEqual(self.alice.statuses(), [200])
        self.assertEqual(self.bob.inbox, [])

    def test_200_crosses(self) -> None:
        """A 200 that crosses the CANCEL goes up to the caller, and its ACK reaches the phone."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.bob.reply(received, 200)
        answer = self.alice.response("INVITE")
        self.assertEqual(answer.status, 200)
        self.alice.ack(invite, answer)
        self.bob.got("CANCEL")
        self.bob.got("ACK")

    def test_reason_is_copied(self) -> None:
        """The caller's Reason reaches the phone."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 180)
        self.alice.cancel(invite, [("reason", 'SIP;cause=487;text="ORIGINATOR_CANCEL"')])
        self.assertEqual(self.bob.got("CANCEL").get("reason"), 'SIP;cause=487;text="ORIGINATOR_CANCEL"')

    def test_all_branches(self) -> None:
        """Every phone that rings is cancelled, and only one 487 goes to the caller, when the last has ended."""
        second = self.world.phone("bob")
        second.register()
        invite = self.alice.send("INVITE", self.bob.aor)
        first, other = self.bob.got("INVITE"), second.got("INVITE")
        self.bob.reply(first, 180)
        second.reply(other, 180)
        self.alice.take()
        self.alice.cancel(invite)
        self.bob.got("CANCEL")
        second.got("CANCEL")
        self.bob.reply(first, 487)
        self.assertEqual(self.alice.statuses(), [200])
        second.reply(other, 487)
        self.assertEqual(self.alice.statuses(), [487])

    def test_no_new_branches(self) -> None:
        """A cancelled call isn't taken to a next target by the failure route."""

        class Voicemail(RoutingScript):
            def manage_failure(self, fork: object) -> None:
                raise AssertionError("not for a call that was cancelled")

        self.world = World(script=Voicemail)
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        bob.register()
        invite = alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        bob.reply(received, 180)
        alice.cancel(invite)
        bob.reply(received, 487)
        self.assertEqual(alice.statuses()[-1], 487)

    def test_answered_elsewhere(self) -> None:
        """The phones that weren't picked up are told that the call was answered elsewhere."""
        second = self.world.phone("bob")
        second.register()
        self.alice.send("INVITE", self.bob.aor)
        first, other = self.bob.got("INVITE"), second.got("INVITE")
        self.bob.reply(first, 180)
        second.reply(other, 180)
        self.bob.reply(first, 200)
        self.assertEqual(second.got("CANCEL").get("reason"), ELSEWHERE[0][1])
        second.reply(other, 487)
        self.assertEqual(self.alice.statuses(), [100, 180, 180, 200])

    def test_before_branches(self) -> None:
        """A CANCEL while a stage still waits ends the INVITE with 487, and no phone ever hears of it."""
        waiting: list[Deferred[None]] = []

        class Slow(RoutingScript):
            def auth(self, ctx: object) -> Deferred[None]:
                waiting.append(Deferred())
                return waiting[-1]

        world = World(script=Slow)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.send("REGISTER", "sip:example.test", to=f"<{bob.aor}>")
        waiting[0].callback(None)
        bob.take()
        invite = alice.send("INVITE", bob.aor)
        alice.cancel(invite)
        self.assertEqual([(m.cseq_method, m.status) for m in alice.take()], [("INVITE", 100), ("CANCEL", 200), ("INVITE", 487)])
        waiting[1].callback(None)
        self.assertEqual(bob.inbox, [])
        self.assertEqual(alice.inbox, [])

    def test_caller_vanishes(self) -> None:
        """A browser whose connection goes while the phone rings stops the ringing."""
        tab = self.world.phone("carol", "WS")
        tab.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.close(tab)
        self.assertIn("Connection lost", self.bob.got("CANCEL").get("reason") or "")
        self.bob.reply(received, 487)
        self.world.advance(70)
        self.assertEqual(len(self.world.core.transactions), 0)


class ForeignTests(SynchronousTestCase):
    """Who else knows everything of a call (another branch of its fork does) can't end it."""

    def setUp(self) -> None:
        self.world = World()
        self.alice, self.bob, self.evil = (self.world.phone(user) for user in ("alice", "bob", "evil"))
        self.bob.register()
        self.bob.take()

    def test_cancel_from_elsewhere(self) -> None:
        """A CANCEL from another address, port or connection gets 481 and cancels nothing; the caller's own does."""
        for transport in ("UDP", "TCP", "WS"):
            alice = self.world.phone("alice", transport)
            invite = alice.send("INVITE", self.bob.aor)
            ringing = self.bob.got("INVITE")
            self.bob.reply(ringing, 180)
            alice.take()
            host, port = alice.flow.remote
            for flow in (
                self.evil.flow,
                self.world.phone("evil", "UDP", host, port + 1).flow,
                self.world.phone("evil", "TCP", host, port + 2).flow,
            ):
                cancel = build.cancel_for(invite)
                self.world.sink.received(cancel.to_bytes(), flow)
                last = parse_message(flow.sent.pop())
                assert isinstance(last, SipResponse)
                self.assertEqual((last.status, self.bob.methods(), alice.take()), (481, [], []))
            alice.cancel(invite)
            self.assertEqual(self.bob.methods(), ["CANCEL"])
            self.bob.reply(ringing, 487)
            self.assertEqual(alice.statuses()[-1], 487)
        self.assertEqual(self.world.core.counters["refused_cancels"], 6)

    def test_cancel_of_another_call(self) -> None:
        """A CANCEL with the right branch names the INVITE's Call-ID, From tag and CSeq, or gets 481."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.alice.take()
        for name, value in (("call-id", "x"), ("from", f"<{self.alice.aor}>;tag=x"), ("cseq", "77 CANCEL")):
            cancel = build.cancel_for(invite)
            cancel.set(name, value)
            self.world.sink.received(cancel.to_bytes(), self.alice.flow)
            self.assertEqual(self.alice.statuses(), [481])
        self.assertEqual(self.world.core.counters["refused_cancels"], 3)

    def test_response_from_elsewhere(self) -> None:
        """A response that has everything right but comes from elsewhere changes nothing of a call that rings."""
        self.alice.send("INVITE", self.bob.aor)
        ringing = self.bob.got("INVITE")
        self.bob.reply(ringing, 180)
        self.alice.take()
        for status in (183, 200, 302, 486, 503, 603):
            data = build.response_to(ringing, status, "", "forged", (("contact", f"<{self.evil.contact}>"),)).to_bytes()
            self.world.sink.received(data, self.evil.flow)
        self.assertEqual((self.alice.take(), self.bob.take(), self.world.core.counters["forged_responses"]), ([], [], 6))
        self.bob.reply(ringing, 200)
        self.assertEqual(self.alice.statuses(), [200])
