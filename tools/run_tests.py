"""``make test``: runs trial, keeps its output as it is, and ends with one line, ``N passed, N failed``.

A skipped test is named; with CI in the environment, where every part is installed, it counts as failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from harness import TOP, WORK

_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
_SHOWN = 10
"""Tests whose time is told at the end."""
_SLOW = 5.0
"""Seconds from which a test is worth naming."""
_TEST = re.compile(r"^( *)(\S+)(?: \.\.\..*)?$")
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


def main(names: list[str], top: Path = TOP) -> int:
    strict = bool(os.environ.get("CI"))
    WORK.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "twisted.trial", f"--temp-directory={WORK / 'trial'}", *names]
    trial = subprocess.Popen(command, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert trial.stdout is not None
    output = []
    clock = Clock(time.monotonic())
    for line in trial.stdout:
        output.append(line)
        clock.line(line, time.monotonic())
        print(line, end="", flush=True)
    status = trial.wait()
    passed, failed, skipped = summary("".join(output), strict)
    if status and not failed:
        failed = 1
    print(*clock.slowest(), sep="\n")
    if skipped:
        print(f"{skipped} skipped, each with its reason above")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["tests"]))
