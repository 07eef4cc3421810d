"""Tests of what the runners of ``tools/`` make of other programs' output."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import harness
import run_tests
import troubles


class SummaryTests(SynchronousTestCase):
    """One line for a run of trial."""

    def test_passed(self) -> None:
        """All that ran passed."""
        self.assertEqual(run_tests.summary("Ran 12 tests in 0.1s\n\nPASSED (successes=12)\n", False), (12, 0, 0))

    def test_failed(self) -> None:
        """Failures and errors are counted together."""
        output = "Ran 12 tests in 0.1s\n\nFAILED (failures=1, errors=2, successes=9)\n"
        self.assertEqual(run_tests.summary(output, False), (9, 3, 0))

    def test_skipped(self) -> None:
        """A skipped test is no passed one, and a failed one where everything is installed."""
        output = "Ran 12 tests in 0.1s\n\nPASSED (skips=2, successes=10)\n"
        self.assertEqual(run_tests.summary(output, False), (10, 0, 2))
        self.assertEqual(run_tests.summary(output, True), (10, 2, 0))

    def test_nothing_ran(self) -> None:
        """No test, or a trial that died before its summary, isn't a pass."""
        for output in ("", "Traceback …", "Ran 0 tests in 0.0s\n\nPASSED\n", "Ran 3 tests in 0.1s\n"):
            self.assertEqual(run_tests.summary(output, False), (0, 1, 0))

    def test_names(self) -> None:
        """Each test that failed is named once, in the order in which trial tells them."""
        line = "=" * 79
        output = f"{line}\n[FAIL]\nTraceback …\n1 != 2\n\ntests.live.test_x.CaseTests.test_a\n{line}\n[ERROR]\nTraceback …\n\n"
        output += "tests.live.test_x.CaseTests.test_a\ntests.sip.test_y.CaseTests.test_b\n" + "-" * 79 + "\nRan 3 tests in 0.1s\n"
        self.assertEqual(run_tests.failed_tests(output), ["tests.live.test_x.CaseTests.test_a", "tests.sip.test_y.CaseTests.test_b"])

    def test_slowest(self) -> None:
        """A test's time goes from the line before it to its own; quick ones aren't worth a line."""
        clock = run_tests.Clock(0.0)
        lines = ("tests.live.test_x\n", "  CaseTests\n", "    test_a ...  [OK]\n", "    test_b ... [FAIL]\n", "\n", "Ran 2 tests in 9s\n")
        for text, now in zip(lines, (1.0, 1.0, 7.5, 8.0, 9.0, 99.0), strict=True):
            clock.line(text, now)
        self.assertEqual(clock.slowest(), ["   7.5 s  tests.live.test_x.CaseTests.test_a"])

    def test_lanes(self) -> None:
        """Side by side the whole suite is run, each module once; a part is run as it was named."""
        *live, rest = run_tests.lanes(["tests"], harness.TOP)
        self.assertEqual(run_tests.lanes(["tests.sip"], harness.TOP), [["tests.sip"]])
        there = (harness.TOP / "tests").rglob("test_*.py")
        modules = {".".join(path.relative_to(harness.TOP).with_suffix("").parts) for path in there}
        names = [name for lane in (*live, rest) for name in lane]
        run = [module for module in modules for name in names if module == name or module.startswith(f"{name}.")]
        self.assertEqual(sorted(run), sorted(modules))
        self.assertEqual([name for name in rest if name.startswith("tests.live")], run_tests.COMPUTING)
        self.assertEqual(run_tests.lanes(["tests"], harness.TOP, alone=False), [sorted(sum(live, [])), rest])  # noqa: RUF017

    def test_count(self) -> None:
        """The last count of an output is the one that holds."""
        self.assertEqual(harness.count("1 passed, 2 failed\n…\n10 passed, 0 failed, 3 skipped in 5 s\n"), (10, 0))
        self.assertIsNone(harness.count("nothing"))


class TroubleTests(SynchronousTestCase):
    """The table of ``make troubles``."""

    def test_cells(self) -> None:
        """What changes from run to run is left out, what is too long is cut, what was said twice stands once, and nothing is said so."""
        lines = ["18ed01ae8dcef481-2: by (pid 77)", "18ed01ae8dcef481-3: by (pid 78)", "x" * 500]
        self.assertEqual(troubles.cell(lines)[2:], ["   CALL-ID: by (pid 4711)", "   " + "x" * (troubles.WIDE - 3) + "..."])
        self.assertEqual(troubles.cell([]), ["nothing"])

    def test_page(self) -> None:
        """The manual has all of them, where the next run writes them."""
        page = troubles.PAGE.read_text("utf-8")
        shown = page.partition(troubles.BEGIN)[2].partition(troubles.END)[0]
        for trouble in troubles.TROUBLES:
            self.assertIn(f".. list-table:: {trouble.title}\n", shown)
