"""What is no good, summed up."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.summary import MOST_NAMED, PERIOD_SECONDS, HostileSummary
from sipnode.routing.core import MOST_FOREIGN
from sipnode.testing import World


class SummaryTests(SynchronousTestCase):
    """Lines of the log."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters: dict[str, float] = {}
        self.foreign: Counter[str] = Counter()
        self.lines: list[str] = []
        service = HostileSummary(self.clock, lambda: self.counters, foreign=self.foreign)
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)
        service.startService()
        self.addCleanup(service.stopService)

    def hear(self, event: Any) -> None:
        """An observer."""
        if "REGISTERs" in (event.get("log_format") or ""):
            self.lines.append(str(formatEvent(event)))

    def test_foreign_domains(self) -> None:
        """REGISTERs of domains that aren't ours are told once in ten seconds, the commonest by name, and then forgotten."""
        self.foreign.update({f"d{number}.test": number for number in range(1, MOST_NAMED + 2)})
        self.foreign["a\nb"] = 99
        self.clock.advance(PERIOD_SECONDS)
        (line,) = self.lines
        self.assertIn("none of [core] domains: a?b (99), d6.test (6)", line)
        self.assertEqual(line.count("test ("), MOST_NAMED - 1)
        self.clock.advance(PERIOD_SECONDS)
        self.assertEqual(len(self.lines), 1)

    def test_counted(self) -> None:
        """A REGISTER for another's domain is counted by domain, whoever sends it; so many domains and no more."""
        world = World()
        phone = world.phone("alice", domain="else.test")
        self.assertEqual(phone.register().status, 404)
        phone.send("REGISTER", "sip:other.test")
        self.assertEqual(phone.response("REGISTER").status, 403)
        self.assertEqual(world.core.foreign, Counter({"else.test": 1, "other.test": 1}))
        for number in range(1000):
            world.core.foreign_register(f"{number}.test")
        self.assertEqual(len(world.core.foreign), MOST_FOREIGN)
