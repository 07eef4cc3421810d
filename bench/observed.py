"""What being seen and guarded costs a plain call: ``make bench-observed``.

The same server in turns, pinned to core 0: with metrics, limits and log as they come, with these off, and with calls untracked as well
(``[dialog] track``, which ``dlg.list`` and presence live on).
Caller and callee come from addresses that aren't trusted, and the limits are set so high that everything is counted and nothing
dropped. The last line is CPU with metrics, limits and log over CPU without, of medians; the one before counts tracking in.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools"), str(TOP / "bench")]

from compare import DOMAIN, load  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, Settings, StorageSettings  # noqa: E402

CASES = ("on", "off", "bare")
ENDS = ("--uac-ip", "127.0.0.2", "--uas-ip", "127.0.0.3")
NOT_DROPPED: dict[str, dict[str, Any]] = {"defence": {"trusted": (), "rate": 1e6, "burst": 1e6, "transactions_per_source": 1_000_000}}
OFF: dict[str, dict[str, Any]] = {
    "defence": {"enabled": False},
    "metrics": {"enabled": False},
    "log": {"level": "error", "calls": "none"},
}
CHANGES = {"on": NOT_DROPPED, "off": OFF, "bare": {**OFF, "dialog": {"track": "browser"}}}


def changed(settings: Settings, changes: dict[str, dict[str, Any]]) -> Settings:
    """The settings with others in these sections; a section or name that this version lacks is left out."""
    for section, values in changes.items():
        old = getattr(settings, section, None)
        if old is not None:
            known = {each.name for each in fields(old)}
            new = replace(old, **{name: value for name, value in values.items() if name in known})
            settings = replace(settings, **{section: new})
    return settings


@contextmanager
def server(case: str, work: Path) -> Iterator[int]:
    """The server, on or off; the process that its tree begins with."""
    folder = fresh(work / case)
    settings = Settings(
        core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")),
        auth=AuthSettings(enabled=False),
        location=LocationSettings(db_mode=0),
        storage=StorageSettings(url="sqlite:bench.sqlite"),
    )
    settings = changed(settings, CHANGES[case])
    with running(folder, write_conf(folder, settings), media=False, prefix=("taskset", "-c", "0")) as part:
        assert part.process is not None
        yield part.process.pid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=500, help="calls a second")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    bench = options.bench.resolve()
    if not (bench / "bench.py").exists():
        sys.exit(f"{bench} has no bench.py")
    own_network()
    work = fresh(WORK / "observed")
    results = work / "runs.jsonl"
    for turn in range(options.runs):
        # Who goes first changes, so that neither always finds the machine warmed up by the other.
        for case in CASES if turn % 2 == 0 else CASES[::-1]:
            print(f"-- run {turn + 1}: {case}", flush=True)
            with server(case, work) as pid:
                once = ["--repeat", "1", "--rate", str(options.rate), "--seconds", str(options.seconds)]
                load(bench, pid, "fill", "call", *once, *ENDS, "--json", str(results), "--label", case)
    values: dict[str, list[float]] = {case: [] for case in CASES}
    for line in results.read_text().splitlines():
        row = json.loads(line)
        if row["failed"] or row["not_finished"]:
            # What failed calls cost says nothing.
            sys.exit(f"{row['label']}: {row['failed']} calls failed, {row['not_finished']} not finished")
        values[row["label"]].append(row["cpu_us_server"])
    middle = {case: statistics.median(runs) for case, runs in values.items()}
    for case, runs in values.items():
        print(f"{case}: {middle[case]:.0f} us a call ({min(runs):.0f}, {max(runs):.0f})")
    print(f"ratio observed_and_tracked_call {middle['on'] / middle['bare']:.3f}")
    print(f"ratio observed_call {middle['on'] / middle['off']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
