"""``make bench-presence``: what a PUBLISH costs with its NOTIFYs, and a subscription, beside Kamailio's presence server.

Needs the folder ``bench`` with presence.py, postgres.sh and kamailio/start.sh (``--bench``), PostgreSQL and Kamailio. Servers run one at
a time, in turns, one worker each, pinned to core 0, the load on core 1; no NOTIFY is held back. "Durable" is a PUBLISH that is in
PostgreSQL when its 200 goes out: PostgreSQL is the same for both and counted as a tree of its own. The tables go into
docs/understand/performance.rst; the last lines are the ratios of the medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from cluster import cluster, reference, sipnode, sql
from compare import PAGE
from harness import WORK, own_network
from postgres import listed

from sipnode.settings import PresenceSettings

TOP = Path(__file__).resolve().parent.parent
BEGIN, END = ".. bench-presence: begin", ".. bench-presence: end"
SERVERS = ("sipnode", "kamailio")
WATCHERS = (1, 10, 100)
RATE, BUSY = 10, 200
# (watchers, PUBLISHes a second); the first and the last but one give what one more NOTIFY costs.
CASES = (*((watchers, RATE) for watchers in WATCHERS), (1, BUSY))
FEW, MANY = CASES[0], CASES[-2]
SETTINGS = PresenceSettings(packages=("presence",), notify_seconds=0)
# What Kamailio does with subscriptions and publications (subs_db_mode, publ_cache).
MEMORY, THROUGH = ("SUBSMODE=0", "PUBLCACHE=2"), ("SUBSMODE=1", "PUBLCACHE=0")
TABLES = ("presentity", "active_watchers", "watchers")
Row = dict[str, float]
Case = tuple[int, int]


@contextmanager
def server(name: str, durable: bool, work: Path, bench: Path) -> Iterator[int]:
    """One of the two on empty tables; the process that its tree begins with."""
    sql(name, f"TRUNCATE {', '.join(TABLES)}", *(f"VACUUM {table}" for table in TABLES))
    if name == "sipnode":
        running = sipnode(work, SETTINGS, db_mode=1 if durable else 0)
    else:
        running = reference(bench, work, 1, "WITH_PRESENCE", *(THROUGH if durable else MEMORY))
    with running as part:
        assert part.process is not None
        yield part.process.pid


def load(bench: Path, results: Path, pids: dict[str, int], *arguments: str) -> list[Row]:
    """Run the tool against what listens; its figures."""
    results.unlink(missing_ok=True)
    where = [word for name, pid in pids.items() for word in ("--pid", f"{name}={pid}")]
    command = [sys.executable, "-B", str(bench / "presence.py"), *arguments, *where, "--load-cpus", "1", "--json", str(results)]
    subprocess.run([*command, "--server", "127.0.0.1:5060"], check=True)
    rows: list[Row] = [json.loads(line) for line in results.read_text().splitlines()]
    for row in rows:
        if row.get("missing") or row.get("accepted", 0) < row.get("of", 0):
            print(f"WARNING not all were notified or accepted: {row}", flush=True)
    return rows


class Costs:
    """CPU microseconds of a PUBLISH: server, case, a value for each run; PostgreSQL apart."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, dict[Case, list[float]]]] = {
            name: {tree: {case: [] for case in CASES} for tree in ("server", "db")} for name in SERVERS
        }

    def add(self, name: str, rows: list[Row]) -> None:
        """The figures of one run."""
        for row in rows:
            for tree, by_case in self.of[name].items():
                by_case[int(row["watchers"]), int(row["offered"])].append(row.get(f"cpu_us_{tree}", 0.0))

    def sums(self, name: str, case: Case) -> list[float]:
        """Server and PostgreSQL together, of each run."""
        trees = self.of[name]
        return [ours + base for ours, base in zip(trees["server"][case], trees["db"][case], strict=True)]

    def median(self, name: str, case: Case, tree: str = "") -> float:
        """Of one tree, or of both together."""
        return statistics.median(self.of[name][tree][case] if tree else self.sums(name, case))

    def further(self, name: str) -> float:
        """One more NOTIFY with its 200."""
        return (self.median(name, MANY) - self.median(name, FEW)) / (MANY[0] - FEW[0])

    def ratio(self, case: Case) -> float:
        """sipnode / Kamailio, of medians."""
        return self.median("sipnode", case) / self.median("kamailio", case)

    @property
    def notify_ratio(self) -> float:
        """Of one more NOTIFY."""
        return self.further("sipnode") / self.further("kamailio")

    def rows(self, durable: bool) -> list[list[str]]:
        """For the table."""
        made = []
        for case in CASES:
            cells = []
            for name in SERVERS:
                runs = self.sums(name, case)
                text = f"{statistics.median(runs):.0f} ({min(runs):.0f}, {max(runs):.0f})"
                if durable:
                    text += f" = {self.median(name, case, 'server'):.0f} + {self.median(name, case, 'db'):.0f}"
                cells.append(text)
            label = f"{case[0]} watcher{'s' if case[0] > 1 else ''}, {case[1]} a second"
            made.append([f"PUBLISH, {label}", *cells, f"{self.ratio(case):.2f}"])
        made.append(["each further NOTIFY", *(f"{self.further(name):.1f}" for name in SERVERS), f"{self.notify_ratio:.2f}"])
        return made


