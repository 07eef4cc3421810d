"""Calls that fail while PostgreSQL is stopped, with passwords: who makes them, and why. A part of ``make bench-freeze``.

200 users of a PostgreSQL database call each other, 50 calls a second, each INVITE with digest. 160 of them have signed in; 40 are new: the
server has never heard of them when PostgreSQL is stopped (SIGSTOP) for 120 seconds. Those who have signed in refresh their
registration once a minute. Needs the folder ``bench`` with postgres.sh (``--bench``). The last line counts calls of users that had signed
in and failed; one is a failure of the run.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools")]

from abuse import AGAIN, PASSWORD, End, credentials  # noqa: E402
from cluster import DOMAIN, cluster, settings, url  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.demo.parts import Part  # noqa: E402
from sipnode.settings import AuthSettings  # noqa: E402
from sipnode.sip import build, ids  # noqa: E402
from sipnode.sip.message import SipRequest, SipResponse  # noqa: E402
from sipnode.sip.parser import BrokenMessage, parse_message  # noqa: E402
from sipnode.storage.factory import user_table  # noqa: E402

USERS, NEW = 200, 40
CALLS = 50.0
BEFORE, AFTER = 20.0, 20.0
REFRESH = 60.0
TALK = 0.5
GIVE_UP = 32.0
NEVER = float("inf")


class Ask:
    """One request with its challenge and, where it is an INVITE that was answered, its call.

    Attributes:
        kind: "call" or "REGISTER".
        phase: When it began: "before", "stopped", "after".
        result: "ok", a status with its phrase, or "no answer"; "" while it is under way.
        setup: Seconds until the final response.
    """

    def __init__(self, user: End, kind: str, uri: str, to: str, phase: str, now: float) -> None:
        self.user, self.kind, self.phase, self.began = user, kind, phase, now
        self.method = "INVITE" if kind == "call" else "REGISTER"
        self.uri, self.to = uri, to
        self.call_id, self.tag = ids.new_call_id(), ids.new_tag()
        self.result, self.setup = "", 0.0
        self.hang_up_at = NEVER
        self._answer: SipResponse | None = None
        self._send(self.method, 1, [])

    def _send(self, method: str, cseq: int, more: list[tuple[str, str]]) -> None:
        uri, to = self.uri, self.to
        if self._answer is not None:
            to = self._answer.get("to") or ""
            uri = self._answer.values("contact")[0].strip("<>")
            more = [("route", value) for value in self._answer.values("record-route")[::-1]]
        request = self.user.request(method, uri, to, self.call_id, cseq, self.tag, more)
        data = self.user.send(request)
        if method != "ACK":
            self._request, self._data, self._method = request, data, method
            self._again = time.monotonic() + AGAIN

    def take(self, response: SipResponse) -> None:
        """A response to it."""
        if response.cseq_method != self._method or response.cseq != self._request.cseq:
            return
        self._again = NEVER
        if response.status < 200:
            return
        if self._method == "BYE":
            self.result = "ok" if response.status == 200 else f"BYE: {response.status} {response.reason}"
            return
        if self._method == "INVITE" and response.status >= 300:
            self.user.send(build.ack_for(self._request, response))
        if response.status in (401, 407) and response.cseq == 1:
            self._send(self.method, 2, [credentials(response, self.method, self.uri, self.user.user)])
            return
        self.setup = time.monotonic() - self.began
        if response.status != 200:
            self.result = f"{response.status} {response.reason}"
        elif self.kind == "REGISTER":
            self.result = "ok"
        else:
            self._answer = response
            self._send("ACK", response.cseq, [])
            self.hang_up_at = time.monotonic() + TALK

    def tick(self, now: float) -> None:
        """Repeat, hang up, give up."""
        if now > self.began + GIVE_UP and not self.result:
            self.result = "no answer"
        elif now >= self.hang_up_at:
            self.hang_up_at = NEVER
            self._send("BYE", 3, [])
        elif now >= self._again:
            self.user.send(self._request)
            self._again = now + AGAIN


class Town:
    """All users.

    Attributes:
        ended: Everything that was asked.
    """

    def __init__(self) -> None:
        self.users = [End(f"127.0.1.{1 + number % 200}", f"u{number}") for number in range(USERS)]
        self.known, self.new = self.users[NEW:], self.users[:NEW]
        self.ended: list[Ask] = []
        self._open: dict[str, Ask] = {}
        self._selector = selectors.DefaultSelector()
        for user in self.users:
            self._selector.register(user.sock, selectors.EVENT_READ, user)

    def register(self, user: End, phase: str) -> None:
        """Sign in, or refresh."""
        self._begin(Ask(user, "REGISTER", f"sip:{DOMAIN}", f"<sip:{user.user}@{DOMAIN}>", phase, time.monotonic()))

    def call(self, user: End, phase: str) -> None:
        """Call somebody who has signed in."""
        callee = random.choice(self.known)
        aor = f"sip:{callee.user}@{DOMAIN}"
        self._begin(Ask(user, "call", aor, f"<{aor}>", phase, time.monotonic()))

    def _begin(self, ask: Ask) -> None:
        self._open[ask.call_id] = ask

    def sign_in(self) -> None:
        """Everybody who is known, some a moment."""
        for user in self.known:
            self.register(user, "sign-in")
            self.listen(0.01)
        while self._open:
            self.listen(0.01)
        failed = [ask.result for ask in self.ended if ask.result != "ok"]
        if failed:
            sys.exit(f"{len(failed)} users can't sign in: {failed[0]}")
        self.ended.clear()

    def run(self, seconds: float, phase: str, callers: list[End]) -> None:
        """Calls of these users, and refreshes of the known, for so long."""
        start, calls, refreshes = time.monotonic(), 0, 0
        while (now := time.monotonic()) < start + seconds:
            while calls < (now - start) * CALLS:
                self.call(callers[calls % len(callers)], phase)
                calls += 1
            while refreshes < (now - start) * len(self.known) / REFRESH:
                self.register(self.known[refreshes % len(self.known)], phase)
                refreshes += 1
            self.listen(0.002)

    def finish(self) -> None:
        """Until all has ended."""
        while self._open:
            self.listen(0.01)

    def listen(self, seconds: float) -> None:
        """Take what has come, and do what is due."""
        for key, _ in self._selector.select(seconds):
            user: End = key.data
            while True:
                try:
                    message = parse_message(user.sock.recv(65535))
                except BlockingIOError:
                    break
                except BrokenMessage:
                    continue
                if isinstance(message, SipRequest):
                    answer(user, message)
                elif message.call_id in self._open:
                    self._open[message.call_id].take(message)
        now = time.monotonic()
        for ask in list(self._open.values()):
            ask.tick(now)
            if ask.result:
                self.ended.append(self._open.pop(ask.call_id))


def answer(user: End, request: SipRequest) -> None:
    """A callee answers every call."""
    if request.method == "ACK":
        return
    lines = [("record-route", value) for value in request.get_all("record-route")]
    lines.append(("contact", f"<sip:{user.user}@{user.at}>"))
    user.send(build.response_to(request, 200, "", f"t{user.user}", lines))


@contextmanager
def stopped(postmaster: int) -> Iterator[None]:
    """PostgreSQL with all of its backends, by SIGSTOP."""
    children = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    below = [int(pid) for child in children for pid in Path(f"/proc/{child}/task/{child}/children").read_text().split()]
    frozen = [postmaster, *children, *below]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    print(f"-- {len(frozen)} processes of PostgreSQL are stopped", flush=True)
    try:
        yield
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        print("-- PostgreSQL goes on", flush=True)


def server(work: Path, db_mode: int) -> tuple[Path, Path]:
    """The folder of its log, and its configuration: passwords are asked for."""
    folder = fresh(work / f"sipnode-{db_mode}")
    return folder, write_conf(folder, replace(settings(db_mode=db_mode), auth=AuthSettings()))


def run(database: Part, work: Path, db_mode: int, seconds: float) -> int:
    """One run, printed; calls of known users that failed."""
    assert database.process is not None
    folder, conf = server(work, db_mode)
    with running(folder, conf, media=False, prefix=("taskset", "-c", "0")):
        town = Town()
        town.sign_in()
        town.run(BEFORE, "before", town.known)
        with stopped(database.process.pid):
            mixed = random.sample(town.users, len(town.users))
            town.run(seconds, "stopped", mixed)
        town.run(AFTER, "after", mixed)
        town.finish()
    print(f"-- db_mode {db_mode}, PostgreSQL stopped for {seconds:g} s", flush=True)
    lost = 0
    for kind in ("call", "REGISTER"):
        for phase in ("before", "stopped", "after"):
            for who, users in (("signed in", town.known), ("new", town.new)):
                asks = [ask for ask in town.ended if (ask.kind, ask.phase) == (kind, phase) and ask.user in users]
                if not asks:
                    continue
                failed = Counter(ask.result for ask in asks if ask.result != "ok")
                if kind == "call" and who == "signed in":
                    lost += failed.total()
                why = "".join(f"; {times}: {result}" for result, times in failed.most_common())
                print(f"   {kind:8} {phase:8} {who:9} {len(asks):5}, {failed.total()} failed{why}; {times_of(asks)}")
    log = (folder / "sipnode.log").read_text("utf-8", "replace")
    for line in log.splitlines():
        if "store of users" in line or "Traceback" in line or "database" in line:
            print(f"   {line}")
    return lost


def times_of(asks: list[Ask]) -> str:
    """Milliseconds to the final response."""
    took = sorted(ask.setup * 1000 for ask in asks if ask.setup)
    if len(took) < 2:
        return "no times"
    return f"ms: median {statistics.median(took):.1f}, p99 {statistics.quantiles(took, n=100)[-1]:.1f}, longest {took[-1]:.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=TOP.parent / "shared" / "bench")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--db-mode", type=int, action="append", help="several times; 1 without it")
    options = parser.parse_args()
    own_network()
    work = WORK / "bench-outage"
    work.mkdir(parents=True, exist_ok=True)
    lost = 0
    with cluster(options.bench.resolve(), work) as database:
        table = user_table(url("sipnode"), "")
        for number in range(USERS):
            table.add(f"u{number}", DOMAIN, PASSWORD)
        for db_mode in options.db_mode or (1,):
            lost += run(database, work, db_mode, options.seconds)
    print(f"=> {lost} calls of users that had signed in failed")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
