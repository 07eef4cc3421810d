"""``make bench-durable``: are acknowledged registrations there after ``kill -9``? And ``make bench-freeze``: do calls go on?

Needs the folder ``bench`` with durable.py, bench.py and postgres.sh (``--bench``), SIPp and PostgreSQL. durable.py kills sipnode,
PostgreSQL or both under 300 new registrations a second; PostgreSQL has its own defaults. ``--freeze`` stops PostgreSQL with SIGSTOP for
so many seconds under 50 calls a second, beside an OPTIONS every 20 ms, which sees each stall of the reactor.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster import PORT, cluster, settings, sipnode, url
from harness import WORK, fresh, own_network, write_conf
from postgres import run

from sipnode.demo.parts import server_command
from sipnode.storage.initialize import init_database

TOP = Path(__file__).resolve().parent.parent
BEFORE, AFTER = 10.0, 20.0
CALLS = 50


def kill(bench: Path, work: Path, what: str, rounds: int) -> str:
    """Run durable.py; its last line."""
    folder = fresh(work / "sipnode")
    conf = write_conf(folder, settings(db_mode=1))
    database = fresh(Path("/tmp") / f"sipnode-bench-{PORT}")
    script = str(bench / "postgres.sh")
    subprocess.run([script, "create", str(database), str(PORT)], check=True)
    starting = subprocess.Popen([script, "run", str(database), str(PORT)], start_new_session=True)
    try:
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(PORT)]
        while subprocess.run(ready, check=False).returncode:
            time.sleep(0.1)
        init_database(url("kamailio"), "")
    finally:
        starting.send_signal(signal.SIGINT)
        starting.wait(20)
    conf.write_text(conf.read_text().replace(url("sipnode"), url("kamailio")))
    command = [sys.executable, "-B", str(bench / "durable.py"), "--server", "127.0.0.1:5060", "--rounds", str(rounds), "--kill", what]
    command += ["--start", shlex.join(server_command(conf)), "--log", str(work / "durable.log")]
    command += ["--db-start", shlex.join([script, "run", str(database), str(PORT)]), "--db-ready", shlex.join(ready)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(output, end="", flush=True)
    return output.splitlines()[-1]


def freeze(bench: Path, work: Path, seconds: float) -> int:
    """The number of calls that failed, printed with the worst stall."""
    sys.path.insert(0, str(bench))
    import bench as tool

    with cluster(bench, work) as database, sipnode(work, db_mode=1) as server:
        assert database.process is not None and server.process is not None
        postmaster = database.process.pid

        def stop_and_go() -> None:
            time.sleep(BEFORE)
            frozen = tool.tree(postmaster)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            print(f"-- {len(frozen)} processes of PostgreSQL are stopped", flush=True)
            time.sleep(seconds)
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            print("-- PostgreSQL goes on", flush=True)

        pids = {"server": server.process.pid}
        registers = ["register", "--users", "1000", "--rate", "200", "--seconds", "5", "--repeat", "1"]
        run(bench, work / "runs.jsonl", pids, *registers, "--settle", "0")
        worker = threading.Thread(target=stop_and_go)
        worker.start()
        how = ["--users", "1000", "--rate", str(CALLS), "--seconds", str(BEFORE + seconds + AFTER), "--repeat", "1", "--latency"]
        (row,) = run(bench, work / "runs.jsonl", pids, "call", *how, "--settle", "0")
        worker.join()
        (after,) = run(bench, work / "runs.jsonl", pids, *registers)
    failed = int(row["failed"]) + int(row["not_finished"])  # type: ignore[call-overload]  # figures
    probe: dict[str, float] = row["probe_ms"]  # type: ignore[assignment]  # a table of quantiles
    print(
        f"=> PostgreSQL stopped for {seconds:g} s under {CALLS} calls/s: {row['ok']} calls, {failed} failed; an OPTIONS every 20 ms: "
        f"p99 {probe['p99']} ms, worst {probe['max']} ms, {row['probe_lost']} lost; afterwards {after['ok']} registrations, "
        f"{after['failed']} failed"
    )
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--rounds", type=int, default=20, help="for sipnode; a quarter of it for PostgreSQL and for both")
    parser.add_argument("--freeze", type=float, default=0.0, help="instead: stop PostgreSQL for so many seconds")
    options = parser.parse_args()
    bench = options.bench.resolve()
    if not (bench / "durable.py").exists():
        sys.exit(f"{bench} has no durable.py")
    own_network()
    work = WORK / "bench-durable"
    work.mkdir(parents=True, exist_ok=True)
    if options.freeze:
        return 1 if freeze(bench, work, options.freeze) else 0
    few = max(1, options.rounds // 4)
    lines = [kill(bench, work, what, rounds) for what, rounds in (("server", options.rounds), ("db", few), ("both", few))]
    print("\n".join(lines))
    return 0 if all(" 0 of them missing" in line for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
