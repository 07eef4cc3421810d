"""What time does to a call: RFC 3261 §16.8, §17; RFC 4320; RFC 6026."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.settings import Settings, TransactionSettings
from sipnode.testing import World


class TimerTests(SynchronousTestCase):
    """Alice calls bob in virtual time."""

    def setUp(self) -> None:
        self.world = World(Settings(transaction=replace(TransactionSettings(), invite_timeout=60.0)))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.bob.take()

    def test_silence(self) -> None:
        """A phone that says nothing gets the INVITE with growing pauses; after 32 s the caller gets 408."""
        self.alice.send("INVITE", self.bob.aor)
        self.world.advance(31)
        self.assertEqual(self.bob.methods(), ["INVITE"] * 6)
        self.assertEqual(self.alice.statuses(), [100])
        self.world.advance(2)
        self.assertEqual(self.alice.statuses()[:1], [408])

    def test_timer_c(self) -> None:
        """A phone that only rings is cancelled when timer C fires, and the caller gets 408, not the phone's 487."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.alice.take()
        self.world.advance(59)
        self.assertEqual(self.bob.inbox, [])
        self.world.advance(2)
        self.bob.got("CANCEL")
        self.bob.reply(received, 487)
        self.assertEqual(self.alice.statuses(), [408])

    def test_timer_c_is_set_anew(self) -> None:
        """Each provisional response lets the phone ring as long again."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        for _ in range(4):
            self.bob.reply(received, 180)
            self.world.advance(50)
        self.assertEqual(self.bob.inbox, [])

    def test_timer_c_without_487(self) -> None:
        """Where the phone doesn't answer the CANCEL either, the caller gets 408 after 32 s more."""
        self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 180)
        self.world.advance(61)
        self.alice.take()
        self.world.advance(33)
        self.assertEqual(self.alice.statuses()[:1], [408])

    def test_timer_c_and_the_other_phone(self) -> None:
        """Timer C of one phone doesn't end the ringing of another that rings anew."""
        other = self.world.phone("bob")
        other.register()
        self.alice.send("INVITE", self.bob.aor)
        first, second = self.bob.got("INVITE"), other.got("INVITE")
        self.bob.reply(first, 180)
        other.reply(second, 180)
        self.world.advance(40)
        other.reply(second, 180)
        self.world.advance(30)
        self.bob.reply(first, 487)
        other.reply(second, 200)
        self.assertEqual(self.alice.statuses(), [100, 180, 180, 180, 200])

    def test_no_408_for_non_invite(self) -> None:
        """A MESSAGE that nobody answers isn't answered here either (RFC 4320), and nothing is left of it."""
        self.alice.send("MESSAGE", self.bob.aor, body=b"hi", content_type="text/plain")
        self.world.advance(40)
        self.assertEqual(self.alice.inbox, [])
        self.assertEqual(len(self.world.core.transactions), 0)

    def test_nothing_is_left(self) -> None:
        """After a call and all its timers no transaction, no timer and no call is left."""
        call = self.world.call(self.alice, self.bob)
        call.from_callee("BYE")
        self.alice.reply(self.alice.got("BYE"), 200)
        self.world.advance(70)
        self.assertEqual(len(self.world.core.transactions), 0)
        self.assertEqual(self.world.core.transactions.next_wake(), 0)
        self.assertEqual(len(self.world.core.dialogs), 0)

    def test_late_2xx_after_the_transaction(self) -> None:
        """A 200 that is repeated after timer M still finds its way back by its Via."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 200)
        self.world.advance(40)
        self.alice.take()
        self.bob.reply(received, 200)
        self.assertEqual(self.alice.statuses(), [200])

    def test_late_failure_goes_nowhere(self) -> None:
        """A late 486 or 200 of a MESSAGE is dropped; so is a 2xx whose topmost Via isn't ours."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 486)
        self.world.advance(80)
        self.alice.take()
        self.bob.reply(received, 486)
        foreign = received.copy()
        foreign.replace_at(foreign.index()["via"], "SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKx")
        self.bob.reply(foreign, 200)
        self.assertEqual(self.alice.inbox, [])

    def test_487_is_repeated_until_ack(self) -> None:
        """Over UDP a failure is sent again until its ACK comes (timer G)."""
        invite = self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        answer = self.alice.response("INVITE")
        self.world.advance(2)
        self.assertEqual(self.alice.statuses(), [486, 486])
        self.alice.ack(invite, answer)
        self.world.advance(20)
        self.assertEqual(self.alice.inbox, [])

    def test_overload(self) -> None:
        """Over the limit of transactions a new request gets 503 with Retry-After."""
        self.world.core.transactions.limit = 1
        self.alice.send("INVITE", self.bob.aor)
        self.alice.take()
        self.alice.send("INVITE", self.bob.aor)
        answer = self.alice.response("INVITE")
        self.assertEqual((answer.status, answer.get("retry-after")), (503, "5"))
