"""Ten thousand watchers of one presentity, a hundred of them dead."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import Subscription
from sipnode.sip import build
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message
from tests.presence.kit import User, world

WATCHERS, DEAD = 10_000, 100


class ManyTests(SynchronousTestCase):
    """A crowd."""

    def setUp(self) -> None:
        self.world = world()
        self.presence: Any = self.world.core.presence
        self.alice = User(self.world, "alice")
        self.crowd = self.world.phone("crowd")
        now = self.world.core.clock()
        for number in range(WATCHERS):
            self.presence.subscriptions.add(
                Subscription(
                    self.alice.aor, "mood", "", f"w{number}@example.test", f"t{number}", f"f{number}", f"c{number}",
                    f"sip:{self.alice.aor}",
                    f"sip:w{number}@example.test", self.crowd.contact.replace("crowd", f"w{number}"), now + 3600, 1,
                    local_contact="sip:192.0.2.1:5060", proved="{}:{}".format(*self.crowd.flow.remote),
                )
            )  # fmt: skip

    def notifies(self) -> list[SipRequest]:
        """NOTIFYs that have come, each number of a subscription once; the living have answered."""
        found = {}
        sent, self.crowd.flow.sent[:] = list(self.crowd.flow.sent), []
        for data in sent:
            request = parse_message(data)
            assert isinstance(request, SipRequest)
            if (request.call_id, request.cseq) not in found:
                found[request.call_id, request.cseq] = request
                if int(request.call_id[1:]) >= DEAD:
                    self.world.sink.received(build.response_to(request, 200).to_bytes(), self.crowd.flow)
        return list(found.values())

    def test_all_living_hear_and_nothing_waits(self) -> None:
        """A crowd is told in slices, between which others are served; the dead ones end, and cost the living nothing."""
        self.assertEqual(self.alice.publish(b"glad").status, 200)
        self.assertLess(len(self.crowd.flow.sent), 100, "all at once, while everybody else waits")
        other = User(self.world, "bob")
        self.assertEqual(other.subscribe("alice", 0).status, 200)
        self.assertEqual(other.notified().body, b"glad")
        self.world.advance(0)
        self.assertEqual(len(self.notifies()), WATCHERS)
        self.alice.publish(b"sad")
        self.world.advance(0)
        again = self.notifies()
        self.assertEqual(len([one for one in again if one.body.endswith(b"sad")]), WATCHERS - DEAD)
        self.world.advance(40)
        self.assertEqual(len(self.presence.subscriptions), WATCHERS - DEAD)
        self.notifies()
        self.world.advance(40)
        self.assertEqual(self.presence.notifier.waiting, 0)
