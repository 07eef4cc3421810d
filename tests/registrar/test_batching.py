from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.base.flow import MessageSink
from sipnode.fakes import FakeFlow
from sipnode.interfaces import IMessageSink
from sipnode.registrar.batching import FEW, LOAD_SECONDS, MOST, REVIEW_SECONDS, Batching

REGISTER, INVITE = b"REGISTER sip:example.test SIP/2.0\r\n", b"INVITE sip:bob@example.test SIP/2.0\r\n"


class Inner(MessageSink):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def received(self, data: bytes, flow: Any) -> None:
        self.said.append((data, flow))

    def broken(self, data: bytes, flow: Any, error: Exception) -> None:
        self.said.append(("broken", flow))

    def opened(self, flow: Any) -> None:
        self.said.append(("opened", flow))

    def closed(self, flow: Any, reason: str) -> None:
        self.said.append(("closed", flow))


class BurstTests(SynchronousTestCase):
    """REGISTERs of a few milliseconds in one go."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = Inner()
        self.udp, self.tcp, self.other = FakeFlow(), FakeFlow("TCP", token="t1"), FakeFlow("TCP", token="t2")
        self.batching = self.make(0.02)
        self.batching.startService()
        self.ends: list[int] = []
        self.batching.after = lambda: self.ends.append(len(self.inner.said))

    def make(self, seconds: float) -> Batching:
        return Batching(self.inner, self.clock, seconds)

    def load(self) -> None:
        """So many have come that others are waited for; nothing waits yet."""
        for _ in range(FEW):
            self.batching.received(REGISTER, self.udp)
            self.clock.advance(0.005)
        for _ in range(FEW):
            self.batching.received(REGISTER, self.udp)
        self.assertTrue(self.batching.collecting)
        self.clock.advance(0.02)
        self.assertEqual((self.batching.collecting, len(self.inner.said)), (True, 2 * FEW))
        self.inner.said.clear()
        self.ends.clear()

    def test_sink(self) -> None:
        """It is a sink as transports know it."""
        verifyObject(IMessageSink, self.batching)

    def test_together(self) -> None:
        """Under load what comes within the window is handled at its end, in order; then those who wait for that are told, once."""
        self.load()
        self.batching.received(REGISTER + b"1", self.udp)
        self.clock.advance(0.015)
        self.batching.received(REGISTER + b"2", self.tcp)
        self.assertEqual(self.inner.said, [])
        self.clock.advance(0.005)
        self.assertEqual(self.inner.said, [(REGISTER + b"1", self.udp), (REGISTER + b"2", self.tcp)])
        self.assertEqual((self.ends, self.clock.getDelayedCalls()), ([2], []))

    def test_few_at_once(self) -> None:
        """On an idle server nobody waits for anybody, and each is told about by itself."""
        for number in range(100):
            self.batching.received(REGISTER, self.udp)
            self.assertEqual((len(self.inner.said), self.ends[-1]), (number + 1, number + 1))
            self.clock.advance(0.01)
        self.assertEqual((self.batching.collecting, self.clock.getDelayedCalls()), (False, []))

    def test_many_are_collected(self) -> None:
        """Where as many come while they are collected it goes on so, but for a look each while whether they would come faster."""
        waits = []
        for _ in range(int(LOAD_SECONDS * 1000)):
            self.batching.received(REGISTER, self.udp)
            waits.append(self.batching.collecting)
            self.clock.advance(0.001)
        self.assertGreater(sum(waits), 0.98 * len(waits))
        self.assertLess(sum(waits), len(waits))
        self.clock.advance(0.02)
        self.assertEqual((len(self.inner.said), self.clock.getDelayedCalls()), (len(waits), []))

    def test_one_after_the_other(self) -> None:
        """Who sends the next one when it has its answer isn't slowed down: but for one window a second it has each at once."""
        waited = 0
        for _ in range(2000):
            before = len(self.inner.said)
            self.batching.received(REGISTER, self.udp)
            while len(self.inner.said) == before:
                waited += 1
                self.clock.advance(0.001)
            self.clock.advance(0.001)
        self.assertLessEqual(waited, 20 * (2 / REVIEW_SECONDS + 1))

    def test_load_ends(self) -> None:
        """When few come any more nobody waits any more."""
        self.load()
        self.batching.received(REGISTER, self.udp)
        self.clock.advance(0.02)
        self.batching.received(REGISTER, self.udp)
        self.assertEqual((self.batching.collecting, len(self.inner.said)), (False, 2))

    def test_others_at_once(self) -> None:
        """No other message waits, not even of the same UDP address."""
        self.load()
        self.batching.received(REGISTER, self.udp)
        self.batching.received(INVITE, self.udp)
        self.batching.received(INVITE, self.tcp)
        self.assertEqual(self.inner.said, [(INVITE, self.udp), (INVITE, self.tcp)])

    def test_order_of_a_connection(self) -> None:
        """What follows a REGISTER on its connection, the connection's end too, comes after it."""
        self.load()
        for event, name in (
            (lambda: self.batching.received(INVITE, self.tcp), INVITE),
            (lambda: self.batching.broken(b"x", self.tcp, ValueError()), "broken"),
            (lambda: self.batching.closed(self.tcp, "gone"), "closed"),
        ):
            self.batching.received(REGISTER, self.tcp)
            self.batching.closed(self.other, "gone")
            event()
            self.assertEqual(self.inner.said, [("closed", self.other), (REGISTER, self.tcp), (name, self.tcp)])
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.inner.said.clear()

    def test_bounded(self) -> None:
        """A flood of them isn't kept."""
        self.load()
        for _ in range(MOST):
            self.batching.received(REGISTER, self.udp)
        self.assertEqual((len(self.inner.said), self.clock.getDelayedCalls()), (MOST, []))

    def test_none(self) -> None:
        """With no window, and before the start and after the stop, each is handled at once; the stop keeps nothing waiting."""
        never = self.make(0)
        never.startService()
        for batching in (never, self.make(0.02)):
            batching.received(REGISTER, self.udp)
        self.assertEqual(len(self.inner.said), 2)
        self.batching.received(REGISTER, self.udp)
        self.batching.stopService()
        self.batching.received(REGISTER, self.udp)
        self.assertEqual((len(self.inner.said), self.clock.getDelayedCalls()), (4, []))
        self.batching.opened(self.tcp)
        self.assertEqual(self.inner.said[-1], ("opened", self.tcp))
