"""``make bench-tls``: handshakes, requests and idle connections over TLS and secure WebSocket beside one Kamailio worker.

Needs the folder ``bench`` with streams.py and kamailio/start.sh (``--bench``) and Kamailio. Servers run one at a time, in turns, pinned
to core 0, the load on core 1. The table goes into docs/understand/performance.rst; the last lines are the ratios of the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from compare import PAGE, ratio
from harness import WORK, fresh, own_network, running, write_conf, write_tls
from postgres import listed

from sipnode.demo import probes
from sipnode.demo.parts import Part
from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, Settings, StorageSettings, TLSSettings, TransportSettings

TOP = Path(__file__).resolve().parent.parent
BEGIN, END = ".. bench-tls: begin", ".. bench-tls: end"
SERVERS = ("sipnode", "kamailio")
# Name of the ratio: what the table says, test, kind.
TESTS = {
    "full_handshake": ("full TLS 1.3 handshake", "full", "tls"),
    "resumed_handshake": ("resumed TLS 1.3 handshake", "resumed", "tls"),
    "tls_register": ("REGISTER on an open TLS connection", "register", "tls"),
    "wss_register": ("REGISTER on an open wss connection", "register", "wss"),
    "wss_open": ("opening a wss connection", "full", "wss"),
}
RATES = {"full": "150", "resumed": "150", "register": "500"}


@contextmanager
def server(name: str, work: Path, bench: Path) -> Iterator[int]:
    """One of the two, pinned to core 0; the process that its tree begins with."""
    folder = fresh(work / name)
    if name == "kamailio":
        command = [str(bench / "kamailio" / "start.sh"), "-w", "1", "-c", "0", "-d", str(folder / "run"), "-A", "WITH_TLS", "-A", "WITH_WS"]
        part = Part(name, ["env", "SHM=4096", *command], folder / "kamailio.log")
        part.start()
        try:
            if not part.wait_ready(lambda: probes.sip_server("127.0.0.1", 5060), 15):
                sys.exit(f"Kamailio didn't start:\n{part.last_words()}")
            assert part.process is not None
            yield part.process.pid
        finally:
            part.stop()
        return
    write_tls(folder, "bench.test")
    settings = Settings(
        core=CoreSettings(domains=("bench.test",), listen=("udp:127.0.0.1:5060", "tls:127.0.0.1:5061", "wss:127.0.0.1:5061")),
        auth=AuthSettings(enabled=False),
        location=LocationSettings(db_mode=0),
        storage=StorageSettings(url="sqlite:bench.sqlite"),
        transport=TransportSettings(origins=("*",)),
        tls=TLSSettings(config="tls.cfg"),
    )
    with running(folder, write_conf(folder, settings), media=False, prefix=("taskset", "-c", "0")) as part:
        assert part.process is not None
        yield part.process.pid


def load(bench: Path, pid: int, results: Path, *arguments: str) -> dict[str, float]:
    """Run streams.py against what listens; its figures."""
    results.unlink(missing_ok=True)
    where = ["--server", "127.0.0.1:5061", "--pid", str(pid), "--load-cpus", "1", "--json", str(results)]
    subprocess.run([sys.executable, "-B", str(bench / "streams.py"), *arguments, *where], check=True)
    (line,) = results.read_text().splitlines()
    row: dict[str, float] = json.loads(line)
    if row["failed"]:
        print(f"WARNING {row['failed']} failed", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--idle", type=int, default=2000, help="idle wss connections")
    parser.add_argument("--only", default="", help="ratios to measure, e.g. wss_open,idle_memory; nothing is written then")
    parser.add_argument("--no-write", action="store_true", help="leave docs/understand/performance.rst as it is")
    options = parser.parse_args()
    bench = options.bench.resolve()
    if not (bench / "streams.py").exists():
        sys.exit(f"{bench} has no streams.py")
    own_network()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    work = WORK / "bench-tls"
    work.mkdir(parents=True, exist_ok=True)
    results = work / "runs.jsonl"
    wanted = set(options.only.split(",")) - {""} or {*TESTS, "idle_memory"}
    tests = {name: test for name, test in TESTS.items() if name in wanted}
    values: dict[str, dict[str, list[float]]] = {name: {one: [] for one in SERVERS} for name in tests}
    idle: dict[str, dict[str, float]] = {}
    for turn in range(options.runs if tests else 0):
        for name in SERVERS:
            print(f"-- run {turn + 1}: {name}", flush=True)
            with server(name, work, bench) as pid:
                for key, (_, test, kind) in tests.items():
                    how = ["--kind", kind, "--rate", RATES[test], "--seconds", str(options.seconds), "--repeat", "1"]
                    row = load(bench, pid, results, test, *how)
                    values[key][name].append(next(value for figure, value in row.items() if figure.startswith("cpu_us_")))
    for name in SERVERS if "idle_memory" in wanted else ():
        print(f"-- {options.idle} idle wss connections: {name}", flush=True)
        with server(name, work, bench) as pid:
            row = load(bench, pid, results, "idle", "--kind", "wss", "--connections", str(options.idle), "--open-rate", "200")
            idle[name] = {figure.rpartition("_")[0]: value for figure, value in row.items() if isinstance(value, float)}
    rows = [["CPU µs each, median (lowest, highest)", "sipnode", "Kamailio, one worker", "ratio"]]
    for key, (label, _, _) in tests.items():
        cells = [f"{statistics.median(runs):.0f} ({min(runs):.0f}, {max(runs):.0f})" for runs in values[key].values()]
        rows.append([label, *cells, f"{ratio(values[key]):.2f}"])
    memory = {name: row["registered_kib"] for name, row in idle.items()}
    if memory:
        cells = [f"{memory[name]:.1f}" for name in SERVERS]
        rows.append([f"KiB of an idle wss connection, of {options.idle:,}", *cells, f"{memory['sipnode'] / memory['kamailio']:.2f}"])
        for label, figure in (("MiB before", "base_mib"), ("MiB after all have closed", "after_mib")):
            rows.append([label, *(f"{idle[name][figure]:.0f}" for name in SERVERS), ""])
    text = "\n".join([f"Measured on {date.today()}, {options.runs} runs in turns, TLS 1.3, ECDSA P-256.", "", *listed(rows)])
    print(text)
    if not (options.no_write or options.only):
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
    for key in tests:
        print(f"ratio {key} {ratio(values[key]):.2f}")
    if memory:
        print(f"ratio idle_memory {memory['sipnode'] / memory['kamailio']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
