"""``make attack``: every attack of a folder ``attack`` on servers that it starts from this checkout, with a use of them beside it.

The last line is ``N passed, N failed``. What each case printed stays in ``.work/attack``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from harness import TOP, WORK, count, fresh

NOTHING = "0 passed, 1 failed\n"
_FAILED = re.compile(r"^FAIL (a\d+)_", re.M)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=TOP.parent / "shared" / "cases" / "attack")
    parser.add_argument("--only", default="", help="comma-separated cases, as a05,a07")
    options = parser.parse_args()
    cases = options.cases.resolve()
    if not (cases / "run.py").exists():
        sys.exit(f"{cases} has no run.py")
    work = fresh(WORK / "attack")
    command = [sys.executable, "-B", cases / "run.py", "--clone", TOP, "-v", *(["--only", options.only] if options.only else [])]
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
    assert asked.stdout is not None
    said, verdict = [], NOTHING
    with (work / "said.log").open("w", encoding="utf-8") as log:
        for line in asked.stdout:
            log.write(line)
            if count(line) is not None:
                verdict = line
            elif line.startswith(("PASS", "FAIL", "SKIP")):
                said.append(line)
                print(line, end="", flush=True)
    status = asked.wait()
    if wrong := _FAILED.findall("".join(said)):
        print(f"not passed: {','.join(wrong)}")
    print(verdict, end="")
    return status if verdict != NOTHING else 1


if __name__ == "__main__":
    sys.exit(main())
