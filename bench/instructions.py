"""``make instructions``: how many machine instructions a call and a REGISTER cost the server, and whether that has grown.

``bench/replay.py`` runs under ``valgrind --tool=callgrind``, which counts the work of the server alone. The figures hardly depend on
the machine and on what else it does (0.6 % at most), but on the interpreter: each has its own in ``bench/instructions.toml``, with the
reason of its last change. More than 3 % over it is a failure: make it cheaper again, or say why it is worth it with ``--accept REASON``,
which writes the file.

The last lines are ``instructions call N`` and so on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

TOP: Final = Path(__file__).resolve().parent.parent
FILE: Final = TOP / "bench" / "instructions.toml"
COMPILED: Final = TOP / "build" / "compiled"
SECTIONS: Final = ("call", "call_auth", "call_media", "call_recorded", "register", "register_auth")
MARK: Final = "_PyEval_CallTracing"
"""What ``sys.call_tracing`` is in C, by which the replay calls the server."""
IDLE: Final = "_idle"
"""Behind the name of a section: what the server does in the same time where nothing comes; it is taken off."""
GROWTH: Final = 0.03
"""More than this is a failure, and this much less is worth a new figure."""
HEAD: Final = """\
# Instructions of a transaction in bench/replay.py, by interpreter and build, and why each is no longer what it was before.
# Written by: .venv/bin/python bench/instructions.py --accept 'REASON'
"""


class Known(NamedTuple):
    """A figure of the file."""

    instructions: int
    reason: str


Figures = dict[str, dict[str, Known]]
"""By interpreter and build, then by section."""


def read_figures(text: str) -> Figures:
    """What the file says.

    Raises:
        ValueError: it isn't such a file, or a figure stands there without a reason.
    """
    found: Figures = {}
    for build, sections in tomllib.loads(text).items():
        found[build] = {name: Known(int(entry["instructions"]), str(entry["reason"])) for name, entry in sections.items()}
        unexplained = [name for name, known in found[build].items() if not known.reason.strip()]
        if unexplained:
            raise ValueError(f"{build}: {', '.join(unexplained)}: no reason is given")
    return found


def render(figures: Figures) -> str:
    """The file with these figures."""
    lines = [HEAD.rstrip()]
    for build, sections in sorted(figures.items()):
        lines += ["", f'["{build}"]']
        for name, known in sorted(sections.items()):
            reason = known.reason.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name} = {{ instructions = {known.instructions:_}, reason = "{reason}" }}')
    return "\n".join(lines) + "\n"


def accepted(known: Mapping[str, Known], counted: Mapping[str, int], reason: str) -> dict[str, Known]:
    """The figures of one build with those that have moved noticeably (1 %) replaced; the others keep theirs and their reason."""
    kept = dict(known)
    for name, now in counted.items():
        old = kept.get(name)
        if old is None or abs(now / old.instructions - 1) > 0.01:
            kept[name] = Known(now, reason)
    return kept


class Verdict(NamedTuple):
    """What is to be said about one section."""

    line: str
    grown: bool


def judge(name: str, now: int, known: Known | None) -> Verdict:
    """Compare a count with the file."""
    if known is None:
        return Verdict(f"{name:14} {now:>12,}   no figure for this interpreter", False)
    change = now / known.instructions - 1
    said = f"{name:14} {now:>12,} {known.instructions:>12,} {change:>+8.1%}"
    if change > GROWTH:
        return Verdict(f"{said}   grown: make it cheaper, or give a reason with --accept", True)
    return Verdict(said + ("   less: --accept keeps it" if change < -GROWTH else ""), False)


def totals(folder: Path) -> dict[str, int]:
    """Sum of each dump of callgrind in that folder, by the name that the replay gave it."""
    found = {}
    for dump in folder.glob("dump.*"):
        # Both stand in the lines before and after all that was counted.
        with dump.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, dump.stat().st_size - 4096))
            tail = file.read()
        name, total = re.search(rb"^desc: Trigger: Client Request: (\w+)$", head, re.M), re.search(rb"^totals: (\d+)$", tail, re.M)
        if name and total:
            found[name[1].decode()] = int(total[1])
    return found


def dump_of(folder: Path, name: str) -> Path:
    """The file with what a section spent where."""
    return next(dump for dump in folder.glob("dump.*") if f"Client Request: {name}\n".encode() in dump.read_bytes()[:4096])


def count(tree: Path, folder: Path, names: list[str], number: int, compiled: bool, recorded: bool = False) -> dict[str, int]:
    """Run the replay under valgrind: instructions of one transaction, by section."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    callgrind = ["--tool=callgrind", "--instr-atstart=no", f"--toggle-collect={MARK}", f"--callgrind-out-file={folder}/dump"]
    replay = [sys.executable, str(TOP / "bench" / "replay.py"), "--only", ",".join(names), "--count", str(number)]
    command = ["valgrind", "-q", *callgrind, *replay, *(["--compiled"] if compiled else [])]
    command += ["--recorded"] if recorded else []
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the replay failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    print(done.stdout, end="")
    found = totals(folder)
    idle = [name + IDLE for name in names]
    if set(found) != {*names, *idle} or not all(found.values()):
        sys.exit(f"valgrind counted nothing: this interpreter has no symbol {MARK} (is it stripped?)")
    return {name: (found[name] - found[name + IDLE]) // number for name in names}


def build_name(compiled: bool) -> str:
    """What the figures of this interpreter are filed under."""
    return f"{sys.implementation.name} {sys.version.split()[0]} {os.uname().machine} {'compiled' if compiled else 'pure'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", action="store_true", help="the tree of tools/compiled.py --keep")
    parser.add_argument("--only", default=",".join(SECTIONS), help="comma-separated: " + ", ".join(SECTIONS))
    parser.add_argument("--count", type=int, default=50, help="of each kind")
    parser.add_argument("--profile", action="store_true", help="the functions in C that cost most")
    parser.add_argument("--recorded", action="store_true", help="only what [recorder] enabled costs, as ratios")
    parser.add_argument("--accept", metavar="REASON", help="write the figures that have changed, with this reason")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name in SECTIONS]
    if not names:
        sys.exit("--only names nothing")
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing: tools/setup.sh bench")
    if options.compiled and not (COMPILED / "sipnode").is_dir():
        sys.exit(f"{COMPILED} isn't there: python tools/compiled.py --keep")
    build = build_name(options.compiled)
    figures = read_figures(FILE.read_text("utf-8")) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        tree = COMPILED if options.compiled else TOP
        counted = count(tree, folder, names, options.count, options.compiled)
        if options.recorded:
            other = folder / "recorded"
            other.mkdir()
            with_recorder = count(tree, other, names, options.count, options.compiled, True)
            for name in names:
                print(f"ratio recorded_{name} {with_recorder[name] / counted[name]:.3f}")
            return 0
        if options.profile:
            for name in names:
                print(f"\n==== {name}", flush=True)
                subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=90", str(dump_of(folder, name))], check=True)
    if options.accept:
        figures[build] = accepted(figures.get(build, {}), counted, options.accept)
        FILE.write_text(render(figures), "utf-8")
    known = figures.get(build, {})
    print(f"\n{build}\n{'':14} {'now':>12} {'file':>12} {'change':>8}")
    verdicts = [judge(name, counted[name], known.get(name)) for name in names]
    for verdict in verdicts:
        print(verdict.line)
    # What recording costs is no quotient of these: where both kinds of server are in one process, the interpreter prepares itself for both.
    for name in names:
        print(f"instructions {name} {counted[name]}")
    return 1 if any(verdict.grown for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
