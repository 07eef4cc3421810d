"""How late the console is, and how much a recorded call takes: ``make bench-console``.

100 calls a second of 160 users with passwords, ``[recorder]`` and ``[console]`` on, a page of the console open. Each line that the page is
sent has the time of the call's last event; what counts is how long after it the line is there, which is when the ladder's arrow is, for
both go out in the same round. Aimed at: p99 at most 500 ms. Beside it the same without a page, for what calls notice of one that looks;
and the octets and the memory of 10,000 recorded calls.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools")]

import outage  # noqa: E402
from abuse import DOMAIN, PASSWORD  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402
from outage import Town, times_of  # noqa: E402

from sipnode.console.members import hashed  # noqa: E402
from sipnode.insight.ring import Ring  # noqa: E402
from sipnode.settings import ConsoleSettings, CoreSettings, RecorderSettings, Settings  # noqa: E402

WEB = 8080
MOST_MS = 500.0
CALLS = 100.0
MANY = 10_000


class Page(threading.Thread):
    """The console's page, as far as it takes what it is sent.

    Attributes:
        ms: From the last event of a call until its line came.
        rounds: So often something came.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ms: list[float] = []
        self.rounds = 0
        self._over = False
        self._connection = http.client.HTTPConnection("127.0.0.1", WEB, timeout=30)
        said = json.dumps({"user": "bench", "password": PASSWORD})
        headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{WEB}"}
        self._connection.request("POST", "/console/api/signin", said, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"no sign-in: {answer.status} {body!r}")
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        self._connection.request("GET", "/console/api/feed", headers={"Cookie": cookie})
        self._feed = self._connection.getresponse()

    def run(self) -> None:
        """Until :meth:`stop`."""
        event = ""
        while not self._over:
            line = self._feed.readline()
            if line.startswith(b"event: "):
                event = line[7:].strip().decode()
            elif line.startswith(b"data: ") and event == "lines":
                now = time.time()
                lines: list[dict[str, Any]] = json.loads(line[6:])
                self.rounds += 1
                self.ms += [(now - one["last"]) * 1000 for one in lines]

    def stop(self) -> None:
        """No more."""
        self._over = True
        self.join()
        self._connection.close()


def live(seconds: float, look: bool) -> tuple[list[float], int, str]:
    """Calls for so long: milliseconds of each line, rounds, and how long the calls took to be up."""
    folder = fresh(WORK / "console")
    member = f"bench viewer {hashed(PASSWORD)}"
    settings = Settings(
        core=CoreSettings(domains=(DOMAIN,)),
        recorder=RecorderSettings(enabled=True),
        console=ConsoleSettings(enabled=True, users=(member,)),
    )
    conf = write_conf(folder, settings, {f"u{number}": PASSWORD for number in range(outage.USERS)})
    with running(folder, conf, media=False, web=WEB, prefix=("taskset", "-c", "0")):
        town = Town()
        town.sign_in()
        page = Page() if look else None
        if page is not None:
            page.start()
        town.run(seconds, "now", town.known)
        town.finish()
        if page is not None:
            page.stop()
    calls = [ask for ask in town.ended if ask.kind == "call"]
    failed = [ask.result for ask in calls if ask.result != "ok"]
    if failed:
        sys.exit(f"{len(failed)} of {len(calls)} calls failed: {failed[0]}")
    return (page.ms if page is not None else []), (page.rounds if page is not None else 0), times_of(calls)


def memory(recorded: bool) -> tuple[float, int]:
    """A server in this process has had so many calls: MiB that they left, and octets of the records."""
    import replay
    from sipnode.settings import RecorderSettings as Recorder

    replay.RecorderSettings = lambda enabled: Recorder(enabled=enabled, megabytes=1024)
    with tempfile.TemporaryDirectory() as folder:
        one = replay.Replay(False, Path(folder), recorded)
        for _ in range(200):
            one.call()
        one.settle()
        before = resident()
        for _ in range(MANY):
            one.call()
        one.settle()
        return resident() - before, sum(each.size for each in gc.get_objects() if isinstance(each, Ring))


def resident() -> float:
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--memory", choices=("on", "off"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(memory(options.memory == "on")))
        return 0
    own_network()
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    outage.CALLS = CALLS
    _, _, alone = live(options.seconds, look=False)
    ms, rounds, seen = live(options.seconds, look=True)
    late = statistics.quantiles(ms, n=100)
    print(f"{len(ms)} lines in {rounds} rounds: p50 {statistics.median(ms):.0f} ms, p99 {late[-1]:.0f}, longest {max(ms):.0f}")
    print(f"calls without a page: {alone}")
    print(f"calls with a page:    {seen}")
    left = {}
    for how in ("off", "on"):
        with os.popen(f"{sys.executable} {Path(__file__)} --memory {how}") as asked:
            left[how], octets = json.loads(asked.read().splitlines()[-1])
    each = (left["on"] - left["off"]) * 1024 / MANY
    print(f"{MANY} recorded calls: {octets / MANY / 1024:.2f} KiB each by the records' own count, {each:.2f} KiB of memory")
    print(f"ratio arrow_latency {late[-1] / MOST_MS:.2f} (of {MOST_MS:g} ms)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
