"""How long an idle server takes for a REGISTER with digest: ``make bench-idle``.

One phone, one REGISTER at a time with a pause behind it, so that nothing is there to wait for: its 401, then its 200. With the table in
memory alone, and on disk (write-through, SQLite), beside what one commit costs in the same folder by itself. Aimed at: p50 of both steps
together at most 2 ms in memory, and at most two commits beyond that on disk.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools")]

from abuse import DOMAIN, PASSWORD, End, credentials  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.settings import CoreSettings, LocationSettings, Settings  # noqa: E402
from sipnode.sip import ids  # noqa: E402
from sipnode.sip.message import SipResponse  # noqa: E402
from sipnode.sip.parser import parse_message  # noqa: E402

PAUSE = 0.03
MOST_MS = 2.0


def answer(end: End, method: str, uri: str, call_id: str, cseq: int, tag: str, more: list[tuple[str, str]]) -> tuple[SipResponse, float]:
    """Send it, and wait: the final response, and milliseconds until it came."""
    request = end.request(method, uri, f"<sip:{end.user}@{DOMAIN}>", call_id, cseq, tag, more)
    began = time.perf_counter()
    end.send(request)
    while True:
        response = parse_message(end.sock.recv(65536))
        if isinstance(response, SipResponse) and response.status >= 200 and response.cseq == cseq:
            return response, (time.perf_counter() - began) * 1000


def register(end: End, call_id: str, cseq: int, tag: str) -> tuple[float, float]:
    """One refresh: milliseconds until its 401, and from there until its 200."""
    uri = f"sip:{DOMAIN}"
    asked, first = answer(end, "REGISTER", uri, call_id, cseq, tag, [("expires", "300")])
    proof = credentials(asked, "REGISTER", uri, end.user)
    done, second = answer(end, "REGISTER", uri, call_id, cseq + 1, tag, [("expires", "300"), proof])
    if (asked.status, done.status) != (401, 200):
        sys.exit(f"REGISTER: {asked.start_line}, then {done.start_line}")
    return first, second


def commits(folder: Path, count: int) -> list[float]:
    """Milliseconds of each of so many commits of one row, as the store's: write-ahead log, synchronous."""
    with closing(sqlite3.connect(folder / "commits.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE one (text)")
        took = []
        for number in range(count):
            began = time.perf_counter()
            database.execute("INSERT INTO one VALUES (?)", (f"sip:{number}@127.0.0.1" * 20,))
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE)
    return took


def measured(db_mode: int, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of the first and second steps."""
    folder = fresh(WORK / "idle")
    settings = Settings(core=CoreSettings(domains=(DOMAIN,)), location=LocationSettings(db_mode=db_mode))
    conf = write_conf(folder, settings, {"alice": PASSWORD})
    with running(folder, conf, media=False, prefix=["taskset", "-c", "0"]):
        end = End("127.0.0.1", "alice")
        end.sock.setblocking(True)
        end.sock.settimeout(5)
        call_id, tag = ids.new_call_id(), ids.new_tag()
        steps = []
        for number in range(count + 20):
            steps.append(register(end, call_id, 2 * number + 1, tag))
            time.sleep(PAUSE)
    return [first for first, _ in steps[20:]], [second for _, second in steps[20:]]


def p99(values: list[float]) -> float:
    """Of a hundred, one is slower."""
    return statistics.quantiles(values, n=100)[98]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    options = parser.parse_args()
    own_network()
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    middle = {}
    for name, db_mode in (("memory", 0), ("disk", 1)):
        first, second = measured(db_mode, options.count)
        both = [one + two for one, two in zip(first, second, strict=True)]
        middle[name] = statistics.median(both)
        print(
            f"{name}: 401 p50 {statistics.median(first):.2f} ms, p99 {p99(first):.2f}; 200 p50 {statistics.median(second):.2f} ms,"
            f" p99 {p99(second):.2f}; both p50 {middle[name]:.2f} ms"
        )
    commit = statistics.median(commits(WORK / "idle", options.count))
    print(f"one commit by itself: p50 {commit:.2f} ms")
    print(f"ratio idle_register_memory {middle['memory'] / MOST_MS:.2f} (of {MOST_MS:g} ms)")
    print(f"ratio idle_register_disk {(middle['disk'] - middle['memory']) / commit:.2f} (commits beyond memory; allowed 2)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
