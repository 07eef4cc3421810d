"""Where the time of one kind of transaction goes: ``python bench/hotspots.py register|register_auth|call|options [--rows N]``.

The server runs under cProfile, so its absolute times are about double; the order is what counts. Needs the folder of bench.py.
"""

from __future__ import annotations

import argparse
import pstats
import subprocess
import sys
from pathlib import Path

import compare
import harness


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("test", choices=[*compare.TESTS, "options"])
    parser.add_argument("--bench", type=Path, default=compare.TOP.parent / "shared" / "bench")
    parser.add_argument("--rate", type=int, default=400)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--sort", default="tottime", help="tottime or cumtime")
    options = parser.parse_args()
    bench = options.bench.resolve()
    harness.own_network()
    work = harness.fresh(harness.WORK / "profile")
    result = work / "profile.out"
    plain = harness.server_command

    def profiled(conf: Path) -> list[str]:
        command = plain(conf)
        before = command.index("-n")
        return [*command[:before], "--profile", str(result), "--profiler", "cprofile", "--savestats", *command[before:]]

    harness.server_command = profiled
    with compare.server("sipnode", options.test == "register_auth", work, bench) as pid:
        tests = ["fill", "call"] if options.test == "call" else [options.test]
        once = ["--rate", str(options.rate), "--seconds", "8", "--repeat", "1", "--settle", "1", "--load-cpus", "1", "--fill-rate", "400"]
        subprocess.run([sys.executable, "-B", str(bench / "bench.py"), *tests, *once, "--pid", str(pid)], check=True)
    pstats.Stats(str(result)).sort_stats(options.sort).print_stats(options.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
