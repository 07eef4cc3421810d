"""Calls as who watches them sees them: every step of every call, and nothing kept afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.dialog.call import Call
from sipnode.settings import DialogSettings, Settings
from sipnode.testing import Call as CallOf
from sipnode.testing import Phone, RecordingMediaRelay, World

SDP = b"v=0\r\ns=-\r\n"


class WatchedCase(SynchronousTestCase):
    """A server with two phones and somebody who watches."""

    def start(self, media: Any = None, **dialog: Any) -> None:
        """A world with these settings of ``[dialog]``."""
        self.world = World(Settings(dialog=replace(DialogSettings(), **dialog)), media=media)
        self.dialogs = self.world.core.dialogs
        self.seen: list[tuple[str, int]] = []
        self.calls: list[Call] = []
        self.dialogs.on_change(self.watch)
        self.alice, self.bob = self.phone("alice"), self.phone("bob")

    def setUp(self) -> None:
        self.start()

    def watch(self, kind: str, call: Call) -> None:
        """The watcher."""
        self.assertEqual(call.state, kind)
        self.seen.append((kind, call.id))
        self.calls.append(call)

    def kinds(self) -> list[str]:
        """What was seen."""
        return [kind for kind, _ in self.seen]

    def phone(self, user: str, transport: str = "UDP", **named: Any) -> Phone:
        """A registered phone."""
        phone = self.world.phone(user, transport, **named)
        phone.register()
        phone.take()
        return phone


class StepTests(WatchedCase):
    """From INVITE to BYE."""

    def test_life(self) -> None:
        """trying, early, confirmed, terminated, each with what is known by then."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        (call,) = self.dialogs.list()
        self.assertEqual((call.caller, call.callee, call.call_id), ("alice@example.test", "bob@example.test", invite.call_id))
        self.assertEqual((call.from_tag, call.to_tag, call.started), (invite.from_.tag, "", self.world.clock.seconds()))
        self.bob.reply(received, 180)
        self.assertEqual((call.to_tag, call.status), (self.bob.tag, 180))
        self.bob.reply(received, 180)
        self.world.advance(3)
        self.bob.reply(received, 200)
        answer = self.alice.response("INVITE")
        self.assertEqual((round(call.answered - call.started, 3), self.dialogs.answered), (3, 1))
        self.assertEqual((call.caller_flow, call.callee_flow), (("UDP", ("192.0.2.11", 5060)), ("UDP", ("192.0.2.12", 5060))))
        self.alice.ack(invite, answer)
        self.world.advance(7)
        self.bob.within("BYE", received, answer, False)
        self.assertEqual(self.kinds(), ["trying", "early", "confirmed", "terminated"])
        self.assertEqual((call.outcome, call.ended_by, call.status), ("completed", "callee", 200))
        self.assertAlmostEqual(call.duration, 7, 3)
        self.assertEqual((len(self.dialogs), self.dialogs.answered), (0, 0))
        self.assertEqual(self.dialogs._table._slots, {})

    def test_outcomes(self) -> None:
        """Each final status has its word, and nothing is kept."""
        for status, outcome in ((486, "busy"), (603, "declined"), (480, "no answer"), (404, "not found"), (500, "failed"), (302, "failed")):
            self.seen.clear()
            self.alice.send("INVITE", self.bob.aor)
            self.bob.reply(self.bob.got("INVITE"), status)
            self.assertEqual(self.kinds(), ["trying", "terminated"])
            self.assertEqual((self.calls[-1].outcome, self.calls[-1].status, self.calls[-1].duration), (outcome, status, 0))
        self.assertEqual(len(self.dialogs), 0)

    def test_cancelled(self) -> None:
        """CANCEL: by the caller."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.cancel(invite)
        self.bob.reply(received, 487)
        self.assertEqual(self.kinds(), ["trying", "early", "terminated"])
        self.assertEqual((self.calls[-1].outcome, self.calls[-1].ended_by), ("cancelled", "caller"))

    def test_refused_here(self) -> None:
        """A call to nobody has its end alone; a challenge is no end; so is no other request's failure."""
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual((self.kinds(), self.calls[0].outcome, self.calls[0].status), (["terminated"], "not found", 404))
        self.alice.send("MESSAGE", "sip:nobody@example.test")
        self.assertEqual(len(self.seen), 1)

    def test_foreign_ends(self) -> None:
        """An end of a foreign domain has no address of ours."""
        eve = self.world.phone("eve", domain="elsewhere.test")
        eve.send("INVITE", self.bob.aor)
        self.assertEqual((self.calls[0].caller, self.calls[0].callee), ("", "bob@example.test"))

    def test_reinvite_is_no_call(self) -> None:
        """A request inside the dialog, and its refusal, leave the call as it is."""
        call = self.world.call(self.alice, self.bob)
        call.from_caller("INVITE", SDP)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.assertEqual(self.kinds(), ["trying", "confirmed"])
        self.assertEqual(len(self.dialogs), 1)

    def test_two_answers(self) -> None:
        """Two phones answer at once: two calls, each ended by its own BYE."""
        other = self.phone("bob")
        invite = self.alice.send("INVITE", self.bob.aor)
        one, two = self.bob.got("INVITE"), other.got("INVITE")
        self.bob.reply(one, 200)
        other.reply(two, 200)
        first, second = self.alice.response("INVITE"), self.alice.response("INVITE")
        self.assertEqual(sorted(call.to_tag for call in self.dialogs.list()), sorted((self.bob.tag, other.tag)))
        self.assertEqual(self.dialogs.answered, 2)
        for answer in (first, second):
            self.alice.within("BYE", invite, answer, True)
        self.assertEqual((len(self.dialogs), self.dialogs.answered, self.dialogs._table._slots), (0, 0, {}))

    def test_watcher_that_fails(self) -> None:
        """What a watcher raises is logged, and neither the call nor the next watcher feels it."""

        def broken(kind: str, call: Call) -> None:
            raise RuntimeError(kind)

        for watchers in self.dialogs._watchers.values():
            watchers.insert(0, broken)
        self.world.call(self.alice, self.bob)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertEqual(self.kinds(), ["trying", "confirmed"])


