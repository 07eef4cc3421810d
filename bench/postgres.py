"""``make bench-postgres``: what a durable REGISTER costs beside Kamailio on the same PostgreSQL, and what a million contacts cost.

Needs the folder ``bench`` with bench.py, postgres.sh and kamailio/start.sh (``--bench``), SIPp, PostgreSQL and Kamailio. Servers run
one at a time, in turns, pinned to core 0, the load on core 1; PostgreSQL is counted as a tree of its own. The table goes into
docs/understand/performance.rst; the last lines are the ratios.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from cluster import DOMAIN, cluster, kamailio, sipnode, sql
from compare import PAGE
from harness import WORK, own_network

from sipnode.demo import probes

TOP = Path(__file__).resolve().parent.parent
BEGIN, END = ".. bench-postgres: begin", ".. bench-postgres: end"
SERVERS = ("sipnode", "kamailio")
RATES = (500, 1000, 1500, 2000, 3000)
FEW, MANY = 10_000, 1_000_000
# As bench.py's REGISTER makes it, so that one of it is a refresh.
ROWS = """
INSERT INTO location (ruid, username, domain, contact, expires, q, callid, cseq, last_modified, user_agent, socket, methods, server_id)
SELECT 'uloc-bench-' || n, 'u' || lpad(n::text, 6, '0'), '{domain}',
    'sip:u' || lpad(n::text, 6, '0') || '@127.0.0.1:15080;transport=udp', now()::timestamp + interval '3 hours', 1, 'bench-' || n, 1,
    now()::timestamp - interval '1 minute', 'bench-uac/1.0', 'udp:127.0.0.1:5060', 4991, 1
FROM generate_series(0, {count} - 1) AS n
"""


def run(bench: Path, results: Path, pids: dict[str, int], *arguments: str) -> list[dict[str, object]]:
    """Run bench.py against what listens; its figures."""
    results.unlink(missing_ok=True)
    where = [word for name, pid in pids.items() for word in ("--pid", f"{name}={pid}")]
    command = [sys.executable, "-B", str(bench / "bench.py"), *arguments, *where, "--load-cpus", "1", "--json", str(results)]
    subprocess.run([*command, "--server", "127.0.0.1:5060"], check=True)
    rows: list[dict[str, object]] = [json.loads(line) for line in results.read_text().splitlines()]
    for row in rows:
        if row["failed"] or row["not_finished"]:
            print(f"WARNING {row['test']}: {row['failed']} failed, {row['not_finished']} not finished", flush=True)
    return rows


def durable(bench: Path, work: Path, db: int, options: argparse.Namespace) -> tuple[dict[str, list[tuple[float, float]]], dict[str, int]]:
    """CPU microseconds (server, PostgreSQL) of each run, and the highest of the rates whose p99 stays under 50 ms."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    best = dict.fromkeys(SERVERS, 0)
    results = work / "runs.jsonl"
    for turn in range(options.runs):
        for name in SERVERS:
            print(f"-- durable REGISTER, run {turn + 1}: {name}", flush=True)
            sql(name, "TRUNCATE location", "VACUUM location")
            with sipnode(work, db_mode=1) if name == "sipnode" else kamailio(bench, work, 1) as part:
                assert part.process is not None
                pids = {"server": part.process.pid, "db": db}
                how = ["--users", "2000", "--fill-rate", "500", "--rate", str(options.rate), "--seconds", "10", "--repeat", "1"]
                (row,) = run(bench, results, pids, "fill", "register", *how)
                costs[name].append((float(row["cpu_us_server"]), float(row["cpu_us_db"])))  # type: ignore[arg-type]  # figures
                if turn == options.runs - 1:
                    best[name] = highest(bench, results)
    return costs, best


def highest(bench: Path, results: Path) -> int:
    """The highest of RATES at which nothing fails and p99 stays under 50 ms; 0 where none does."""
    best = 0
    for rate in RATES:
        how = ["--users", "2000", "--latency", "--settle", "0", "--seconds", "5", "--repeat", "1", "--rate", str(rate)]
        (row,) = run(bench, results, {}, "register", *how)
        p99 = row["rtd1_ms"]["p99"]  # type: ignore[index]  # a table of quantiles
        print(f"   {rate}/s: p99 {p99} ms", flush=True)
        if row["failed"] or row["not_finished"] or p99 >= 50:
            break
        best = rate
    return best


