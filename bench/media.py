"""``make bench-media``: what a call with rtpengine costs the server itself, beside Kamailio with its rtpengine module and the
same daemon; and what others feel while no node answers, when one of two dies, or when the server itself is killed.

Needs the folder ``bench`` with bench.py and kamailio/ (``--bench``), SIPp, Kamailio and rtpengine. The servers run one at a time, in turns,
pinned to core 0, load and daemon on core 1; the daemon's CPU isn't counted. ``--only`` names parts: ``silent``, ``killed``, ``killed9``,
``call``.
The last line is ``ratio media_call``, of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools"), str(TOP / "bench")]

import interpreter  # noqa: E402
from compare import AS_IT_STANDS, DOMAIN, Ours, load  # noqa: E402
from ends import Ends, Probe, Record, options, register  # noqa: E402
from harness import NG, WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.check.relay import Node  # noqa: E402
from sipnode.demo import probes  # noqa: E402
from sipnode.demo.parts import Part, rtpengine_command  # noqa: E402
from sipnode.media import ng  # noqa: E402
from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, MediaSettings, Settings, StorageSettings  # noqa: E402

PARTS = ("silent", "killed", "killed9", "call")
SERVERS = ("sipnode", "kamailio")
WORKERS = "4"
"""Kamailio's: one that waits for the daemon takes nothing else meanwhile."""
FLAGS = "replace-origin replace-session-connection ICE=remove"
HALVES = ((30000, 34999), (35000, 39999))
LOST = 5.0
"""``[media] lost_seconds`` of that measurement: the default is longer."""
MINUTE = 60.0

# The reference configuration with the relay in it: what is replaced, by what.
KAMAILIO = (
    (
        'loadmodule "nathelper.so"\n',
        f'loadmodule "nathelper.so"\nloadmodule "rtpengine.so"\nmodparam("rtpengine", "rtpengine_sock", "udp:{NG}")\n',
    ),
    (
        '\t\t\tif (is_method("INVITE|UPDATE|SUBSCRIBE")) record_route();\n',
        '\t\t\tif (is_method("INVITE|UPDATE|SUBSCRIBE")) record_route();\n'
        '\t\t\tif (is_method("BYE") || has_body("application/sdp")) rtpengine_manage("' + FLAGS + '");\n',
    ),
    ('\tt_on_reply("NAT");\n', '\tif (is_method("INVITE")) rtpengine_manage("' + FLAGS + '");\n\tt_on_reply("NAT");\n'),
    (
        "onreply_route[NAT] {\n",
        'onreply_route[NAT] {\n\tif (is_method("INVITE") && has_body("application/sdp")) rtpengine_manage("' + FLAGS + '");\n',
    ),
)


@contextmanager
def daemon(folder: Path, place: str = NG, ports: tuple[int, int] = (30000, 39999), *more: str) -> Iterator[Part]:
    """An rtpengine on core 1, which says nothing of what goes well."""
    name = f"rtpengine-{place.rpartition(':')[2]}"
    part = Part(name, ["taskset", "-c", "1", *rtpengine_command("127.0.0.1", place, ports, 4), *more], folder / f"{name}.log")
    part.start()
    try:
        host, _, port = place.rpartition(":")
        if not part.wait_ready(lambda: probes.media_relay(host, int(port)), 10):
            sys.exit(f"rtpengine didn't start:\n{part.last_words()}")
        yield part
    finally:
        part.stop()


@contextmanager
def sipnode(folder: Path, ours: Ours, media: MediaSettings) -> Iterator[int]:
    """The server on core 0; the process that its tree begins with."""
    settings = Settings(
        core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")),
        auth=AuthSettings(enabled=False),
        location=LocationSettings(db_mode=0),
        storage=StorageSettings(url="sqlite:bench.sqlite"),
        media=media,
    )
    prefix = ("taskset", "-c", "0", "env", f"PYTHONPATH={ours.paths['sipnode']}")
    with running(folder, write_conf(folder, settings), media=False, prefix=prefix, python=ours.on.python) as part:
        assert part.process is not None
        yield part.process.pid


@contextmanager
def kamailio(folder: Path, bench: Path) -> Iterator[int]:
    """The reference server with its rtpengine module, on core 0."""
    text = (bench / "kamailio" / "kamailio.cfg").read_text()
    for old, new in KAMAILIO:
        if text.count(old) != 1:
            sys.exit(f"kamailio.cfg has changed: {old.strip()} isn't there once")
        text = text.replace(old, new)
    (folder / "kamailio.cfg").write_text(text)
    start = folder / "start.sh"
    start.write_text((bench / "kamailio" / "start.sh").read_text())
    part = Part("kamailio", ["bash", str(start), "-w", WORKERS, "-c", "0", "-d", str(folder / "run")], folder / "kamailio.log")
    part.start()
    try:
        if not part.wait_ready(lambda: probes.sip_server("127.0.0.1", 5060), 10):
            sys.exit(f"Kamailio didn't start:\n{part.last_words()}")
        assert part.process is not None
        yield part.process.pid
    finally:
        part.stop()


