"""What others feel of one who attacks: ``make bench-abuse``.

A server as it comes, but that loopback is no friend, on core 0. Ten users send OPTIONS, two more call each other, with digest; beside
them, in turns, nobody, one source with 1,000 REGISTER/s, one with 5,000 broken packets/s, and the floods of ``bench/floods.py``: HTTP
requests, WebSocket pings, calls of strangers that stay pending at one callee. The last lines are the p99 of the OPTIONS under attack
over that without (3 is what is aimed at), and by how much the server's memory grew. It fails where that p99 is 20 ms or more, memory
grew by more than 64 MiB, or a call fails.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools")]

from floods import FLOODS  # noqa: E402
from harness import WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.settings import CoreSettings, DefenceSettings, LocationSettings, Settings  # noqa: E402
from sipnode.sip import build, digest, ids  # noqa: E402
from sipnode.sip.message import SipRequest, SipResponse  # noqa: E402
from sipnode.sip.parser import BrokenMessage, parse_message  # noqa: E402

DOMAIN = "bench.test"
SERVER = ("127.0.0.1", 5060)
PASSWORD = "secret"
RATES = {"register": 1000, "broken": 5000}
ATTACKS = (*RATES, *FLOODS)
HOSTILE = {"register": "127.0.0.66", "broken": "127.0.0.67"}
MOST_MS = 20.0
MOST_TIMES = 3.0
MOST_MIB = 64.0
AGAIN = 0.5
GIVE_UP = 8.0
TALK = 0.3


# -- who attacks


def hostile_packets(kind: str) -> list[bytes]:
    """A few hundred different ones."""
    chance = random.Random(7)
    made = []
    for number in range(300):
        register = (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.66:5066;branch=z9hG4bKx{number}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{number}@{DOMAIN}>;tag={number}\r\nTo: <sip:{number}@{DOMAIN}>\r\nCall-ID: %s\r\nCSeq: 1 REGISTER\r\n"
            f"Contact: <sip:{number}@127.0.0.66:5066>\r\nExpires: 3600\r\nUser-Agent: phone\r\nContent-Length: 0\r\n\r\n"
        )
        if kind == "register":
            made.append(register.encode())
            continue
        data = bytearray(register.encode())
        if number % 3 == 0:
            del data[chance.randrange(20, len(data)) :]
        elif number % 3 == 1:
            for _ in range(40):
                data[chance.randrange(len(data))] = chance.randrange(256)
        else:
            data = bytearray(chance.randbytes(chance.randrange(30, 600)))
        made.append(bytes(data))
    return made


def attack(kind: str, seconds: float) -> None:
    """So many packets a second from one source, answers unread."""
    packets, rate = hostile_packets(kind), RATES[kind]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOSTILE[kind], 0))
        start, sent = time.monotonic(), 0
        while (passed := time.monotonic() - start) < seconds:
            while sent < passed * rate:
                data = packets[sent % len(packets)]
                sock.sendto(data % b"%d" % sent if kind == "register" else data, SERVER)
                sent += 1
            time.sleep(0.001)
    print(sent)


# -- users


class End:
    """One socket of a user."""

    def __init__(self, host: str, user: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.user = user
        self.at = f"{host}:{self.sock.getsockname()[1]}"

    def send(self, message: SipRequest | SipResponse) -> bytes:
        """Send, and give what was sent."""
        data = message.to_bytes()
        self.sock.sendto(data, SERVER)
        return data

    def request(self, method: str, uri: str, to: str, call_id: str, cseq: int, tag: str, more: list[tuple[str, str]]) -> SipRequest:
        """A request of this user's."""
        lines = [
            ("via", f"SIP/2.0/UDP {self.at};branch={ids.new_branch()};rport"),
            ("max-forwards", "70"),
            ("from", f"<sip:{self.user}@{DOMAIN}>;tag={tag}"),
            ("to", to),
            ("call-id", call_id),
            ("cseq", f"{cseq} {method}"),
            ("contact", f"<sip:{self.user}@{self.at}>"),
            *more,
        ]
        return build.request(method, uri, lines)


def credentials(response: SipResponse, method: str, uri: str, user: str) -> tuple[str, str]:
    """The header that answers a challenge."""
    ours, theirs = ("proxy-authorization", "proxy-authenticate") if response.status == 407 else ("authorization", "www-authenticate")
    offer = digest.parse_challenge(response.get_all(theirs)[0])
    return ours, digest.authorization(offer, method, uri, user, PASSWORD, "c")


