"""A line that blocks the server is named while it blocks."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.stall import StallWatch

SITE = """
def sipout(wait):
    wait()
"""


class StallTests(SynchronousTestCase):
    """With a thread, and without one."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.told = threading.Event()
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)

    def hear(self, event: dict[str, Any]) -> None:
        """Of the log."""
        if "stood still" in str(event.get("log_format")) or "goes on" in str(event.get("log_format")):
            self.events.append(event)
            self.told.set()

    def test_line(self) -> None:
        """The line of the site's script, and what it waits in; once, and when it is over."""
        module: dict[str, Any] = {"__name__": "sipnode_site_routing"}
        exec(compile(SITE, "/etc/sipnode/routing.py", "exec"), module)
        clock, now = Clock(), [100.0]
        watch = StallWatch(clock, seconds=lambda: now[0], look=0.01)

        def wait() -> None:
            # From here on the reactor has stood still, however long it took to come here.
            now[0] += 60
            self.told.wait(30)

        watch.startService()
        module["sipout"](wait)
        watch.stopService()
        where = self.events[0]["where"]
        self.assertTrue(where.startswith("/etc/sipnode/routing.py:3 in sipout, waiting in "), where)
        self.assertEqual(len(self.events), 1)
        clock.advance(1)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_once(self) -> None:
        """A stall is told once, and its end; a reactor that turns is never told of."""
        clock, now = Clock(), [100.0]
        watch = StallWatch(clock, seconds=lambda: now[0], look=3600.0)
        watch.startService()
        self.addCleanup(watch.stopService)
        for later, expected in ((4.9, 0), (0.2, 1), (60.0, 1)):
            now[0] += later
            watch.look()
            self.assertEqual(len(self.events), expected)
        clock.advance(3600)
        self.assertAlmostEqual(self.events[1]["seconds"], 65.1)
        watch.look()
        self.assertEqual(len(self.events), 2)
