"""The defence as an operator sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import LogPublisher, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.service import DefenceService
from sipnode.errors import ConfigError
from tests.defence.kit import HOSTILE, Stand


class ServiceTests(SynchronousTestCase):
    """Overload, bans, limits, log."""

    def setUp(self) -> None:
        self.stand = Stand()
        self.busy: dict[str, Callable[[], int]] = {}
        self.flows: list[Any] = []
        self.service = DefenceService(self.stand.guard, self.stand.clock, self.busy, lambda: self.flows)
        self.service.startService()
        self.events: list[dict[str, Any]] = []
        publisher: LogPublisher = globalLogPublisher
        publisher.addObserver(self.note)
        self.addCleanup(publisher.removeObserver, self.note)

    def note(self, event: Any) -> None:
        """An observer of the log."""
        if str(event.get("log_namespace")).startswith("sipnode.defence"):
            self.events.append(event)

    def test_overload(self) -> None:
        """While the reactor is late new calls are refused, each with a wait of its own; then no longer; one line for each."""
        for _ in range(6):
            self.stand.clock.advance(0.25 + 0.5)
        waits = {self.busy["overload"]() for _ in range(200)}
        self.assertTrue(waits <= set(range(1, 11)) and len(waits) > 3, waits)
        self.assertEqual(self.service.counts()["overloads"], 1)
        for _ in range(20):
            self.stand.clock.advance(0.25)
        self.assertEqual((self.busy, len(self.events)), ({}, 2))

    def test_stop(self) -> None:
        """Stopped, it looks no more and refuses nobody."""
        self.busy["overload"] = lambda: 1
        self.service.stopService()
        self.assertEqual((self.busy, self.stand.clock.getDelayedCalls()), ({}, []))

    def test_ban_cuts(self) -> None:
        """Who is shut out by hand loses its connections at once; others keep theirs."""
        self.flows = [self.stand.flow(transport="WS"), self.stand.flow("203.0.113.1", "TCP")]
        self.service.ban("203.0.113.64/28", 60, "a note")
        self.assertEqual([flow.closed for flow in self.flows], [True, False])
        self.assertEqual([(ban.key, ban.reason) for ban in self.service.bans()], [("203.0.113.64/28", "a note")])
        self.assertTrue(self.service.unban("203.0.113.64/28"))
        self.assertEqual(self.service.bans(), [])
        self.assertRaises(ConfigError, self.service.ban, HOSTILE, -1)

    def test_limits(self) -> None:
        """Shown by name, changed by name."""
        self.service.set_limit("rate", 77)
        self.assertEqual(self.service.limits()["rate"], 77.0)
        self.assertIsInstance(self.service.limits()["rate"], float)
        self.assertIn("127.0.0.0/8", self.service.trusted())
        self.service.trust("203.0.113.0/24")
        self.assertEqual(self.stand.send(5000), 5000)
        self.assertTrue(self.service.distrust("203.0.113.0/24"))

    def test_one_line_a_ban(self) -> None:
        """One line for each ban however much it sends; of thousands of bans a few lines, which say how many weren't said."""
        self.stand.send(20_000)
        self.assertEqual(len(self.events), 1)
        for number in range(1000):
            self.stand.guard.ban(f"10.0.{number >> 8}.{number & 255}", "flood")
        self.assertLess(len(self.events), 25)
        self.stand.clock.advance(1)
        self.stand.guard.ban("10.9.9.9", "flood")
        self.assertIn("others before", self.events[-1]["text"])
        self.assertEqual([self.service.counts()[name] for name in ("bans", "udp_bans")], [1001, 1])