class BoundTests(WatchedCase):
    """What is kept is bounded in number and time."""

    def test_most(self) -> None:
        """Over the limit calls pass unseen, and are counted."""
        self.start(max_calls=2)
        calls = [self.world.call(self.alice, self.bob) for _ in range(3)]
        self.assertEqual((len(self.dialogs), self.dialogs.untracked), (2, 1))
        for call in calls:
            call.from_caller("BYE")
            self.bob.got("BYE")
        self.assertEqual(len(self.dialogs), 0)

    def test_calls_of_a_user(self) -> None:
        """A user whose password is stolen calls no more than so many at once; others, and calls to it, don't count."""
        self.start(calls_per_user=2)
        calls = [self.world.call(self.alice, self.bob) for _ in range(2)]
        self.alice.send("INVITE", self.bob.aor)
        self.assertEqual((self.alice.response("INVITE").status, self.bob.inbox), (403, []))
        self.assertEqual(self.calls[-1].outcome, "failed")
        self.world.call(self.bob, self.alice)
        calls[0].from_caller("BYE")
        self.bob.got("BYE")
        calls.append(self.world.call(self.alice, self.bob))
        for call in self.dialogs.list():
            self.dialogs.end(call.call_id)
        self.assertEqual(self.dialogs._table._of_user, {})

    def test_browsers_only(self) -> None:
        """``track = "browser"``: those that may vanish, and no others."""
        self.start(track="browser")
        tab = self.phone("tab", "WS")
        self.world.call(self.alice, self.bob)
        self.assertEqual(len(self.dialogs), 0)
        self.world.call(self.alice, tab)
        self.assertEqual([call.callee for call in self.dialogs.list()], ["tab@example.test"])

    def test_lost(self) -> None:
        """A call of which nothing is heard any more is forgotten, without BYE."""
        self.start(max_seconds=600)
        self.world.call(self.alice, self.bob)
        self.world.clock.advance(590)
        self.assertEqual(len(self.dialogs), 1)
        self.world.clock.pump([60, 60, 60])
        self.assertEqual((len(self.dialogs), self.dialogs.lost, self.calls[-1].outcome), (0, 1, "lost"))
        self.assertEqual((self.alice.inbox, self.bob.inbox), ([], []))

    def test_session_timer(self) -> None:
        """A refreshed session lives on; one that isn't refreshed any more is lost soon after its interval."""
        self.start()
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        answered = self.bob.reply(received, 200, headers=[("session-expires", "100;refresher=uac")])
        answer = self.alice.response("INVITE")
        for _ in range(4):
            self.world.clock.advance(90)
            self.bob.within("UPDATE", received, answered, False)
        self.assertEqual(len(self.dialogs), 1)
        self.world.clock.pump([60] * 4)
        self.assertEqual((len(self.dialogs), self.dialogs.lost), (0, 1))
        del invite, answer

    def timed_call(self, relay: RecordingMediaRelay | None = None) -> CallOf:
        """A call with a session timer of 100 seconds."""
        self.start(relay)
        invite = self.alice.send("INVITE", self.bob.aor, (), b"v=0\r\n")
        received = self.bob.got("INVITE")
        answered = self.bob.reply(received, 200, b"v=0\r\n", headers=[("session-expires", "100;refresher=uac")])
        call = CallOf(self.alice, self.bob, invite, received, answered, self.alice.response("INVITE"))
        self.alice.ack(invite, call.answer)
        self.bob.got("ACK")
        return call

    def test_unrefreshed(self) -> None:
        """A call that isn't refreshed ends: BYE to both ends as from the other, the ports given back, its outcome known."""
        relay = RecordingMediaRelay()
        call = self.timed_call(relay)
        self.world.clock.pump([10] * 13)
        self.assertEqual((len(self.dialogs), self.alice.inbox, self.bob.inbox), (1, [], []))
        self.world.clock.pump([10] * 3)
        for phone, sender in ((self.alice, call.answer.to.tag), (self.bob, call.invite.from_.tag)):
            bye = phone.got("BYE")
            self.assertEqual((bye.call_id, bye.uri, bye.from_.tag), (call.invite.call_id, phone.contact, sender))
            self.assertIn("Session not refreshed", bye.get("reason") or "")
            phone.reply(bye, 200)
        self.assertEqual((relay.operations[-1], len(self.dialogs), self.calls[-1].outcome), ("delete", 0, "lost"))

    def test_timer_of_the_answer(self) -> None:
        """A re-INVITE is refreshed as its 2xx says: with a longer interval it is that, without any no timer runs any more."""
        for headers, left in (([("session-expires", "1000;refresher=uac")], 1), ([], 1), ([("session-expires", "100")], 0)):
            call = self.timed_call()
            call.from_caller("INVITE", b"v=0\r\n", (("session-expires", "100;refresher=uac"),))
            self.bob.reply(self.bob.got("INVITE"), 200, b"v=0\r\n", headers=headers)
            self.world.clock.pump([10] * 20)
            self.assertEqual(len(self.dialogs), left, headers)

    def test_hostile_interval(self) -> None:
        """A session timer that is no number, or a tiny or huge one, changes nothing for the worse."""
        for value in ("x", "-5", "0", "9" * 400, "99999999", "", ";refresher=uac", "٣"):
            self.start()
            self.alice.send("INVITE", self.bob.aor)
            self.bob.reply(self.bob.got("INVITE"), 200, headers=[("session-expires", value)])
            self.world.clock.pump([60])
            self.assertEqual((value, len(self.dialogs)), (value, 1))


