"""``make bench``: what a REGISTER, an authenticated REGISTER and a call cost, beside one Kamailio worker, and the memory for contacts.

Needs the folder ``bench`` with bench.py and kamailio/start.sh (``--bench``), SIPp and Kamailio. Servers run one at a time, in turns,
each with one worker pinned to core 0, the load on core 1. Ours is compiled, and once more pure for the call; with PURE=1 it is pure alone.
It runs on the system's Python where that does (PYTHON=… names another). The table goes into docs/understand/performance.rst; the last
lines are the ratios of the medians, and the instructions of a call and of a REGISTER.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))

import interpreter  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.demo import probes  # noqa: E402
from sipnode.demo.parts import Part  # noqa: E402
from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, Settings, StorageSettings  # noqa: E402

PAGE = TOP / "docs" / "understand" / "performance.rst"
BEGIN, END = ".. bench: begin", ".. bench: end"
DOMAIN = "bench.test"
USERS = 10_000
CONTACTS = (10_000, 100_000)
TESTS = {"register": "REGISTER", "register_auth": "REGISTER with digest", "call": "call"}
SERVERS = ("sipnode", "kamailio")
PURE = "sipnode, pure"
PURE_TESTS = ("call",)
"""What the pure form is measured with beside the compiled one."""
ADDRESS = ("127.0.0.1", 5060)


class Ours(NamedTuple):
    """How our server is started."""

    on: interpreter.Interpreter
    paths: dict[str, str]
    """PYTHONPATH of each form that is measured."""


AS_IT_STANDS = Ours(interpreter.Interpreter(sys.executable, ""), {"sipnode": str(TOP)})
"""The checkout in pure Python, on the Python that this runs on."""


@contextmanager
def server(name: str, auth: bool, work: Path, bench: Path, ours: Ours = AS_IT_STANDS) -> Iterator[int]:
    """One of them, pinned to core 0; the process that its tree begins with."""
    folder = fresh(work / f"{name.replace(', ', '-')}{'-auth' if auth else ''}")
    if name == "kamailio":
        command = [str(bench / "kamailio" / "start.sh"), "-w", "1", "-c", "0", "-d", str(folder / "run")]
        part = Part(name, command + (["-A", "WITH_AUTH"] if auth else []), folder / "kamailio.log")
        part.start()
        try:
            if not part.wait_ready(lambda: probes.sip_server(*ADDRESS), 10):
                sys.exit(f"Kamailio didn't start:\n{part.last_words()}")
            assert part.process is not None
            yield part.process.pid
        finally:
            part.stop()
        return
    settings = Settings(
        core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")),
        auth=AuthSettings(enabled=auth, algorithms=("MD5",), cache_seconds=3600),
        location=LocationSettings(db_mode=0),
        storage=StorageSettings(url="sqlite:bench.sqlite"),
    )
    users = {f"u{number:06d}": "secret" for number in range(USERS)} if auth else {}
    prefix = ("taskset", "-c", "0", "env", f"PYTHONPATH={ours.paths[name]}")
    with running(folder, write_conf(folder, settings, users), media=False, prefix=prefix, python=ours.on.python) as part:
        assert part.process is not None
        kind = "pure" if ours.paths[name] == str(TOP) else "compiled"
        if f"({kind})" not in part.log.read_text():
            sys.exit(f"the server doesn't say that it is {kind}:\n{part.last_words()}")
        yield part.process.pid


def load(bench: Path, pid: int, *arguments: str) -> None:
    """Run bench.py against what listens."""
    where = ["--server", "127.0.0.1:5060", "--pid", str(pid), "--load-cpus", "1"]
    subprocess.run([sys.executable, "-B", str(bench / "bench.py"), *arguments, *where], check=True)


def costs(bench: Path, work: Path, options: argparse.Namespace, ours: Ours) -> dict[str, dict[str, list[float]]]:
    """CPU microseconds of each run: test, server, values."""
    results = work / "runs.jsonl"
    results.unlink(missing_ok=True)
    plain = [test for test in ("register", "call") if test in options.only]
    for turn in range(options.runs):
        for name in (*ours.paths, "kamailio"):
            for auth, tests in ((False, plain), (True, [test for test in ("register_auth",) if test in options.only])):
                if name == PURE:
                    tests = [test for test in tests if test in PURE_TESTS]
                if not tests:
                    continue
                print(f"-- run {turn + 1}: {name}, {', '.join(tests)}", flush=True)
                # Calls need contacts; and credentials come from memory, as Kamailio's do in this comparison.
                fill = ["fill"] if auth or "call" in tests else []
                how = ["--fill-auth", "--fill-rate", "1000"] if auth else []
                once = ["--repeat", "1", "--rate", str(options.rate), "--seconds", str(options.seconds)]
                with server(name, auth, work, bench, ours) as pid:
                    load(bench, pid, *fill, *tests, *how, *once, "--json", str(results), "--label", name)
    values: dict[str, dict[str, list[float]]] = {test: {name: [] for name in SERVERS} for test in options.only}
    if PURE in ours.paths:
        values.update({pure(test): {name: [] for name in SERVERS} for test in options.only if test in PURE_TESTS})
    for line in results.read_text().splitlines():
        row = json.loads(line)
        if row["failed"] or row["not_finished"]:
            print(f"WARNING {row['label']} {row['test']}: {row['failed']} failed, {row['not_finished']} not finished", flush=True)
        if row["label"] == PURE:
            values[pure(row["test"])]["sipnode"].append(row["cpu_us_server"])
        else:
            values[row["test"]][row["label"]].append(row["cpu_us_server"])
            if row["label"] == "kamailio" and pure(row["test"]) in values:
                values[pure(row["test"])]["kamailio"].append(row["cpu_us_server"])
    return values


def pure(test: str) -> str:
    """What a test of the pure form is called."""
    return f"pure_{test}"


def memory(bench: Path, work: Path, ours: Ours) -> dict[str, list[float]]:
    """MiB of the tree without and with contacts, by server."""
    sys.path.insert(0, str(bench))
    import bench as tool

    sizes = {}
    for name in SERVERS:
        print(f"-- memory: {name}", flush=True)
        with server(name, False, work, bench, ours) as pid:
            time.sleep(1)
            sizes[name] = [tool.pss_mib(pid)]
            for contacts in CONTACTS:
                load(bench, pid, "fill", "--users", str(contacts))
                time.sleep(8)  # until the transactions of the last registrations have ended
                sizes[name].append(tool.pss_mib(pid))
    return sizes


def sustained(bench: Path, work: Path, ours: Ours) -> dict[str, int]:
    """Calls a second that each sustains on its core."""
    best = {}
    for name in SERVERS:
        print(f"-- sustained calls: {name}", flush=True)
        results = fresh(work / f"search-{name}") / "steps.jsonl"
        with server(name, False, work, bench, ours) as pid:
            load(bench, pid, "fill", "call", "--search", "--seconds", "5", "--settle", "1", "--json", str(results))
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        best[name] = max((row["offered"] for row in rows if row["good"]), default=0)
    return best


def instructions(compiled: bool) -> list[str]:
    """Those of a call and of a REGISTER, by the Python that this runs on (the system's has no symbols to count by), as lines."""
    print("-- instructions", flush=True)
    if compiled:
        environment = {**os.environ, "SIPNODE_COMPILE": "1"}
        subprocess.run([sys.executable, str(TOP / "tools" / "compiled.py"), "--keep"], check=True, env=environment)
    command = [sys.executable, str(TOP / "bench" / "instructions.py"), "--only", "call,register", *(["--compiled"] if compiled else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    return [line for line in done.stdout.splitlines() if line.startswith("instructions ")]


def table(
    values: dict[str, dict[str, list[float]]],
    sizes: dict[str, list[float]],
    rates: dict[str, int],
    options: argparse.Namespace,
    ours: Ours,
) -> str:
    """The part of the page, as reStructuredText."""
    kind = "pure" if options.pure else "compiled"
    lines = [
        f"Measured on {date.today()}, {kind}, {ours.on.name}, {options.rate} a second, {options.runs} runs in turns.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
    ]
    rows = [["CPU µs each, median (lowest, highest)", "sipnode", "Kamailio, one worker", "ratio"]]
    for test, by_server in values.items():
        cells = [f"{statistics.median(runs):.0f} ({min(runs):.0f}, {max(runs):.0f})" for runs in by_server.values()]
        named = TESTS.get(test) or f"{TESTS[test.removeprefix('pure_')]}, sipnode in pure Python"
        rows.append([named, *cells, f"{ratio(by_server):.2f}"])
    if rates:
        cells = [str(rates[name]) for name in SERVERS]
        rows.append(["calls a second sustained", *cells, f"{rates['sipnode'] / max(1, rates['kamailio']):.2f}"])
    for index, contacts in enumerate((0, *CONTACTS)):
        if sizes:
            cells = [f"{sizes[name][index]:.0f}" for name in SERVERS]
            rows.append([f"MiB with {contacts:,} contacts", *cells, f"{sizes['sipnode'][index] / sizes['kamailio'][index]:.2f}"])
    for row in rows:
        lines += [f"   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines)


def ratio(by_server: dict[str, list[float]]) -> float:
    """sipnode / Kamailio, of medians."""
    return statistics.median(by_server["sipnode"]) / statistics.median(by_server["kamailio"])


def write(text: str) -> None:
    """Put the table between the marks of the page."""
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--only", default=",".join(TESTS), help="comma-separated: register, register_auth, call")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--search", action="store_true", help="calls a second sustained, too")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--pure", action="store_true", help="ours in pure Python alone")
    parser.add_argument("--python", default="", help="the Python of our server (default: the system's where it does)")
    parser.add_argument("--no-instructions", action="store_true")
    parser.add_argument("--no-write", action="store_true", help="leave docs/understand/performance.rst as it is")
    options = parser.parse_args()
    options.only = [test for test in options.only.split(",") if test in TESTS]
    bench = options.bench.resolve()
    if not (bench / "bench.py").exists() or not options.only:
        sys.exit(f"{bench} has no bench.py, or --only names no test")
    work = WORK / "bench"
    work.mkdir(parents=True, exist_ok=True)
    # What is installed and compiled comes first: the network below is loopback alone.
    on = interpreter.choose(options.python, work)
    paths = {"sipnode": on.path(not options.pure), **({} if options.pure else {PURE: on.path(False)})}
    own_network()
    ours = Ours(on, paths)
    print(f"-- sipnode {'pure' if options.pure else 'compiled'} on {on.name}", flush=True)
    values = costs(bench, work, options, ours)
    sizes = {} if options.no_memory else memory(bench, work, ours)
    rates = sustained(bench, work, ours) if options.search else {}
    counted = [] if options.no_instructions else instructions(not options.pure)
    text = table(values, sizes, rates, options, ours)
    print(text)
    if not options.no_write:
        write(text)
    for test, by_server in values.items():
        print(f"ratio {test} {ratio(by_server):.2f}")
    print("\n".join(counted), end="\n" if counted else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
