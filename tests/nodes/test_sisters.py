"""Who is there and who has fallen silent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import NoRoute
from sipnode.fakes import FakeFlow
from sipnode.nodes.address import NodeAddress
from sipnode.nodes.sisters import MOST_SISTERS, SisterWatch
from sipnode.settings import NodeSettings
from sipnode.sip import build
from sipnode.sip.message import SipRequest

THERE = NodeAddress("192.0.2.2", 5060, "UDP")


class SisterTests(SynchronousTestCase):
    """A sister that is asked every second and lost after three questions."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[SipRequest] = []
        self.lost: list[NodeAddress] = []
        self.refused = False
        self.flow = FakeFlow(remote=("192.0.2.2", 5060))
        self.watch = SisterWatch(NodeSettings(id=1), self.clock, self.send, self.lost.append, "sip:node-1@example.test", b"secret" * 4)
        self.watch.startService()
        self.addCleanup(self.watch.stopService)
        self.watch.note(THERE, 1000.0)

    def send(self, address: NodeAddress, request: SipRequest) -> Deferred[Any]:
        """Keep what is sent, or refuse the connection."""
        if self.refused:
            return fail(NoRoute("refused"))
        request.prepend("via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
        self.sent.append(request)
        return succeed(self.flow)

    def answer(self, status: int = 200) -> bool:
        """The last question is answered."""
        return self.watch.answered(build.response_to(self.sent[-1], status, "", "t"), self.flow)

    def test_asked(self) -> None:
        """One that is new is asked at once, and then every second."""
        self.assertEqual((len(self.sent), self.sent[0].method, self.sent[0].uri), (1, "OPTIONS", "sip:192.0.2.2:5060"))
        self.clock.pump([1.0, 1.0])
        self.assertEqual(len(self.sent), 3)

    def test_any_answer_is_life(self) -> None:
        """Also a 503 is one."""
        for _ in range(10):
            self.clock.advance(1)
            self.assertTrue(self.answer(503))
        self.assertFalse(self.watch.is_down(THERE))

    def test_silent(self) -> None:
        """After three questions without an answer she is down, told once, and up with the next answer."""
        self.clock.pump([1.0, 1.0])
        self.assertFalse(self.watch.is_down(THERE))
        self.clock.pump([1.0, 1.0, 1.0])
        self.assertTrue(self.watch.is_down(THERE))
        self.assertEqual(self.lost, [THERE])
        self.answer()
        self.assertFalse(self.watch.is_down(THERE))

    def test_we_stood_still(self) -> None:
        """When our own reactor stood still for a minute nobody is down."""
        self.answer()
        self.clock.advance(60)
        self.assertFalse(self.watch.is_down(THERE))

    def test_refused(self) -> None:
        """Who takes no connection is down at the first question."""
        self.refused = True
        self.clock.advance(1)
        self.assertEqual(self.lost, [THERE])

    def test_forged(self) -> None:
        """An answer to a question that we didn't ask is no life."""
        forged = self.sent[-1].copy()
        forged.set("from", "<sip:node-1@example.test>;tag=0123456789abcdef")
        self.assertFalse(self.watch.answered(build.response_to(forged, 200, "", "t"), self.flow))
        self.assertFalse(self.watch.answered(build.response_to(build.request("OPTIONS", "sip:x", ()), 200, "", "t"), self.flow))
        self.clock.pump([1.0] * 3)
        self.assertTrue(self.watch.is_down(THERE))

    def test_answered_from_elsewhere(self) -> None:
        """An answer with everything right in it, but from another host or over a connection, is no life; another port is hers, too."""
        for flow in (FakeFlow(remote=("203.0.113.66", 5060)), FakeFlow("TCP", self.flow.remote)):
            self.assertFalse(self.watch.answered(build.response_to(self.sent[-1], 200, "", "t"), flow))
        self.assertTrue(self.watch.answered(build.response_to(self.sent[-1], 200, "", "t"), FakeFlow(remote=("192.0.2.2", 40000))))

    def test_expired(self) -> None:
        """When her last binding has expired she is forgotten."""
        self.clock.advance(1001)
        self.assertEqual(self.watch.sisters(), [])

    def test_bounded(self) -> None:
        """However many addresses a table names, no more than so many are asked."""
        for number in range(MOST_SISTERS + 10):
            self.watch.note(NodeAddress(f"node{number}", 5060, "UDP"), 1000.0)
        self.assertEqual(len(self.watch.sisters()), MOST_SISTERS)
