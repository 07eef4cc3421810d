"""A media node is lost while calls are up: what moves goes on, the rest ends with words."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.dialog import medialost
from sipnode.dialog.medialost import MediaLost
from sipnode.records import MediaKey, MediaProfile
from sipnode.settings import Settings
from sipnode.testing import Call, RecordingMediaRelay, World
from tests.flows.test_media import OTHER, SDP


class MovingRelay(RecordingMediaRelay):
    """Takes each offer at :attr:`node`."""

    node = "n0"

    def choose(self, call_id: str) -> str:
        return self.node

    def offer(self, key: MediaKey, sdp: bytes, profile: MediaProfile) -> Deferred[bytes]:
        key.node = self.node
        return super().offer(key, sdp, profile)


class LostTests(SynchronousTestCase):
    """Alice and bob, phones."""

    def setUp(self) -> None:
        self.relay = MovingRelay()
        self.world = World(Settings(), media=self.relay)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.alice.register()
        self.bob.register()
        core = self.world.core
        self.ended: list[Any] = []
        core.dialogs.on_change(lambda _, call: self.ended.append(call), "terminated")
        self.lost = MediaLost(core, core.dialogs, self.world.clock)
        self.still = True

    def lose(self, name: str = "n0") -> None:
        self.lost.lost(name, "192.0.2.1:2223", lambda: self.still)

    def up(self) -> Call:
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.relay.log.clear()
        return call

    def test_ended(self) -> None:
        """Both ends get BYE with the reason, and the call counts as lost."""
        self.up()
        self.lose()
        for phone in (self.alice, self.bob):
            bye = phone.got("BYE")
            self.assertEqual(bye.get("reason"), 'SIP;cause=503;text="Media relay lost"')
            phone.reply(bye, 200)
        (call,) = self.ended
        self.assertEqual((call.outcome, len(self.world.core.dialogs), self.relay.operations), ("lost", 0, ["delete"]))
        self.assertEqual(len(self.world.core.media_control.held), 0)

    def test_of_another_node(self) -> None:
        """The calls of another node go on."""
        self.up()
        self.lose("n1")
        self.assertEqual((self.alice.inbox, self.bob.inbox, self.ended), ([], [], []))

    def test_ringing(self) -> None:
        """One that still rings is left to its answer, which the relay takes or refuses."""
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.bob.got("INVITE")
        self.lose()
        self.assertEqual((self.bob.inbox, self.ended), ([], []))

    def test_moved(self) -> None:
        """A call that an end made a new offer in is at another node, and goes on; it ends with that one."""
        call = self.up()
        self.relay.node = "n1"
        self.alice.within("INVITE", call.invite, call.answer, True, SDP)
        again = self.bob.got("INVITE")
        self.bob.reply(again, 200, OTHER)
        self.alice.take()
        self.lose()
        self.assertEqual((self.bob.inbox, self.ended), ([], []))
        self.lose("n1")
        self.assertEqual(len(self.ended), 1)

    def test_others_are_moved(self) -> None:
        """While calls wait to be moved, or are being moved, none is ended; afterwards those are that are there still."""
        self.up()
        busy = [True]
        core = self.world.core
        MediaLost(core, core.dialogs, self.world.clock, lambda: busy[0]).lost("n0", "192.0.2.1:2223", lambda: self.still)
        self.world.advance(5)
        self.assertEqual(self.ended, [])
        busy[0] = False
        self.world.advance(1)
        self.assertEqual(len(self.ended), 1)

    def test_many(self) -> None:
        """Many calls end in portions; when the node answers again the rest goes on."""
        count = 2 * medialost.AT_ONCE + 1
        for _ in range(count):
            self.up()
        self.lose()
        self.assertEqual(len(self.ended), medialost.AT_ONCE)
        self.world.advance(medialost.PAUSE)
        self.assertEqual(len(self.ended), 2 * medialost.AT_ONCE)
        self.still = False
        self.world.advance(1)
        self.assertEqual(len(self.world.core.dialogs), 1)