class Call:
    """One call: challenge, ringing, answer, talk, BYE."""

    def __init__(self, caller: End, now: float) -> None:
        self.caller = caller
        self.call_id = ids.new_call_id()
        self.tag = ids.new_tag()
        self.started = now
        self.uri = f"sip:bob@{DOMAIN}"
        self.hang_up_at = 0.0
        self.answer: SipResponse | None = None
        self.done = False
        self._send("INVITE", 1, [])

    def _send(self, method: str, cseq: int, more: list[tuple[str, str]]) -> None:
        to, uri = f"<{self.uri}>", self.uri
        if self.answer is not None:
            to = self.answer.get("to") or ""
            uri = self.answer.values("contact")[0].strip("<>")
            more = [("route", value) for value in self.answer.values("record-route")[::-1]]
        self.invite = self.caller.request(method, uri, to, self.call_id, cseq, self.tag, more)
        self.data = self.caller.send(self.invite)
        self.again_at = time.monotonic() + AGAIN if method != "ACK" else 0.0

    def take(self, response: SipResponse) -> None:
        """A response to it."""
        status = response.status
        self.again_at = 0.0
        if status < 200:
            return
        if response.cseq_method == "BYE":
            self.done = True
        elif status == 407 and response.cseq == 1 and self.answer is None:
            self.caller.send(build.ack_for(self.invite, response))
            self._send("INVITE", 2, [credentials(response, "INVITE", self.uri, "alice")])
        elif status == 200:
            self.answer = response
            self._send("ACK", 2, [])
            self.hang_up_at = self.hang_up_at or time.monotonic() + TALK

    def tick(self, now: float) -> None:
        """Repeat what nobody answered; hang up."""
        if self.again_at and now >= self.again_at:
            self.caller.sock.sendto(self.data, SERVER)
            self.again_at = now + AGAIN
        if self.hang_up_at and now >= self.hang_up_at:
            self.hang_up_at = float("inf")
            self._send("BYE", 3, [])