class EndTests(WatchedCase):
    """``dlg.end_dlg``."""

    def test_both_byes(self) -> None:
        """BYE to both ends, each as from the other; the relay gives the ports back; later BYEs of theirs hurt nobody."""
        relay = RecordingMediaRelay()
        for one, other in (("UDP", "UDP"), ("WS", "UDP"), ("WS", "WSS"), ("TCP", "UDP")):
            self.start(relay)
            relay.operations.clear()
            alice, bob = self.phone("carol", one), self.phone("dave", other)
            call = self.world.call(alice, bob, SDP, SDP)
            call.from_callee("INFO")
            alice.reply(alice.got("INFO"), 200)
            bob.take()
            (ended,) = self.dialogs.end(call.invite.call_id)
            to_alice, to_bob = alice.got("BYE"), bob.got("BYE")
            self.assertEqual((to_alice.from_.tag, to_alice.to.tag), (bob.tag, call.invite.from_.tag))
            self.assertEqual((to_bob.from_.tag, to_bob.to.tag), (call.invite.from_.tag, bob.tag))
            self.assertGreater(to_alice.cseq, bob.cseq)
            self.assertIn("operator", to_bob.get("reason") or "")
            self.assertEqual(relay.operations[-1], "delete")
            self.assertEqual((ended.outcome, ended.ended_by, len(self.dialogs)), ("ended", "server", 0))
            alice.reply(to_alice, 200)
            bob.reply(to_bob, 481)
            self.world.advance(40)
            self.assertEqual(len(self.world.core.transactions), 0)

    def test_ringing(self) -> None:
        """One that rings is cancelled: the callee gets CANCEL, the caller 487."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.assertEqual(len(self.dialogs.end(invite.call_id)), 1)
        self.bob.got("CANCEL")
        self.bob.reply(received, 487)
        self.assertEqual((self.alice.response("INVITE").status, len(self.dialogs)), (487, 0))

    def test_by_tags(self) -> None:
        """Tags choose; a call that isn't there ends nothing."""
        call = self.world.call(self.alice, self.bob)
        self.assertEqual(self.dialogs.end(call.invite.call_id, "other"), [])
        self.assertEqual(self.dialogs.end("nothing"), [])
        self.assertEqual(len(self.dialogs.end(call.invite.call_id, self.bob.tag, call.invite.from_.tag)), 1)

    def test_refreshed_target(self) -> None:
        """The BYE goes to the Contact of the last re-INVITE."""
        call = self.world.call(self.alice, self.bob)
        self.alice.contact = "sip:alice@192.0.2.99:5070"
        call.from_caller("INVITE")
        self.dialogs.end(call.invite.call_id)
        byes = [bytes for flow in self.world.flows.flows for bytes in flow.sent if bytes.startswith(b"BYE sip:alice@192.0.2.99:5070")]
        self.assertEqual(len(byes), 1)
