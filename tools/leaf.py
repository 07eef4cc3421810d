"""``make leaf``: the native leaf against the functions in Python for as long as is wanted, each access to memory watched.

It is compiled with the sanitizers of gcc for addresses and undefined behaviour; what it is given is made by hypothesis and taken from the
corpus, and each allocation that it asks for fails once. ``--valgrind`` runs the same under memcheck instead, which takes a hundred times
as long. The last line is ``N passed, N failed``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import TOP, WORK, fresh

sys.path.insert(0, str(TOP))
sys.path.insert(0, str(TOP / "backend"))
import sipnode_compile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sip import kit, leafkit

_FILE = "SIPNODE_LEAF_FILE"
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def compared(leaf: Any, over: Callable[[Callable[[Any], None]], Callable[[], None]], compare: Callable[..., bool]) -> int:
    """Compare whatever comes; how much it was."""
    asked = 0

    def each(values: Any) -> None:
        nonlocal asked
        asked += 1
        compare(leaf, *values)

    over(each)()
    return asked


def messages(leaf: Any, rounds: int) -> int:
    """Everything that hypothesis makes."""
    profile = settings(max_examples=rounds, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    kinds: tuple[tuple[st.SearchStrategy[Any], Callable[..., bool]], ...] = (
        (st.tuples(leafkit.mutated(), leafkit.limits, st.booleans()), leafkit.scan),
        (st.tuples(st.binary(max_size=80)), leafkit.scan),
        (st.tuples(leafkit.starts, st.lists(leafkit.lines, max_size=4), st.binary(max_size=9)), leafkit.join),
        (st.tuples(leafkit.lines), leafkit.value),
        (st.tuples(leafkit.vias), leafkit.via),
    )
    asked = 0
    for strategy, compare in kinds:
        asked += compared(leaf, lambda each, strategy=strategy: profile(given(strategy)(each)), compare)
    return asked


def corpus(leaf: Any) -> int:
    """Every message of the corpus, and each cut off at many places."""
    from tests.sip.test_corpus import cases

    asked = 0
    for case in cases() if kit.corpus() else ():
        for end in {*range(0, len(case.data), 1 + len(case.data) // 40), len(case.data)}:
            leafkit.scan(leaf, case.data[:end], exact=case.transport == "ws")
            asked += 1
    return asked


def without_memory(leaf: Any) -> int:
    """Each allocation of each function fails once: MemoryError, and nothing else."""
    import _testcapi  # type: ignore[import-not-found,unused-ignore]  # only CPython's own tests have it

    data = kit.octets("INVITE sip:\u00e4 SIP/2.0", "X-Ours: \u00fc", body=b"abc")
    bounds = (1 << 16, 128, 8192, 64, False)
    start, lines = "ACK sip:a SIP/2.0", ["a: b"] * 9
    calls: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
        (leaf.scan, (data, *bounds)),
        (leaf.scan, (kit.octets("SIP/2.0 200 \u00e4"), *bounds)),
        (leaf.join, (start, lines, b"x" * 900)),
        (leaf.value, ("Subject: " + "x" * 50,)),
        (leaf.via, ("SIP/2.0/UDP h.example:5060;branch=z9hG4bK1;rport",)),
    )
    failures = 0
    for function, arguments in calls:
        for number in range(1000):
            _testcapi.set_nomemory(number, number + 1)
            try:
                found = function(*arguments)
                failed = False
            except MemoryError:
                failed = True
            _testcapi.remove_mem_hooks()
            if not failed:
                assert found is not None
                break
            failures += 1
    return failures


def inside(file: str, rounds: int) -> int:
    """What runs in the watched process."""
    leaf = leafkit.load(Path(file))
    print(f"{corpus(leaf)} messages of the corpus, whole and cut", flush=True)
    print(f"{messages(leaf, rounds)} cases of hypothesis", flush=True)
    print(f"{without_memory(leaf)} allocations that failed", flush=True)
    print("3 passed, 0 failed")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20000, help="cases of each kind")
    parser.add_argument("--valgrind", action="store_true", help="memcheck in place of the sanitizers")
    options = parser.parse_args()
    if os.environ.get(_FILE):
        return inside(os.environ[_FILE], options.rounds)
    work = fresh(WORK / "leaf")
    file = sipnode_compile.leaf(work, *(("-g",) if options.valgrind else SANITIZE))
    # Python's own arenas would hide what is read beside a block.
    environment = {**os.environ, _FILE: str(file), "PYTHONMALLOC": "malloc", "ASAN_OPTIONS": "detect_leaks=0", "SIPNODE_LEAF": "0"}
    command = [sys.executable, *sys.argv]
    if options.valgrind:
        if shutil.which("valgrind") is None:
            sys.exit("valgrind is missing\n0 passed, 1 failed")
        command = ["valgrind", "-q", "--error-exitcode=9", "--exit-on-first-error=yes", *command]
    else:
        asan = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
        environment["LD_PRELOAD"] = asan
    status = subprocess.run(command, env=environment, check=False).returncode
    if status:
        print(f"ended with {status}\n0 passed, 1 failed")
    return status


if __name__ == "__main__":
    sys.exit(main())
