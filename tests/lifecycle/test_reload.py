"""The configuration read anew."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.errors import ConfigError
from sipnode.lifecycle.reload import Reloader
from sipnode.settings import CoreSettings, LogSettings, Settings


class ReloadTests(SynchronousTestCase):
    """What can change does, what can't is named."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.write(Settings())
        self.reloader = Reloader(Settings(), str(self.file))
        self.seen: list[str] = []
        self.reloader.add("log", ("log.level",), lambda new, old: self.seen.append(new.log.level))

    def write(self, settings: Settings) -> None:
        """The file from now on."""
        self.file.write_text(config.render(settings))

    def test_change(self) -> None:
        """A part gets its new values; the settings in force are those."""
        self.write(Settings(log=LogSettings(level="warn")))
        report = self.reloader.reload()
        self.assertEqual((report.done, report.refused, report.restart), (["log"], [], []))
        self.assertEqual((self.seen, self.reloader.settings.log.level), (["warn"], "warn"))

    def test_restart(self) -> None:
        """What no part takes is named each time, until the file says again what is in force."""
        self.write(Settings(core=CoreSettings(server="other", max_forwards=10)))
        for _ in range(2):
            self.assertEqual(self.reloader.reload().restart, ["core.max_forwards", "core.server"])
        self.assertEqual(self.reloader.settings.core.server, "sipnode")
        self.write(Settings())
        self.assertEqual(self.reloader.reload().restart, [])

    def test_fault(self) -> None:
        """A file with a fault, or none, changes nothing; the fault has its line."""
        self.file.write_text('[log]\nlevel = "loud"\n')
        report = self.reloader.reload()
        self.assertIn(":2: log.level: has to be one of", report.refused[0])
        self.file.unlink()
        self.assertIn("no such file", self.reloader.reload().refused[0])
        self.assertEqual(self.seen, [])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_refusing_part(self) -> None:
        """A part that refuses keeps its own, and is asked again; the others get theirs."""

        def refuse(new: Settings, old: Settings) -> None:
            raise ConfigError("no", key="core.listen")

        self.reloader.add("sockets", ("core.listen",), refuse)
        self.write(Settings(core=CoreSettings(listen=("udp:127.0.0.1:5070",))))
        for _ in range(2):
            report = self.reloader.reload()
            self.assertRegex(report.refused[0], r"^sockets: .*:\d+: core.listen: no$")
            self.assertEqual((report.done, report.restart), (["log"], []))
        self.assertEqual(self.reloader.settings, Settings())

    def test_around(self) -> None:
        """The service manager hears of the beginning and the end, also of one that failed."""
        heard: list[bool] = []
        self.reloader.around = heard.append
        self.reloader.reload()
        self.file.unlink()
        self.reloader.reload()
        self.assertEqual(heard, [True, False] * 2)