def costs(bench: Path, work: Path, ours: Ours, runs: int, rate: int, seconds: float) -> dict[str, list[float]]:
    """CPU microseconds of a call in each run, by server."""
    results = work / "runs.jsonl"
    for turn in range(runs):
        # Who goes first changes, so that neither always finds the machine warmed up by the other.
        for name in SERVERS if turn % 2 == 0 else SERVERS[::-1]:
            print(f"-- run {turn + 1}: {name}", flush=True)
            folder = fresh(work / name)
            with daemon(folder), sipnode(folder, ours, MediaSettings(nodes=(NG,))) if name == "sipnode" else kamailio(folder, bench) as pid:
                how = ["--repeat", "1", "--rate", str(rate), "--seconds", str(seconds)]
                load(bench, pid, "fill", "call", *how, "--json", str(results), "--label", name)
    values: dict[str, list[float]] = {name: [] for name in SERVERS}
    for line in results.read_text().splitlines():
        row = json.loads(line)
        if row["failed"] or row["not_finished"]:
            print(f"WARNING {row['label']}: {row['failed']} calls failed, {row['not_finished']} not finished", flush=True)
        values[row["label"]].append(row["cpu_us_server"])
    return values


def silent(work: Path, ours: Ours, rate: float, seconds: float) -> str:
    """What others feel while calls come and no node answers, as a line."""
    with ExitStack() as ends:
        holes = [ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for hole in holes:
            hole.bind(("127.0.0.1", 0))
        media = MediaSettings(nodes=tuple(f"127.0.0.1:{hole.getsockname()[1]}" for hole in holes))
        ends.enter_context(sipnode(fresh(work / "silent"), ours, media))
        callers = Ends()
        ends.callback(callers.close)
        callers.register()
        felt = {"OPTIONS": Probe(options), "REGISTER": Probe(register)}
        for probe in felt.values():
            probe.start()
        callers.calls(rate, seconds, 1.0)
        over = time.monotonic() + seconds + 10
        callers.run(lambda: time.monotonic() > over or decided(callers, int(rate * seconds)))
        for probe in felt.values():
            probe.stop()
    statuses = Counter(record.status for record in callers.records.values())
    said = ", ".join(f"{count} {status or 'unanswered'}" for status, count in sorted(statuses.items()))
    waits = sorted(record.decided - record.started for record in callers.records.values() if record.decided)
    quick = "; ".join(f"{name} p99 {probe.quantile(0.99):.1f} ms, {probe.lost} lost" for name, probe in felt.items())
    middle = statistics.median(waits) if waits else 0.0
    return f"all nodes silent under {rate:g} calls/s for {seconds:g} s: {said}, after {middle:.2f} s as a rule; {quick}"


def decided(callers: Ends, count: int) -> bool:
    """All calls were made and have a final response."""
    return len(callers.records) >= count and all(record.decided for record in callers.records.values())


def killed(work: Path, ours: Ours, rate: float, before: float, after: float) -> str:
    """One of two nodes is killed under calls that hold on: which fail and which go on, as a line."""
    places = [NG, f"127.0.0.1:{int(NG.rpartition(':')[2]) + 1}"]
    folder = fresh(work / "killed")
    with ExitStack() as ends:
        victim, _ = [ends.enter_context(daemon(folder, place, ports)) for place, ports in zip(places, HALVES, strict=True)]
        ends.enter_context(sipnode(folder, ours, MediaSettings(nodes=tuple(places), lost_seconds=LOST)))
        callers = Ends()
        ends.callback(callers.close)
        callers.register()
        gone: dict[str, float] = {}
        there: list[Record] = []

        def kill() -> None:
            gone["at"] = time.monotonic()
            there.extend(record for record in callers.records.values() if record.up and on(record.port, HALVES[0]))
            gone["others"] = sum(record.up for record in callers.records.values()) - len(there)
            assert victim.process is not None
            victim.process.kill()

        callers.calls(rate, before + after, before + after)
        callers.at(before, kill)
        over = time.monotonic() + before + after
        # All that are up then are counted before the first of them hangs up.
        callers.run(lambda: time.monotonic() > over - 0.2)
        alive = {id(record) for record in callers.records.values() if record.up}
        others = sum(record.up and record.decided < gone["at"] and record not in there for record in callers.records.values())
    later = [record for record in callers.records.values() if record.started + 3 < over and not (record.decided and record.status == 200)]
    last = max((record.decided or over for record in later), default=gone["at"]) - gone["at"]
    new = sum(record.started > gone["at"] for record in callers.records.values())
    moved = [record for record in there if id(record) in alive and on(record.offered_port, HALVES[1])]
    soon = max((record.offered - gone["at"] for record in moved), default=0.0)
    told = [record for record in there if "Media relay lost" in record.reason]
    return (
        f"one of two nodes killed under {rate:g} calls/s: {len(later)} of {new} later calls failed, the last after {last:.1f} s; of "
        f"{len(there)} calls on it {len(moved)} were moved to the other, the last after {soon:.1f} s, and {len(told)} were ended; "
        f"{others} of {gone['others']:.0f} calls of the other node went on"
    )


def held(node: Node) -> int:
    """How many calls a daemon has."""
    calls = node.ask(ng.list_calls()).get(b"calls")
    return len(calls) if isinstance(calls, list) else 0


def killed9(work: Path, ours: Ours, count: int) -> str:
    """``kill -9`` of the server with so many calls up and so many ringing, and another start: what the daemon holds of them, as a line."""
    folder = fresh(work / "killed9")
    media = MediaSettings(nodes=(NG,))
    node = Node(*_place(NG))
    with ExitStack() as ends:
        # Nobody speaks in these calls: of itself the daemon mustn't end them.
        ends.enter_context(daemon(folder, NG, (30000, 39999), "--timeout=3600"))
        callers = Ends()
        ends.callback(callers.close)
        with sipnode(folder, ours, media) as pid:
            callers.register()
            up = [callers.call() for _ in range(count)]
            wait(callers, lambda: all(record.up for record in up))
            callers.rings = 3600.0
            ringing = [callers.call() for _ in range(count)]
            wait(callers, lambda: held(node) == 2 * count)
            os.kill(pid, signal.SIGKILL)
        before = held(node)
        began = time.monotonic()
        with sipnode(folder, ours, media):
            started = time.monotonic() - began
            wait(callers, lambda: held(node) <= count, 3 * MINUTE)
            freed = time.monotonic() - began
            wait(callers, lambda: False, 5)
            talking = held(node)
            for record in up:
                callers.hang_up(record)
            over = time.monotonic()
            wait(callers, lambda: not held(node), MINUTE)
            gone = time.monotonic() - over
            byes = sum(record.over == 200 for record in up)
            wait(callers, lambda: time.monotonic() - over > MINUTE, MINUTE + 1)
            left = held(node)
    return (
        f"kill -9 with {len(up)} calls up and {len(ringing)} ringing: the daemon holds {before}; the server is back {started:.1f} s later, "
        f"and after {freed:.0f} s what rang is freed and {talking} are there, which are up; {byes} of {len(up)} BYEs got their 200, the "
        f"daemon holds none {gone:.1f} s after them and {left} a minute after"
    )


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def wait(callers: Ends, until: Callable[[], bool], seconds: float = 20.0) -> None:
    """Go on until that is so, or for so long."""
    over, due = time.monotonic() + seconds, 0.0

    def enough() -> bool:
        nonlocal due
        now = time.monotonic()
        if now >= over:
            return True
        if now < due:
            return False
        due = now + 0.1
        return until()

    callers.run(enough)


def on(port: int, half: tuple[int, int]) -> bool:
    """Whether a port is of that node."""
    return half[0] <= port <= half[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--only", default=",".join(PARTS), help=f"comma-separated: {', '.join(PARTS)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=300, help="calls a second, of call")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pure", action="store_true", help="ours in pure Python")
    parser.add_argument("--python", default="", help="the Python of our server (default: the system's where it does)")
    parser.add_argument("--here", action="store_true", help="ours as it stands, on the Python that this runs on")
    given = parser.parse_args()
    wanted = [part for part in given.only.split(",") if part in PARTS]
    bench = given.bench.resolve()
    if not wanted or ("call" in wanted and not (bench / "bench.py").exists()):
        sys.exit(f"{bench} has no bench.py, or --only names no part")
    work = WORK / "bench-media"
    work.mkdir(parents=True, exist_ok=True)
    ours = AS_IT_STANDS
    if not given.here:
        # What is installed and compiled comes first: the network below is loopback alone.
        chosen = interpreter.choose(given.python, work)
        ours = Ours(chosen, {"sipnode": chosen.path(not given.pure)})
    own_network()
    os.sched_setaffinity(0, {1})
    print(f"-- sipnode {'pure' if given.pure or given.here else 'compiled'} on {ours.on.name}", flush=True)
    if "silent" in wanted:
        print("=> " + silent(work, ours, 50, 2 * given.seconds), flush=True)
    if "killed" in wanted:
        print("=> " + killed(work, ours, 20, given.seconds, 2 * given.seconds), flush=True)
    if "killed9" in wanted:
        print("=> " + killed9(work, ours, 20), flush=True)
    if "call" in wanted:
        (work / "runs.jsonl").unlink(missing_ok=True)
        values = costs(bench, work, ours, given.runs, given.rate, given.seconds)
        middle = {name: statistics.median(runs) for name, runs in values.items()}
        for name, runs in values.items():
            print(f"{name}: {middle[name]:.0f} us a call with media ({min(runs):.0f}, {max(runs):.0f})")
        print(f"ratio media_call {middle['sipnode'] / middle['kamailio']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
