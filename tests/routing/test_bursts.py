from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.interfaces import IMessageSink
from sipnode.routing.bursts import MOST, Bursts

REGISTER, INVITE = b"REGISTER sip:example.test SIP/2.0\r\n", b"INVITE sip:bob@example.test SIP/2.0\r\n"


class Flow:
    """As far as a burst looks at one."""

    def __init__(self, reliable: bool) -> None:
        self.reliable = reliable


class Inner:
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
        self.udp, self.tcp, self.other = Flow(False), Flow(True), Flow(True)
        self.bursts = self.make(0.02)
        self.bursts.startService()
        self.ends: list[int] = []
        self.bursts.after = lambda: self.ends.append(len(self.inner.said))

    def make(self, seconds: float) -> Bursts:
        return Bursts(self.inner, self.clock, seconds)

    def test_sink(self) -> None:
        """It is a sink as transports know it."""
        verifyObject(IMessageSink, self.bursts)

    def test_together(self) -> None:
        """What comes within the window is handled at its end, in order; then those who wait for that are told, once."""
        self.bursts.received(REGISTER + b"1", self.udp)
        self.clock.advance(0.015)
        self.bursts.received(REGISTER + b"2", self.tcp)
        self.assertEqual(self.inner.said, [])
        self.clock.advance(0.005)
        self.assertEqual(self.inner.said, [(REGISTER + b"1", self.udp), (REGISTER + b"2", self.tcp)])
        self.assertEqual((self.ends, self.clock.getDelayedCalls()), ([2], []))
        self.bursts.received(REGISTER + b"3", self.udp)
        self.clock.advance(0.02)
        self.assertEqual(self.ends, [2, 3])

    def test_others_at_once(self) -> None:
        """No other message waits, not even of the same UDP address."""
        self.bursts.received(REGISTER, self.udp)
        self.bursts.received(INVITE, self.udp)
        self.bursts.received(INVITE, self.tcp)
        self.assertEqual(self.inner.said, [(INVITE, self.udp), (INVITE, self.tcp)])

    def test_order_of_a_connection(self) -> None:
        """What follows a REGISTER on its connection, the connection's end too, comes after it."""
        for event, name in (
            (lambda: self.bursts.received(INVITE, self.tcp), INVITE),
            (lambda: self.bursts.broken(b"x", self.tcp, ValueError()), "broken"),
            (lambda: self.bursts.closed(self.tcp, "gone"), "closed"),
        ):
            self.bursts.received(REGISTER, self.tcp)
            self.bursts.closed(self.other, "gone")
            event()
            self.assertEqual(self.inner.said, [("closed", self.other), (REGISTER, self.tcp), (name, self.tcp)])
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.inner.said.clear()

    def test_bounded(self) -> None:
        """A flood of them isn't kept."""
        for _ in range(MOST):
            self.bursts.received(REGISTER, self.udp)
        self.assertEqual((len(self.inner.said), self.clock.getDelayedCalls()), (MOST, []))

    def test_none(self) -> None:
        """With no window, and before the start and after the stop, each is handled at once; the stop keeps nothing waiting."""
        never = self.make(0)
        never.startService()
        for bursts in (never, self.make(0.02)):
            bursts.received(REGISTER, self.udp)
        self.assertEqual(len(self.inner.said), 2)
        self.bursts.received(REGISTER, self.udp)
        self.bursts.stopService()
        self.bursts.received(REGISTER, self.udp)
        self.assertEqual((len(self.inner.said), self.clock.getDelayedCalls()), (4, []))
        self.bursts.opened(self.tcp)
        self.assertEqual(self.inner.said[-1], ("opened", self.tcp))
