"""Tests of the pings."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import FlowClosed
from sipnode.fakes import FakeFlow
from sipnode.nat.keepalive import KeepaliveService
from sipnode.records import Binding, BindingFlag
from sipnode.settings import NatSettings
from sipnode.sip import build
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message

NATTED = int(BindingFlag.NATB | BindingFlag.NATSIPPING)


class KeepaliveTests(SynchronousTestCase):
    """KeepaliveService."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, Binding, SipRequest]] = []
        self.removed: list[str] = []
        self.service = self.make()
        self.flow = FakeFlow(remote=("192.0.2.50", 5060))

    def make(self, secret: bytes = b"k" * 40, **fields: Any) -> KeepaliveService:
        service = KeepaliveService(
            NatSettings(**{"natping_interval": 30.0, "keepalive_timeout": 90.0, **fields}),
            self.clock,
            lambda binding, request: self.sent.append((self.clock.seconds(), binding, request)),
            lambda binding: self.removed.append(binding.ruid),
            "sip:keepalive@example.com",
            secret,
        )
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        return service

    def binding(self, ruid: str = "uloc-1", cflags: int = NATTED, **fields: Any) -> Binding:
        return Binding("a@example.com", f"sip:{ruid}@10.0.0.1", 1e9, ruid, cflags=cflags, **{"received": "sip:192.0.2.50:5060", **fields})

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def answer(self, request: SipRequest, status: int = 200) -> SipResponse:
        copy = request.copy()
        copy.prepend("via", "SIP/2.0/UDP 192.0.2.100;branch=z9hG4bKp")
        response = parse_message(build.response_to(copy, status, to_tag="t").to_bytes())
        assert isinstance(response, SipResponse)
        return response

    def answers_once(self, *ruids: str) -> None:
        """The first ping of each of these is answered, 30 seconds after its REGISTER; then none is."""
        self.run_for(30.5)
        for _, binding, request in list(self.sent):
            if binding.ruid in ruids:
                self.assertTrue(self.service.answered(self.answer(request), self.flow))

    def test_ping(self) -> None:
        """A natted UDP binding gets an OPTIONS each interval, beginning one interval after it registered."""
        self.service.changed("registered", self.binding())
        self.run_for(65)
        self.assertEqual([at for at, _, _ in self.sent], [30, 60])
        request = self.sent[0][2]
        self.assertEqual((request.method, request.uri, request.get("to")), ("OPTIONS", "sip:uloc-1@10.0.0.1", "<sip:uloc-1@10.0.0.1>"))
        self.assertLess(self.sent[0][2].cseq, self.sent[1][2].cseq)

    def test_others(self) -> None:
        """Bindings that aren't natted, or live on a connection, get none."""
        self.service.changed("registered", self.binding("r1", cflags=0))
        self.service.changed("registered", self.binding("r2", cflags=int(BindingFlag.NATB)))
        self.service.changed("registered", self.binding("r3", connection_id="tok"))
        self.run_for(61)
        self.assertEqual((self.sent, len(self.service)), ([], 0))

    def test_gone(self) -> None:
        """A binding that is gone, for any reason, or natted no more, gets no more."""
        for kind in ("unregistered", "expired", "closed", "removed"):
            self.service.changed("registered", self.binding())
            self.service.changed(kind, self.binding())
            self.assertEqual(len(self.service), 0)
        self.service.changed("registered", self.binding())
        self.service.changed("refreshed", self.binding(cflags=0))
        self.assertEqual(len(self.service), 0)

    def test_silent(self) -> None:
        """A binding that has answered, and then none of the pings of its time, is removed, once."""
        self.service.changed("registered", self.binding())
        self.answers_once("uloc-1")
        self.run_for(119)
        self.assertEqual((len(self.sent), self.removed), (4, []))
        self.run_for(60)
        self.assertEqual((len(self.sent), self.removed, len(self.service)), (4, ["uloc-1"], 0))

    def test_never_answered(self) -> None:
        """A phone that answers no OPTIONS at all keeps its binding, and its pings, until it expires."""
        self.service.changed("registered", self.binding())
        self.run_for(610)
        self.assertEqual((len(self.sent), self.removed), (20, []))

    def test_answered(self) -> None:
        """A binding that answers, with whatever status, stays."""
        self.service.changed("registered", self.binding())
        for status in (200, 404, 405, 483, 501):
            self.run_for(30)
            self.assertTrue(self.service.answered(self.answer(self.sent[-1][2], status), self.flow))
        self.run_for(119)
        self.assertEqual(self.removed, [])

    def test_answered_from_elsewhere(self) -> None:
        """Whoever knows a ping (it passed by) can't answer it from another host or over a connection; another port of the phone can."""
        self.service.changed("registered", self.binding())
        self.answers_once("uloc-1")
        for _ in range(3):
            self.run_for(30)
            for flow in (FakeFlow(remote=("203.0.113.66", 5060)), FakeFlow("TCP", self.flow.remote)):
                self.assertFalse(self.service.answered(self.answer(self.sent[-1][2]), flow))
                self.assertEqual(flow.proved, flow.reliable)
        self.run_for(31)
        self.assertEqual(self.removed, ["uloc-1"])
        self.service.changed("registered", self.binding())
        self.run_for(31)
        other = FakeFlow(remote=(self.flow.remote[0], 40000))
        self.assertTrue(self.service.answered(self.answer(self.sent[-1][2]), other))
        self.assertTrue(other.proved)

    def test_provisional(self) -> None:
        """A 100 is a ping's answer but no sign of life of the phone."""
        self.service.changed("registered", self.binding())
        self.answers_once("uloc-1")
        self.run_for(90)
        self.assertTrue(self.service.answered(self.answer(self.sent[-1][2], 100), self.flow))
        self.run_for(31)
        self.assertEqual(self.removed, ["uloc-1"])

    def test_refresh_is_life(self) -> None:
        """A REGISTER counts as an answer, and pings go to the newest contact."""
        self.service.changed("registered", self.binding())
        self.answers_once("uloc-1")
        self.run_for(100)
        newest = self.binding(received="sip:192.0.2.1:9")
        self.service.changed("refreshed", newest)
        self.run_for(40)
        self.assertEqual(self.removed, [])
        self.assertIs(self.sent[-1][1], newest)

    def test_never_removed(self) -> None:
        """With keepalive_timeout 0 nobody is removed."""
        self.service = self.make(keepalive_timeout=0.0)
        self.service.changed("registered", self.binding())
        self.run_for(300)
        self.assertEqual((len(self.sent), self.removed), (10, []))

    def test_off(self) -> None:
        """With natping_interval 0 nothing runs and nothing is kept."""
        service = self.make(natping_interval=0.0)
        service.changed("registered", self.binding())
        self.assertEqual(len(service), 0)
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_spread(self) -> None:
        """A crowd that came at once is spread over half an interval, and nobody is left out."""
        for number in range(1200):
            self.service.changed("registered", self.binding(f"r{number}"))
        self.run_for(30)
        self.assertLessEqual(len(self.sent), 21)
        self.run_for(15)
        self.assertEqual(len({b.ruid for _, b, _ in self.sent}), 1200)

    def test_standstill(self) -> None:
        """A server that stood still for an hour doesn't take the silence for the phones'."""
        self.service.changed("registered", self.binding())
        self.answers_once("uloc-1")
        self.run_for(30)
        self.clock.advance(3600)
        self.run_for(31)
        self.assertEqual(self.removed, [])

    def test_send_fails(self) -> None:
        """A ping that can't be sent is a ping without an answer, and doesn't stop the others."""
        down: list[str] = []

        def send(binding: Binding, request: SipRequest) -> None:
            if binding.ruid in down:
                raise FlowClosed
            self.sent.append((0, binding, request))

        self.service._send = send
        self.service.changed("registered", self.binding("bad"))
        self.service.changed("registered", self.binding("good"))
        self.answers_once("bad", "good")
        down.append("bad")
        self.sent.clear()
        self.run_for(31)
        self.assertEqual([b.ruid for _, b, _ in self.sent], ["good"])
        self.run_for(95)
        self.assertIn("bad", self.removed)

    def test_foreign_responses(self) -> None:
        """Other responses are left to others, and nobody can answer for another's phone."""
        self.service.changed("registered", self.binding("r1"))
        self.service.changed("registered", self.binding("r2"))
        self.answers_once("r1", "r2")
        self.run_for(91)
        mine = self.sent[-2][2]
        forged = mine.copy()
        forged.set("call-id", (mine.get("call-id") or "").replace("r1", "r2"))
        self.assertFalse(self.service.answered(self.answer(forged), self.flow))
        other = mine.copy()
        other.set("call-id", "something@else")
        self.assertFalse(self.service.answered(self.answer(other), self.flow))
        broken = mine.copy()
        broken.set("from", "<sip:a@b>;tag=\udcff")
        self.assertFalse(self.service.answered(self.answer(broken), self.flow))
        broken = self.answer(mine)
        broken.set("from", "<sip:a@b")
        self.assertFalse(self.service.answered(broken, self.flow))
        broken.remove("call-id")
        self.assertFalse(self.service.answered(broken, self.flow))
        self.assertFalse(self.make(b"another secret").answered(self.answer(mine), self.flow))
        self.assertTrue(self.service.answered(self.answer(mine), self.flow))
        self.run_for(31)
        self.assertEqual(self.removed, ["r2"])

    def test_answer_of_a_gone_binding(self) -> None:
        """A late answer for a binding that is gone is ours and changes nothing."""
        self.service.changed("registered", self.binding())
        self.run_for(31)
        self.service.changed("expired", self.binding())
        self.assertTrue(self.service.answered(self.answer(self.sent[0][2]), self.flow))
        self.assertEqual(len(self.service), 0)

    def test_stop(self) -> None:
        """A stop leaves nothing in the reactor."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
