"""A stop under calls, in memory."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.lifecycle.drain import CLOSING_SECONDS, LAST_SECONDS, LOOK_SECONDS, SETTLE_SECONDS, Drain
from sipnode.testing import Phone, World


class DrainTests(SynchronousTestCase):
    """What has begun ends; what is new is sent away."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob")
        for phone in (self.alice, self.bob):
            phone.register()
        # What the REGISTERs left is gone.
        self.world.clock.pump([1.0] * 40)
        for phone in (self.alice, self.bob):
            phone.take()
        self.drain = Drain(self.world.core, self.world.clock)

    def wait(self, seconds: float) -> None:
        """Let time pass in steps of a look."""
        self.world.clock.pump([LOOK_SECONDS] * int(seconds / LOOK_SECONDS + 1))

    def drain_settings(self, **values: object) -> None:
        """Other values of ``[core]``."""
        core = self.world.core
        core.settings = replace(core.settings, core=replace(core.settings.core, **values))

    def test_nothing(self) -> None:
        """Where nothing is in flight nobody waits."""
        self.assertIsNone(self.successResultOf(self.drain.start()))

    def test_new_calls(self) -> None:
        """A new INVITE gets 503 with a Retry-After of some seconds; OPTIONS is answered as ever."""
        self.drain.start()
        self.alice.send("INVITE", self.bob.aor)
        refusal = self.alice.response("INVITE")
        self.assertEqual(refusal.status, 503)
        self.assertIn(int(refusal.get("retry-after") or 0), range(2, 11))
        self.assertEqual(self.bob.take(), [])
        self.alice.send("OPTIONS", "sip:example.test")
        self.assertEqual(self.alice.response("OPTIONS").status, 200)

    def test_registrations(self) -> None:
        """A new browser is sent away, since its connection is about to close; one that is registered refreshes, and so does a phone."""
        tab = self.world.phone("tab", "WS")
        self.assertEqual(tab.register().status, 200)
        self.drain.start()
        self.assertEqual(tab.register().status, 200)
        self.assertEqual(self.alice.register().status, 200)
        refusal = self.world.phone("other", "WS").register()
        self.assertEqual((refusal.status, "retry-after" in refusal), (503, True))

    def ring(self) -> tuple[Phone, object]:
        """A call that rings."""
        self.alice.send("INVITE", self.bob.aor)
        invite = self.bob.got("INVITE")
        self.bob.reply(invite, 180)
        return self.bob, invite

    def test_ringing(self) -> None:
        """A call that rings is answered, talks and ends as if nothing were; then the drain is over."""
        world, alice, bob = self.world, self.alice, self.bob
        sent = alice.send("INVITE", bob.aor)
        invite = bob.got("INVITE")
        bob.reply(invite, 180)
        self.drain_settings(stop_seconds=60.0, drain_calls=True)
        done = self.drain.start()
        self.wait(3)
        bob.reply(invite, 200)
        answer = alice.response("INVITE")
        self.assertEqual(answer.status, 200)
        alice.ack(sent, answer)
        bob.got("ACK")
        self.wait(5)
        self.assertNoResult(done)
        alice.within("BYE", sent, answer, True)
        bob.reply(bob.got("BYE"), 200)
        self.assertEqual(alice.response("BYE").status, 200)
        self.wait(SETTLE_SECONDS + 2 * LOOK_SECONDS)
        self.successResultOf(done)
        self.assertEqual(world.core.outbox.unsent, 0)

    def test_calls_needn_t_end(self) -> None:
        """Calls that are up don't hold it: it is over as soon as the answered call has its ACK, and nobody is sent a BYE."""
        call = self.world.call(self.alice, self.bob)
        self.assertIsNotNone(call)
        done = self.drain.start()
        self.wait(1)
        self.assertNoResult(done)
        self.wait(3)
        self.successResultOf(done)
        self.assertEqual(self.bob.methods(), [])

    def test_limit(self) -> None:
        """With ``drain_calls`` it waits for calls as long as ``stop_seconds`` let it, and no longer; the calls aren't cut."""
        self.drain_settings(stop_seconds=10.0 + CLOSING_SECONDS, drain_calls=True)
        self.world.call(self.alice, self.bob)
        done = self.drain.start()
        self.wait(9)
        self.assertNoResult(done)
        self.wait(1.5)
        self.successResultOf(done)
        self.assertEqual(self.alice.methods() + self.bob.methods(), [])
        self.assertEqual(len(self.world.core.dialogs), 1)

    def test_hurry(self) -> None:
        """Told to stop once more, it waits no longer; once it is over, that changes nothing."""
        self.ring()
        done = self.drain.start()
        self.assertNoResult(done)
        self.drain.hurry()
        self.successResultOf(done)
        self.drain.hurry()
        self.assertEqual(self.drain._call, None)

    def test_answered(self) -> None:
        """A transaction that has its answer doesn't hold it, be it without the ACK: a caller who is gone holds no stop."""
        self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.assertEqual(self.alice.response("INVITE").status, 486)
        self.successResultOf(self.drain.start())

    def test_still_ringing(self) -> None:
        """Who still rings shortly before the end gets 503 with Retry-After, its phone CANCEL; all within ``stop_seconds``."""
        bob, invite = self.ring()
        done = self.drain.start()
        self.wait(5.0 - CLOSING_SECONDS - LAST_SECONDS - 2 * LOOK_SECONDS)
        self.assertEqual(self.alice.methods() + bob.methods(), [])
        self.wait(2 * LOOK_SECONDS)
        refusal = self.alice.response("INVITE")
        self.assertEqual((refusal.status, int(refusal.get("retry-after") or 0) in range(2, 11)), (503, True))
        cancel = bob.got("CANCEL")
        self.assertEqual(cancel.get("reason"), 'SIP;cause=503;text="Server stops"')
        bob.reply(cancel, 200)
        bob.reply(invite, 487)
        self.assertNoResult(done)
        self.wait(SETTLE_SECONDS + LOOK_SECONDS)
        self.successResultOf(done)
        self.assertEqual(len(self.world.core.dialogs), 0)

    def test_silent_phone(self) -> None:
        """A phone that answers no CANCEL holds it no longer than ``stop_seconds`` less what comes behind."""
        self.ring()
        done = self.drain.start()
        self.wait(5.0 - CLOSING_SECONDS - LOOK_SECONDS)
        self.assertNoResult(done)
        self.wait(LOOK_SECONDS)
        self.successResultOf(done)

    def test_at_once(self) -> None:
        """With ``drain_seconds = 0`` who rings gets 503, and that is all."""
        self.ring()
        self.drain_settings(drain_seconds=0.0)
        self.successResultOf(self.drain.start())
        self.assertEqual(self.alice.response("INVITE").status, 503)
