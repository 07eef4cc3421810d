"""``make test``: runs trial, live tests beside the others, keeps its output as it is, and ends with one line, ``N passed, N failed``.

A skipped test is named; with CI in the environment, where every part is installed, it counts as failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness import TOP, WORK

_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
COMPUTING = ["tests.live.test_image"]
"""Live tests that keep a processor busy and wait for nobody."""
_SHOWN = 10
"""Tests whose time is told at the end."""
_SLOW = 5.0
"""Seconds from which a test is worth naming."""
_TEST = re.compile(r"^( *)(\S+)(?: \.\.\..*)?$")
_TOLD = re.compile(r"^tests[\w.]*\.[A-Z]\w*\.test_\w+$", re.M)
_PART = re.compile(r"(failures|errors|skips|expectedFailures|unexpectedSuccesses|successes)=(\d+)")


def summary(output: str, strict: bool) -> tuple[int, int, int]:
    """(passed, failed, skipped) of trial's output; one failed where it has no summary or ran nothing."""
    ran = _RAN.findall(output)
    verdict = [line for line in output.splitlines() if line.startswith(("PASSED", "FAILED"))]
    if not ran or not verdict or int(ran[-1]) == 0:
        return 0, 1, 0
    parts = {name: int(number) for name, number in _PART.findall(verdict[-1])}
    bad = parts.get("failures", 0) + parts.get("errors", 0) + parts.get("unexpectedSuccesses", 0)
    skipped = parts.get("skips", 0)
    # A test may both fail and leave an error behind; what ran bounds what can have passed.
    passed = max(0, int(ran[-1]) - bad - skipped - parts.get("expectedFailures", 0))
    if verdict[-1].startswith("FAILED"):
        bad = max(bad, 1)
    return (passed, bad + skipped, 0) if strict else (passed, bad, skipped)


def failed_tests(output: str) -> list[str]:
    """The tests whose failures or errors trial tells at its end."""
    return list(dict.fromkeys(_TOLD.findall(output)))


class Clock:
    """Which test took how long, by when the line with its result came."""

    def __init__(self, now: float) -> None:
        self._before = now
        self._case = ["", ""]
        self.tests: list[tuple[float, str]] = []

    def line(self, text: str, now: float) -> None:
        """One line of trial's tree: a module, a class below it or a test below that."""
        found = _TEST.match(text.rstrip("\n"))
        if found is None:
            return
        depth = len(found[1]) // 2
        if depth < 2:
            self._case[depth] = found[2]
        elif " ..." in text:
            self.tests.append((now - self._before, ".".join((*self._case, found[2]))))
            self._before = now

    def slowest(self) -> list[str]:
        """``seconds name`` of the slowest, slowest first."""
        return [f"{seconds:6.1f} s  {name}" for seconds, name in sorted(self.tests, reverse=True)[:_SHOWN] if seconds >= _SLOW]


ALONE = ["unshare", "-n", "sh", "-c", 'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec "$@"', "sh"]
"""In a network namespace of its own: two programs that look for free ports at the same time find the same ones."""


def may_be_alone() -> bool:
    """Whether there can be one here; as another user there would be no PostgreSQL in it."""
    return os.geteuid() == 0 and not subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode


class Lane:
    """A trial of its own; lanes run side by side, as live tests mostly wait for others.

    Args:
        names: What it tests.
        top: Where trial runs.
        number: 0 for the one whose lines are printed as they come; those of the others are when :meth:`end` is asked.
        alone: It has a network of its own.
    """

    def __init__(self, names: list[str], top: Path, number: int, alone: bool) -> None:
        folder = WORK / ("trial" if not number else f"trial-{number}")
        command = [*(ALONE if alone else []), sys.executable, "-m", "twisted.trial", f"--temp-directory={folder}", *names]
        self._shown = not number
        self._clock = Clock(time.monotonic())
        self._trial = subprocess.Popen(command, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._lines: list[str] = []
        self.failed: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._trial.stdout is not None
        for line in self._trial.stdout:
            self._lines.append(line)
            self._clock.line(line, time.monotonic())
            if self._shown:
                print(line, end="", flush=True)

    def end(self, strict: bool) -> tuple[int, int, int]:
        """Wait for it; what :func:`summary` says of it."""
        self._reader.join()
        status = self._trial.wait()
        output = "".join(self._lines)
        if not self._shown:
            print(output, end="")
        passed, failed, skipped = summary(output, strict)
        self.failed = failed_tests(output)
        print(*self._clock.slowest(), sep="\n", flush=True)
        return passed, failed or int(status != 0), skipped


def lanes(names: list[str], top: Path, alone: bool = True) -> list[list[str]]:
    """What is tested side by side: of the whole suite all but the live tests, with those that only compute, and the live tests.

    Args:
        alone: The second half of the live tests has a network of its own; else all of them are in one lane.
    """
    if names != ["tests"]:
        return [names]
    live = [f"tests.live.{path.stem}" for path in sorted((top / "tests" / "live").glob("test_*.py"))]
    waiting = [name for name in live if name not in COMPUTING]
    rest = [
        f"tests.{path.stem}" for path in sorted((top / "tests").iterdir()) if (path / "__init__.py").exists() or path.match("test_*.py")
    ]
    live_lanes = [waiting[::2], waiting[1::2]] if alone else [waiting]
    return [*live_lanes, [name for name in rest if name != "tests.live"] + COMPUTING]


def main(names: list[str], top: Path = TOP) -> int:
    strict = bool(os.environ.get("CI"))
    WORK.mkdir(exist_ok=True)
    alone = may_be_alone()
    running = [Lane(lane, top, number, alone and number == 1) for number, lane in enumerate(lanes(names, top, alone))]
    passed, failed, skipped = map(sum, zip(*(lane.end(strict) for lane in running), strict=True))
    if skipped:
        print(f"{skipped} skipped, each with its reason above")
    if wrong := [name for lane in running for name in lane.failed]:
        print(f"not passed: {','.join(wrong)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["tests"]))
