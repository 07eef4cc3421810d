"""The steps of a call that failed: read from its record, they are those that would have been noted without one."""

from __future__ import annotations

from sipnode.errors import MediaError
from sipnode.insight.ring import Record
from sipnode.observe.callhistory import CallHistory
from sipnode.observe.steps import Steps
from sipnode.records import Hop
from sipnode.testing import DOMAIN
from tests.insight.kit import SDP, RecordedCase
from tests.observe.test_callhistory import Lines


class LifeTests(RecordedCase):
    """A world whose calls are recorded, and whose steps are noted beside."""

    def setUp(self) -> None:
        super().setUp()
        self.noted = CallHistory(self.world.clock, "failed", self.world.core.tap)

    def same(self, call_id: str, *words: str) -> None:
        """Both know the same of a call, and these words are in it."""
        read = [(step.room, step.text) for step in self.insight.life(call_id)]
        self.assertEqual(read, [(step.room, step.text) for step in self.noted.history(call_id)])
        for word in words:
            self.assertIn(word, str(read))

    def test_refused(self) -> None:
        """A callee who refuses, and one that rings first."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.bob.reply(received, 486)
        self.same(invite.call_id, "INVITE sip:bob@example.test from udp:", "180 Ringing", "486 Busy Here", "branch 0", "offer taken by")

    def test_not_found(self) -> None:
        """Somebody who isn't there."""
        self.same(self.alice.send("INVITE", f"sip:carol@{DOMAIN}", (), SDP).call_id, "404 to INVITE", "decided by location")

    def test_relay(self) -> None:
        """A media relay that refuses."""
        assert self.relay is not None
        self.relay.error = MediaError("Ran out of ports", 503)
        self.same(self.alice.send("INVITE", self.bob.aor, (), SDP).call_id, "offer failed: media relay, Ran out of ports")

    def test_repeats(self) -> None:
        """What comes once more is no step; nor is what a phone says to a silent one."""
        self.world.resolver.names["peer.test"] = [Hop("UDP", "203.0.113.5", 5060)]
        invite = self.alice.send("INVITE", "sip:dave@peer.test", (), SDP)
        self.alice.send_again(invite)
        self.world.advance(40)
        self.same(invite.call_id, "branch 0 counts as 408", "peer.test is at")

    def test_cancelled(self) -> None:
        """A caller who gives up."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        received = self.bob.got("INVITE")
        self.alice.cancel(invite)
        self.bob.reply(received, 487)
        self.same(invite.call_id, "CANCEL sip:bob@example.test", "487")

    def test_log(self) -> None:
        """The log has the life of a call that failed from its record, and nobody notes it a second time, whatever a reload says."""
        calls = CallHistory(self.world.clock, "failed", self.world.core.tap)
        calls.recorded_by(self.insight)
        self.world.core.tap.unsubscribe(self.noted._watcher or self.recorder)
        calls.log = said = Lines(calls.write_settled)
        calls.set_mode("failed")
        self.assertFalse([each for each in self.world.core.tap.watchers if isinstance(each, Steps)])
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 500)
        self.assertTrue(any("500 Server Internal Error to INVITE" in line for line in said.lines), said.lines)
        self.assertEqual((calls.last(), calls.steps.calls), ([invite.call_id], {}))
        calls.set_mode("all")
        self.assertTrue([each for each in self.world.core.tap.watchers if isinstance(each, Steps)])

    def test_onlooker_that_fails(self) -> None:
        """Whoever is told of events and raises costs no message, and is counted."""

        def told(record: Record) -> None:
            raise ValueError(record.call_id)

        self.recorder.told = told
        self.world.call(self.alice, self.bob, SDP, SDP)
        self.assertGreater(self.recorder.untold, 10)