class Users:
    """All who do no harm.

    Attributes:
        waits: Seconds of each OPTIONS.
        lost: OPTIONS that nobody answered.
        calls: Ended well. failed: Not.
        growth: Of the server's memory, MiB.
    """

    def __init__(self) -> None:
        self.askers = [End(f"127.0.0.{100 + number}", f"u{number}") for number in range(10)]
        self.alice, self.bob, self.carol = (End(f"127.0.0.{120 + number}", name) for number, name in enumerate(("alice", "bob", "carol")))
        self.selector = selectors.DefaultSelector()
        for end in (*self.askers, self.alice, self.bob, self.carol):
            self.selector.register(end.sock, selectors.EVENT_READ, end)
        self.asked: dict[str, float] = {}
        self.waits: list[float] = []
        self.open: dict[str, Call] = {}
        self.calls = self.failed = 0
        self.growth = 0.0
        self.registered: set[str] = set()

    @property
    def lost(self) -> int:
        """See above."""
        return len(self.asked)

    def register(self) -> None:
        """Sign bob and carol in."""
        for one in (self.bob, self.carol):
            one.send(one.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{one.user}@{DOMAIN}>", f"register-{one.user}", 1, "r", []))
        end = time.monotonic() + 5
        while len(self.registered) < 2:
            if time.monotonic() > end:
                sys.exit("the callee can't register")
            self.listen(0.1)

    def run(self, seconds: float, options_rate: float, calls_rate: float) -> None:
        """OPTIONS and calls for so long, then until all have ended."""
        start = time.monotonic()
        options = calls = 0
        while (now := time.monotonic()) < start + seconds or (self.open and now < start + seconds + GIVE_UP):
            if now < start + seconds:
                while options < (now - start) * options_rate:
                    self.ask(self.askers[options % len(self.askers)])
                    options += 1
                while calls < (now - start) * calls_rate:
                    call = Call(self.alice, now)
                    self.open[call.call_id] = call
                    calls += 1
            for call in list(self.open.values()):
                call.tick(now)
                if call.done or now > call.started + GIVE_UP:
                    del self.open[call.call_id]
                    self.calls += call.done
                    self.failed += not call.done
            self.listen(0.001)
        self.failed += len(self.open)

    def ask(self, end: End) -> None:
        """One OPTIONS."""
        call_id = ids.new_call_id()
        request = end.request("OPTIONS", f"sip:{DOMAIN}", f"<sip:{DOMAIN}>", call_id, 1, "o", [])
        self.asked[call_id] = time.perf_counter()
        end.send(request)

    def listen(self, seconds: float) -> None:
        """Take what has come."""
        for key, _ in self.selector.select(seconds):
            while True:
                try:
                    data = key.data.sock.recv(65535)
                except BlockingIOError:
                    break
                now = time.perf_counter()
                try:
                    message = parse_message(data)
                except BrokenMessage:
                    continue
                if isinstance(message, SipRequest):
                    self.serve(key.data, message)
                elif message.cseq_method == "OPTIONS":
                    begun = self.asked.pop(message.call_id, None)
                    if begun is not None:
                        self.waits.append(now - begun)
                elif message.cseq_method == "REGISTER":
                    self.signed_in(key.data, message)
                elif message.call_id in self.open:
                    self.open[message.call_id].take(message)

    def signed_in(self, end: End, response: SipResponse) -> None:
        """The answer to a REGISTER."""
        user = end.user
        if response.status == 401:
            more = [credentials(response, "REGISTER", f"sip:{DOMAIN}", user)]
            end.send(end.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{user}@{DOMAIN}>", f"register-{user}", 2, "r", more))
        elif response.status == 200:
            self.registered.add(user)

    def serve(self, end: End, request: SipRequest) -> None:
        """Bob answers, carol rings."""
        if request.method == "ACK":
            return
        if end is self.carol and request.method == "INVITE":
            end.send(build.response_to(request, 180, "", "c", [("record-route", value) for value in request.get_all("record-route")]))
            return
        lines = [("record-route", value) for value in request.get_all("record-route")]
        lines.append(("contact", f"<sip:bob@{end.at}>"))
        if request.method == "INVITE":
            end.send(build.response_to(request, 180, "", "b", lines))
        end.send(build.response_to(request, 200, "", "b", lines))


# -- runs


def resident(part: Any) -> float:
    """MiB of the server's process."""
    lines = Path(f"/proc/{part.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def one(kind: str, options: argparse.Namespace, defended: bool = True) -> tuple[float, float, Users]:
    """One run; median and p99 of the OPTIONS in ms."""
    folder = fresh(WORK / "abuse" / kind)
    settings = Settings(
        core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "ws:127.0.0.1:8080")),
        location=LocationSettings(db_mode=0),
        defence=DefenceSettings(enabled=defended, trusted=()),
    )
    conf = write_conf(folder, settings, dict.fromkeys(("alice", "bob", "carol"), PASSWORD))
    with running(folder, conf, media=False, prefix=("taskset", "-c", "0")) as part:
        users = Users()
        users.register()
        users.run(2, options.options, options.calls)
        users.waits.clear()
        attacker, before = None, resident(part)
        if kind in ATTACKS:
            arguments = [sys.executable, __file__, "--attack", kind, "--seconds", str(options.seconds)]
            attacker = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        users.run(options.seconds, options.options, options.calls)
        if attacker is not None:
            said, _ = attacker.communicate(timeout=30)
            print(f"   {int(said) / options.seconds:,.0f} hostile packets/s", flush=True)
        users.growth = resident(part) - before
    log = (folder / "sipnode.log").read_text("utf-8", "replace")
    for line in log.splitlines():
        if "shut out" in line or "Traceback" in line:
            print(f"   {line.partition('] ')[2] or line}", flush=True)
    waits = sorted(1000 * wait for wait in users.waits)
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))] if waits else float("inf")
    middle = statistics.median(waits) if waits else float("inf")
    print(
        f"   {kind}: OPTIONS p50 {middle:.2f} ms, p99 {p99:.2f} ms, {users.lost} lost; calls {users.calls}, failed {users.failed}, "
        f"memory {users.growth:+.0f} MiB",
        flush=True,
    )
    return middle, p99, users


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--options", type=float, default=200, help="OPTIONS a second of all users together")
    parser.add_argument("--calls", type=float, default=5, help="calls a second")
    parser.add_argument("--undefended", action="store_true", help="with [defence] off, to see what it is good for")
    parser.add_argument("--only", default="", help="attacks to run, with a comma between them")
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    if options.attack:
        if options.attack in FLOODS:
            print(FLOODS[options.attack](options.seconds))
        else:
            attack(options.attack, options.seconds)
        return 0
    own_network()
    results: dict[str, list[tuple[float, float, Any]]] = {"quiet": []}
    attacks = options.only.split(",") if options.only else list(ATTACKS)
    results.update((kind, []) for kind in attacks)
    for turn in range(options.runs):
        for kind, runs in results.items():
            print(f"-- run {turn + 1}: {kind}", flush=True)
            runs.append(one(kind, options, not options.undefended))
    middle = {kind: statistics.median(p99 for _, p99, _ in runs) for kind, runs in results.items()}
    failed = sum(users.failed + users.lost for runs in results.values() for _, _, users in runs)
    worst = max(p99 for kind in attacks for _, p99, _ in results[kind])
    grown = max(users.growth for runs in results.values() for _, _, users in runs)
    print(f"p99 of OPTIONS, median of {options.runs}: " + ", ".join(f"{kind} {value:.2f} ms" for kind, value in middle.items()))
    print(f"calls and OPTIONS that failed: {failed}; worst p99 under attack {worst:.2f} ms, allowed {MOST_MS:.0f} ms")
    print(f"memory grew by {grown:.0f} MiB at most, allowed {MOST_MIB:.0f}; aimed at: p99 at most {MOST_TIMES:.0f} times quiet")
    for kind in attacks:
        print(f"ratio abuse_{kind} {middle[kind] / middle['quiet']:.2f}")
    print(f"ratio abuse_options {max(middle[kind] for kind in attacks) / middle['quiet']:.2f}")
    return 1 if failed or worst >= MOST_MS or grown > MOST_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