def sizes(bench: Path, work: Path, db: int, options: argparse.Namespace) -> dict[int, dict[str, float]]:
    """For few and for many contacts: seconds to the first answer and to the end of the load, MiB, CPU of a REGISTER and of a call."""
    figures: dict[int, dict[str, float]] = {count: {} for count in (FEW, MANY)}
    results = work / "runs.jsonl"
    for count in (FEW, MANY):
        print(f"-- {count:,} contacts", flush=True)
        sql("sipnode", "TRUNCATE location", ROWS.format(domain=DOMAIN, count=count), "ANALYZE location")
        began = time.monotonic()
        with sipnode(work, db_mode=1) as part:
            assert part.process is not None
            answered = loaded = time.monotonic() - began
            worst = 0.0
            if count >= MANY:
                loaded, worst = wait_loaded(part.log, count, began)
            time.sleep(5)
            import bench as tool

            figures[count] = {"answered": answered, "loaded": loaded, "worst": worst, "mib": tool.pss_mib(part.process.pid)}
            pids = {"server": part.process.pid, "db": db}
            how = ["--users", str(count), "--rate", str(options.rate), "--seconds", "10"]
            for test in ("register", "call"):
                rows = run(bench, results, pids, test, *how, "--repeat", str(options.runs))
                figures[count][test] = statistics.median(float(row["cpu_us_server"]) for row in rows)  # type: ignore[arg-type]  # figures
                figures[count][f"{test}_db"] = statistics.median(float(row["cpu_us_db"]) for row in rows)  # type: ignore[arg-type]  # as above
    sql("sipnode", "TRUNCATE location")
    return figures


def wait_loaded(log: Path, count: int, began: float) -> tuple[float, float]:
    """Seconds until the server says that its table is read, and the most milliseconds that an OPTIONS had to wait meanwhile."""
    worst = 0.0
    while not re.search(rf"table is read: {count} rows", log.read_text(errors="replace")):
        if time.monotonic() - began > 300:
            sys.exit(f"the table wasn't read within 300 s:\n{log.read_text(errors='replace')[-1000:]}")
        asked = time.monotonic()
        probes.sip_server("127.0.0.1", 5060, 10)
        worst = max(worst, time.monotonic() - asked)
        time.sleep(0.01)
    return time.monotonic() - began, worst * 1000


def table(
    costs: dict[str, list[tuple[float, float]]], best: dict[str, int], by_count: dict[int, dict[str, float]], options: argparse.Namespace
) -> str:
    """The part of the page, as reStructuredText."""
    rows = [[f"Durable REGISTER, {options.rate} a second, CPU µs", "sipnode", "Kamailio, db_mode 1", "ratio"]]
    for label, index in (("server", 0), ("PostgreSQL", 1)):
        ours, theirs = (statistics.median(pair[index] for pair in costs[name]) for name in SERVERS)
        rows.append([label, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}"])
    rows.append(["sum", *(f"{total(costs[name]):.0f}" for name in SERVERS), f"{total(costs['sipnode']) / total(costs['kamailio']):.2f}"])
    rows.append(["highest rate with p99 < 50 ms", *(f"{best[name]}" for name in SERVERS), ""])
    lines = [f"Measured on {date.today()}, {options.runs} runs in turns, PostgreSQL with its own defaults.", "", *listed(rows), ""]
    rows = [["", f"{FEW:,} contacts", f"{MANY:,} contacts", "ratio"]]
    few, many = by_count[FEW], by_count[MANY]
    for label, key in (("REGISTER, server, CPU µs", "register"), ("REGISTER, PostgreSQL", "register_db"), ("call, server, CPU µs", "call")):
        rows.append([label, f"{few[key]:.0f}", f"{many[key]:.0f}", f"{many[key] / few[key]:.2f}"])
    for label, key in (("seconds to the first answer", "answered"), ("seconds until all is read", "loaded"), ("MiB", "mib")):
        rows.append([label, f"{few[key]:.1f}", f"{many[key]:.1f}", ""])
    rows.append(["ms, the longest wait of an OPTIONS while it is read", "", f"{many['worst']:.0f}", ""])
    return "\n".join([*lines, *listed(rows)])


def listed(rows: list[list[str]]) -> list[str]:
    """Rows as a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
    return lines


def total(runs: list[tuple[float, float]]) -> float:
    """Median of server and PostgreSQL together."""
    return statistics.median(sum(pair) for pair in runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--no-write", action="store_true", help="leave docs/understand/performance.rst as it is")
    options = parser.parse_args()
    bench = options.bench.resolve()
    if not (bench / "postgres.sh").exists():
        sys.exit(f"{bench} has no postgres.sh")
    own_network()
    sys.path.insert(0, str(bench))
    work = WORK / "bench-postgres"
    work.mkdir(parents=True, exist_ok=True)
    with cluster(bench, work) as part:
        assert part.process is not None
        costs, best = durable(bench, work, part.process.pid, options)
        by_count = sizes(bench, work, part.process.pid, options)
    text = table(costs, best, by_count, options)
    print(text)
    if not options.no_write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
    print(f"ratio durable_register {total(costs['sipnode']) / total(costs['kamailio']):.2f}")
    print(f"ratio million_register {by_count[MANY]['register'] / by_count[FEW]['register']:.2f}")
    print(f"ratio million_lookup {by_count[MANY]['call'] / by_count[FEW]['call']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
