"""``make test``: runs trial, keeps its output as it is, and ends with one line, ``N passed, N failed``.

A skipped test is named; with CI in the environment, where every part is installed, it counts as failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK

_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
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


def main(names: list[str], top: Path = TOP) -> int:
    strict = bool(os.environ.get("CI"))
    WORK.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "twisted.trial", f"--temp-directory={WORK / 'trial'}", *names]
    trial = subprocess.Popen(command, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert trial.stdout is not None
    output = []
    for line in trial.stdout:
        output.append(line)
        print(line, end="", flush=True)
    status = trial.wait()
    passed, failed, skipped = summary("".join(output), strict)
    if status and not failed:
        failed = 1
    if skipped:
        print(f"{skipped} skipped, each with its reason above")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["tests"]))
