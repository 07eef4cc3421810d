"""Tests of `sipnode.media.interfaces`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.fakes import FakeFlow
from sipnode.media import interfaces as module
from sipnode.media.interfaces import Interfaces


class InterfaceTests(SynchronousTestCase):
    """Who talks to which interface."""

    def test_first_that_fits(self) -> None:
        """By transport, address and network, the first line that fits; without one the daemon decides."""
        rules = Interfaces(["trunk 192.0.2.7", "external ws wss 2001:db8::/32", "internal 192.0.2.0/24"])
        places = ("UDP", "192.0.2.7"), ("WSS", "10.0.0.1"), ("TLS", "2001:db8::1"), ("UDP", "192.0.2.8"), ("UDP", "10.0.0.1")
        ends = [FakeFlow(transport, (host, 5060)) for transport, host in places]
        for _ in range(2):
            self.assertEqual([rules.of(end) for end in ends], ["trunk", "external", "external", "internal", ""])
        self.assertEqual(rules.between(ends[1], ends[0]), ("external", "trunk"))
        self.assertEqual(rules.between(ends[1], ends[4]), ())
        self.assertEqual((Interfaces([]).between(ends[0], ends[1]), bool(rules)), ((), True))
        self.assertEqual(Interfaces(["one all"]).of(ends[4]), "one")

    def test_nonsense(self) -> None:
        """A line that can't be stops the start, and names the setting."""
        for line in ("", "external", "ex/ternal ws", "external quic", "external 192.0.2.1/24", "a b c"):
            with self.assertRaises(ConfigError, msg=line) as caught:
                Interfaces([line])
            self.assertEqual(caught.exception.key, "media.interfaces")

    def test_bounded(self) -> None:
        """However many addresses come, what is remembered of them is bounded."""
        self.patch(module, "_MOST_CACHED", 4)
        rules = Interfaces(["one all"])
        for port in range(20):
            rules.of(FakeFlow("UDP", (f"192.0.2.{port}", 5060)))
        self.assertLessEqual(len(rules._cached), 4)