def published(bench: Path, work: Path, db: int, durable: bool, options: argparse.Namespace) -> tuple[Costs, dict[str, list[Row]]]:
    """What a PUBLISH costs; and, in memory, both runs of the test with 1 of 100 watchers dead, by server."""
    costs = Costs()
    late: dict[str, list[Row]] = {}
    for turn in range(options.runs):
        for name in SERVERS:
            print(f"-- {'durable' if durable else 'in memory'}, run {turn + 1}: {name}", flush=True)
            with server(name, durable, work, bench) as pid:
                pids = {"server": pid, "db": db} if durable else {"server": pid}
                once = ["--repeat", "1", "--seconds", str(options.seconds)]
                costs.add(name, load(bench, work / "runs.jsonl", pids, "publish", *once, "--rate", str(RATE)))
                # Presentities of their own: those of the test before have watchers.
                busy = ["--rate", str(BUSY), "--watchers", "1", "--first-user", "7000"]
                costs.add(name, load(bench, work / "runs.jsonl", pids, "publish", *once, *busy))
                if not durable and turn == options.runs - 1:
                    late[name] = load(bench, work / "runs.jsonl", pids, "dead", *once, "--rate", str(RATE), "--first-user", "5000")
    return costs, late


def subscribed(bench: Path, work: Path, options: argparse.Namespace) -> dict[str, list[Row]]:
    """Memory and CPU of many subscriptions, by server."""
    found = {}
    for name in SERVERS:
        print(f"-- subscriptions: {name}", flush=True)
        with server(name, False, work, bench) as pid:
            how = ["--subscriptions", options.subscriptions, "--subscribe-rate", "800"]
            found[name] = load(bench, work / "runs.jsonl", {"server": pid}, "subscriptions", *how)
    return found


def table(memory: Costs, durable: Costs, late: dict[str, list[Row]], many: dict[str, list[Row]], options: argparse.Namespace) -> str:
    """The part of the page, as reStructuredText."""
    what = "median (lowest, highest)"
    lines = [f"Measured on {date.today()}, PUBLISHes over 10 presentities, {options.runs} runs in turns.", ""]
    head = ["sipnode", "Kamailio, one worker", "ratio"]
    lines += [*listed([[f"In memory, CPU µs, {what}", *head], *memory.rows(False)]), ""]
    lines += [*listed([[f"Durable, CPU µs, {what} = server + PostgreSQL", *head], *durable.rows(True)]), ""]
    rows = [["PUBLISH to NOTIFY, 100 watchers, p50 / p99 ms", *head[:2]]]
    for index, label in enumerate(("all alive", "one of them dead, the others")):
        rows.append([label, *(f"{late[name][index]['ms_p50']:.1f} / {late[name][index]['ms_p99']:.1f}" for name in SERVERS)])
    lines += [*listed(rows), ""]
    rows = [["Subscriptions", *head[:2]]]
    for index, row in enumerate(many["sipnode"]):
        count = f"{int(row['subscriptions']):,}"
        rows.append([f"MiB with {count}", *(f"{many[name][index]['mib_server']:.0f}" for name in SERVERS)])
        rows.append([f"CPU µs each up to {count}, with its NOTIFY", *(f"{many[name][index]['cpu_us_server']:.0f}" for name in SERVERS)])
    return "\n".join([*lines, *listed(rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--subscriptions", default="10000,100000")
    parser.add_argument("--no-write", action="store_true", help="leave docs/understand/performance.rst as it is")
    options = parser.parse_args()
    bench = options.bench.resolve()
    if not (bench / "presence.py").exists():
        sys.exit(f"{bench} has no presence.py")
    own_network()
    work = WORK / "bench-presence"
    work.mkdir(parents=True, exist_ok=True)
    with cluster(bench, work) as part:
        assert part.process is not None
        memory, late = published(bench, work, part.process.pid, False, options)
        durable, _ = published(bench, work, part.process.pid, True, options)
        many = subscribed(bench, work, options)
    text = table(memory, durable, late, many, options)
    print(text)
    if not options.no_write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
    print(f"ratio publish_1 {memory.ratio(FEW):.2f}")
    print(f"ratio notify {memory.notify_ratio:.2f}")
    print(f"ratio durable_publish_1 {durable.ratio(FEW):.2f}")
    print(f"ratio durable_publish_100 {durable.ratio(MANY):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
