"""Histograms of what callers waited for, and of how calls sounded."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.timings import MOS_BOUNDS, SETUP_BOUNDS, Timings
from sipnode.testing import DOMAIN, World

from .kit import Readings, Watched


class TimingsTests(SynchronousTestCase):
    """Calls of a world whose clock is moved by hand."""

    def setUp(self) -> None:
        self.world = World()
        self.watched = Watched(self.world)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()

    def read(self, name: str, until: str) -> tuple[float | None, float | None]:
        """How many there are of a histogram, and their sum."""
        now: Readings = self.watched.read()
        return now(f"{name}_count", until=until), now(f"{name}_sum", until=until)

    def test_answered(self) -> None:
        """Two seconds until it rings, nine until it is answered: each in its histogram, when the call has ended."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.world.clock.advance(2)
        self.bob.reply(received, 180)
        self.world.clock.advance(4)
        self.bob.reply(received, 183)
        self.world.clock.advance(5)
        self.bob.reply(received, 200)
        self.assertEqual(self.read("sipnode_call_setup_seconds", "ringing")[0], 0)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.world.core.dialogs.end(invite.call_id)
        self.assertEqual(self.read("sipnode_call_setup_seconds", "ringing"), (1, 2))
        self.assertEqual(self.read("sipnode_call_ring_seconds", "answered"), (1, 9))
        self.assertEqual(self.read("sipnode_call_ring_seconds", "given up"), (0, 0))
        bucket = self.watched.read()("sipnode_call_setup_seconds_bucket", until="ringing", le="2.0")
        self.assertEqual(bucket, 1)

    def test_given_up(self) -> None:
        """A callee who refuses while it rings."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.clock.advance(7)
        self.bob.reply(received, 486)
        self.assertEqual(self.read("sipnode_call_ring_seconds", "given up"), (1, 7))
        self.assertEqual(self.read("sipnode_call_setup_seconds", "ringing"), (1, 0))

    def test_refused(self) -> None:
        """A refusal before it rang is one of the failed, as a user's who calls nobody is; a stranger's is none."""
        self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.world.clock.advance(3)
        self.bob.reply(received, 488)
        self.alice.send("INVITE", f"sip:nobody@{DOMAIN}")
        self.world.phone("eve", domain="elsewhere.test").send("INVITE", f"sip:nobody@{DOMAIN}")
        self.assertEqual(self.read("sipnode_call_setup_seconds", "refused"), (2, 3))

    def test_without_ringing(self) -> None:
        """A callee that answers at once never rang."""
        invite = self.alice.send("INVITE", self.bob.aor)
        received = self.bob.got("INVITE")
        self.world.clock.advance(1)
        self.bob.reply(received, 200)
        self.world.core.dialogs.end(invite.call_id)
        self.assertEqual(self.read("sipnode_call_setup_seconds", "ringing"), (1, 1))
        self.assertEqual(self.read("sipnode_call_ring_seconds", "answered"), (0, 0))

    def test_scores(self) -> None:
        """The worst score of a call counts; a reply without scores, or with nonsense, doesn't."""
        timings = Timings()
        for scores in ((43, 31), (), (0,)):
            timings.measured("call", self.reply(*scores))
        for nonsense in ({}, {b"tags": 5}, {b"SSRC": [1]}, {b"tags": {b"a": {b"medias": [{b"streams": [3]}]}}}):
            timings.measured("call", nonsense)
        self.assertEqual((sum(timings.scores.counts), timings.scores.total), (1, 3.1))
        self.assertEqual(timings.scores.counts[MOS_BOUNDS.index(3.1)], 1)
        self.assertEqual(sorted(SETUP_BOUNDS), list(SETUP_BOUNDS))

    def reply(self, *scores: int) -> dict[bytes, Any]:
        """What rtpengine says of a call with a leg for each score, in tenths."""
        tags, reports = {}, {}
        for number, score in enumerate(scores):
            stream = {b"flags": [b"RTP"], b"stats": {b"packets": 100}, b"SSRC": number + 1}
            tags[b"t%d" % number] = {b"medias": [{b"streams": [stream]}]}
            reports[b"%d" % (number + 1)] = {b"average MOS": {b"MOS": score}}
        return {b"tags": tags, b"SSRC": reports}
