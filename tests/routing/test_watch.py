"""The routing script loaded by itself when its file has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.app import Server, build
from sipnode.errors import ConfigError
from sipnode.routing.versions import Versions
from sipnode.routing.watch import ScriptFile, ScriptWatch
from sipnode.settings import RoutingSettings, Settings
from sipnode.testing import World

SITE = """
from sipnode.routing import RoutingScript

class Site(RoutingScript):
    def address_complete(self, r):
        return r.reply({status})
"""


def logged(function: Callable[[], object]) -> list[str]:
    """The lines of the log of what a function does."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        function()
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [formatEvent(event) for event in events]


class WatchTests(SynchronousTestCase):
    """A file that somebody edits."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "routing.py"
        self.times = 1_700_000_000
        self.write(SITE.format(status=600))
        self.world = World()
        self.clock: Clock = self.world.clock
        self.file = ScriptFile("routing.Site", self.folder)
        self.versions = Versions(self.world.core, lambda: (self.file.load(), ()))
        self.watch = ScriptWatch(self.file, self.versions.reload, self.clock, 2.0)
        self.watch.startService()
        self.addCleanup(self.watch.stopService)
        self.alice = self.world.phone("alice")

    def write(self, text: str) -> None:
        """Write the file, at another time than before."""
        self.times += 1
        self.path.write_text(text, "utf-8")
        os.utime(self.path, (self.times, self.times))

    def answer(self) -> int:
        """The status that a request draws."""
        self.alice.send("MESSAGE", "sip:bob@example.test")
        return self.alice.statuses()[-1]

    def looks(self, count: int) -> None:
        """Let it look so many times."""
        self.clock.pump([2.0] * count)

    def test_change(self) -> None:
        """A change is a version of its own when two looks have seen it alike, and says so in the log; no change is none."""
        self.looks(5)
        self.assertEqual((self.versions.current.number, self.answer()), (1, 600))
        self.write(SITE.format(status=603))
        self.looks(1)
        self.assertEqual(self.answer(), 600)
        lines = logged(lambda: self.looks(1))
        self.assertEqual((self.versions.current.number, self.answer()), (2, 603))
        self.assertEqual(lines, [f"{self.path} has changed", "routing script sipnode_site_routing.Site is version 2"])
        self.looks(5)
        self.assertEqual(self.versions.current.number, 2)

    def test_still_written(self) -> None:
        """A file that is another one at each look isn't loaded yet."""
        for status in (601, 602, 603):
            self.write(SITE.format(status=status))
            self.looks(1)
        self.assertEqual(self.answer(), 600)
        self.looks(1)
        self.assertEqual((self.versions.current.number, self.answer()), (2, 603))

    def test_fault(self) -> None:
        """A file that can't be used is told once, with its line, and changes nothing; when it is right again it is loaded."""
        self.write("def broken(:\n")
        self.looks(1)
        lines = logged(lambda: self.looks(5))
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[1], rf"^the routing script isn't loaded, version 1 goes on: {self.path}:1: .*SyntaxError")
        self.assertEqual(self.answer(), 600)
        self.write(SITE.format(status=604))
        self.looks(2)
        self.assertEqual((self.versions.current.number, self.answer()), (2, 604))

    def test_gone(self) -> None:
        """A file that is gone is told once; it may come back."""
        text = self.path.read_text("utf-8")
        self.path.unlink()
        self.looks(1)
        self.assertEqual(len(logged(lambda: self.looks(5))), 2)
        self.assertEqual(self.answer(), 600)
        self.write(text.replace("600", "603"))
        self.looks(2)
        self.assertEqual(self.answer(), 603)

    def test_replaced(self) -> None:
        """Another file under the same name, with the same size and time, is a change too."""
        new = self.folder / "new.py"
        new.write_text(SITE.format(status=603), "utf-8")
        os.utime(new, (self.times, self.times))
        new.rename(self.path)
        self.looks(2)
        self.assertEqual(self.answer(), 603)

    def test_loaded_by_hand(self) -> None:
        """A change that somebody has loaded already isn't loaded again, and a rollback stays."""
        self.write(SITE.format(status=603))
        self.versions.reload()
        self.looks(3)
        self.assertEqual(self.versions.current.number, 2)
        self.versions.rollback()
        self.looks(3)
        self.assertEqual((self.versions.current.number, self.answer()), (1, 600))

    def test_it_goes_on(self) -> None:
        """Whatever a load raises, it looks again."""
        faults: list[Exception] = [RuntimeError("not expected"), ConfigError("expected")]

        def reload() -> Any:
            self.file.read = self.file.state()
            raise faults.pop()

        watch = ScriptWatch(self.file, reload, self.clock, 1.0)
        watch.startService()
        self.watch.stopService()
        for status in (603, 604):
            self.write(SITE.format(status=status))
            self.clock.pump([1.0] * 2)
        self.assertEqual(faults, [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        watch.stopService()
        self.write(SITE.format(status=605))
        self.clock.pump([1.0] * 5)

    def test_none(self) -> None:
        """The script of the package has no file to look at."""
        self.assertEqual((ScriptFile("", self.folder).path, ScriptFile("", self.folder).state()), (None, None))


class ServerTests(SynchronousTestCase):
    """The watch in a server that listens, as far as it is built."""

    def built(self, seconds: float) -> tuple[Server, MemoryReactorClock]:
        """A server with a script in its folder, not started."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "site.py").write_text(SITE.format(status=600), "utf-8")
        reactor = MemoryReactorClock()
        made = build(replace(Settings(), routing=RoutingSettings(script="site.Site", watch_seconds=seconds)), self.folder, reactor)
        assert isinstance(made, Server)
        return made, reactor

    def test_off(self) -> None:
        """By default nobody looks."""
        server, _ = self.built(RoutingSettings().watch_seconds)
        self.assertNotIn("script-watch", [service.name for service in server])

    def test_on(self) -> None:
        """What the file says is what routes, and the versions of the RPC know it."""
        server, reactor = self.built(3.0)
        watch = server.getServiceNamed("script-watch")
        watch.startService()
        self.addCleanup(watch.stopService)
        before = server.core.script
        (self.folder / "site.py").write_text(SITE.format(status=603) + "\n    marked = True\n", "utf-8")
        reactor.pump([3.0] * 2)
        self.assertIsNot(server.core.script, before)
        self.assertTrue(server.core.script.marked)
        self.assertEqual(server.getServiceNamed("rpc").parts.scripts.current.number, 2)
