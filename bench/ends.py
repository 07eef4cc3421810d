"""Callers and a callee on two UDP sockets, for measurements in which calls fail and that is what counts.

SIPp gives a call up at the first thing that isn't in its scenario; these write down what came. One thread, no retransmission: they are for
loopback.
"""

from __future__ import annotations

import heapq
import itertools
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SERVER = ("127.0.0.1", 5060)
DOMAIN = "bench.test"
CALLEE = "bob"
_SDP = (
    "v=0\r\no=- {number} {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
_COPIED = ("via", "from", "call-id", "cseq", "record-route")
_PORT = re.compile(r"^m=audio (\d+) ", re.MULTILINE)


@dataclass
class Message:
    """What came."""

    first: str
    fields: dict[str, list[str]]
    body: str

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/") else 0

    def get(self, name: str) -> str:
        """The first value of a field, "" for none."""
        return self.fields.get(name, [""])[0]

    @property
    def port(self) -> int:
        """Where its SDP wants audio, 0 for none."""
        found = _PORT.search(self.body)
        return int(found[1]) if found else 0


def read(data: bytes) -> Message:
    """A message from its octets."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), []).append(value.strip())
    return Message(first, fields, body)


@dataclass
class Record:
    """One call as its caller saw it: seconds of the monotonic clock, 0 for what wasn't.

    ``port`` is where the caller's audio went at first, ``again`` the status and ``again_port`` the port of a second offer. ``offered`` is
    when a re-INVITE came, and ``offered_port`` where it has audio sent. ``reason`` is that of a BYE that came; ``said`` and ``warning`` are
    of the final response, and ``over`` is that of our own BYE.
    """

    number: int
    started: float
    status: int = 0
    decided: float = 0.0
    port: int = 0
    again: int = 0
    again_port: int = 0
    offered: float = 0.0
    offered_port: int = 0
    over: int = 0
    ended: float = 0.0
    reason: str = ""
    said: str = ""
    warning: str = ""
    user: str = CALLEE
    to: str = ""
    target: str = ""
    routes: list[str] = field(default_factory=list)

    @property
    def up(self) -> bool:
        """It was answered and hasn't ended."""
        return self.status == 200 and not self.ended


class Ends:
    """The callers and the callee.

    Attributes:
        records: By Call-ID.
        rings: Seconds after which the callee answers.
    """

    def __init__(self) -> None:
        self.rings = 0.0
        self.records: dict[str, Record] = {}
        self._caller, self._callee = self._socket(), self._socket()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._caller, selectors.EVENT_READ, self._to_caller)
        self._selector.register(self._callee, selectors.EVENT_READ, self._to_callee)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._run = f"{time.time_ns():x}"

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    def close(self) -> None:
        """No more of either."""
        self._selector.close()
        self._caller.close()
        self._callee.close()

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._serial), what))

    def run(self, until: Callable[[], bool]) -> None:
        """Go on until that is so."""
        while not until():
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            wait = min(0.05, max(0.0, self._due[0][0] - now)) if self._due else 0.05
            for key, _ in self._selector.select(wait):
                try:
                    for _ in range(100):
                        key.data(read(key.fileobj.recv(65535)))  # type: ignore[union-attr]  # sockets are all that is registered
                except BlockingIOError:
                    continue

    def call(self, user: str = CALLEE, hold: float = 3600.0) -> Record:
        """A call at once."""
        return self._invite(hold, user)

    def calls(self, rate: float, seconds: float, hold: float) -> None:
        """Have calls begin at this rate for so long; each hangs up after ``hold`` seconds."""
        for number in range(int(rate * seconds)):
            self.at(number / rate, lambda: self._invite(hold))

    def register(self) -> None:
        """The callee registers; waits for its 200."""
        host, port = self._callee.getsockname()
        self._callee.sendto(register(CALLEE, f"{host}:{port}", f"{self._run}-callee", 1), SERVER)
        self._callee.settimeout(5)
        answer = read(self._callee.recv(65535))
        self._callee.setblocking(False)
        if answer.status != 200:
            raise SystemExit(f"the callee can't register: {answer.first}")

    # -- the caller

    def _send(self, record: Record, method: str, cseq: int, body: str = "", branch: str = "") -> None:
        host, port = self._caller.getsockname()
        call_id = f"{self._run}-{record.number}"
        within = bool(record.target) and bool(record.to)
        lines = [
            f"{method} {record.target if within else f'sip:{record.user}@{DOMAIN}'} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch or f'{call_id}-{cseq}-{method}'};rport",
            *(f"Route: {route}" for route in record.routes if within),
            "Max-Forwards: 70",
            f"From: <sip:caller@{DOMAIN}>;tag=c{record.number}",
            f"To: {record.to or f'<sip:{record.user}@{DOMAIN}>'}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:caller@{host}:{port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._caller.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), SERVER)

    def _invite(self, hold: float, user: str = CALLEE) -> Record:
        record = Record(len(self.records), time.monotonic(), user=user)
        self.records[f"{self._run}-{record.number}"] = record
        self._send(record, "INVITE", 1, _SDP.format(number=record.number, version=1, port=40000))
        self.at(hold, lambda: self.hang_up(record))
        return record

    def offer_again(self, record: Record) -> None:
        """A second offer inside a call, as of an end that hears nothing."""
        self._send(record, "INVITE", 2, _SDP.format(number=record.number, version=2, port=40000))

    def hang_up(self, record: Record) -> None:
        """BYE, where it is up."""
        if record.up:
            record.ended = time.monotonic()
            self._send(record, "BYE", 3)

    def _to_caller(self, message: Message) -> None:
        record = self.records.get(message.get("call-id"))
        if record is None:
            return
        if not message.status:
            self._taken(self._caller, record, message)
            return
        cseq, method = message.get("cseq").split()
        if method == "BYE":
            record.over = message.status
        if method != "INVITE" or message.status < 200:
            return
        first = cseq == "1"
        if first and not record.status:
            record.status, record.decided, record.port = message.status, time.monotonic(), message.port
            record.said, record.warning = message.first.removeprefix("SIP/2.0 "), message.get("warning")
        elif not first and not record.again:
            record.again, record.again_port = message.status, message.port
        if message.status >= 300:
            target, record.target = record.target, "" if first else record.target
            to, record.to = record.to, message.get("to")
            self._send(record, "ACK", int(cseq), branch=f"{self._run}-{record.number}-{cseq}-INVITE")
            record.target, record.to = target, to
            return
        if first:
            record.to, record.target = message.get("to"), message.get("contact").partition("<")[2].partition(">")[0]
            routes = [one for line in message.fields.get("record-route", []) for one in line.split(",")]
            record.routes = [one.strip() for one in routes[::-1]]
        self._send(record, "ACK", int(cseq))

    # -- both

    def _taken(self, by: socket.socket, record: Record | None, message: Message) -> None:
        if message.first.startswith("ACK "):
            return
        if message.first.startswith("BYE ") and record is not None and not record.ended:
            record.ended, record.reason = time.monotonic(), message.get("reason")
        if message.first.startswith("INVITE ") and record is not None:
            record.offered, record.offered_port = time.monotonic(), message.port
        body = _SDP.format(number=1, version=1, port=42000) if message.first.startswith("INVITE ") else ""
        to, (host, port) = message.get("to"), by.getsockname()
        lines = ["SIP/2.0 200 OK", *(f"{name}: {value}" for name in _COPIED for value in message.fields.get(name, []))]
        lines += [f"To: {to}" if ";tag=" in to else f"To: {to};tag=s{message.get('call-id')}", f"Contact: <sip:{CALLEE}@{host}:{port}>"]
        lines += [*(["Content-Type: application/sdp"] if body else []), f"Content-Length: {len(body)}"]
        by.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), SERVER)

    def _to_callee(self, message: Message) -> None:
        if message.status:
            return
        if self.rings and message.first.startswith("INVITE "):
            self.at(self.rings, lambda: self._taken(self._callee, None, message))
        else:
            self._taken(self._callee, None, message)


def register(user: str, place: str, call_id: str, cseq: int) -> bytes:
    """A REGISTER from there."""
    return (
        f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {place};branch=z9hG4bK{call_id}-{cseq};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n"
        f"Contact: <sip:{user}@{place}>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def options(user: str, place: str, call_id: str, cseq: int) -> bytes:
    """An OPTIONS to the server itself."""
    return (
        f"OPTIONS sip:{SERVER[0]}:{SERVER[1]} SIP/2.0\r\nVia: SIP/2.0/UDP {place};branch=z9hG4bK{call_id}-{cseq};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=o\r\nTo: <sip:{SERVER[0]}:{SERVER[1]}>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {cseq} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Probe(threading.Thread):
    """A request every 20 ms, and how long its answer takes, until :meth:`stop`.

    Attributes:
        ms: Milliseconds of each answer, in order. lost: Those that had none within a second.
    """

    def __init__(self, make: Callable[[str, str, str, int], bytes]) -> None:
        super().__init__(daemon=True)
        self._make = make
        self._over = threading.Event()
        self.ms: list[float] = []
        self.lost = 0

    def run(self) -> None:
        """Until it is over."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(1)
            host, port = sock.getsockname()
            name = f"{self._make.__name__}-{time.time_ns():x}"
            for number in itertools.count(1):
                if self._over.wait(0.02):
                    return
                begun = time.perf_counter()
                sock.sendto(self._make("probe", f"{host}:{port}", name, number), SERVER)
                try:
                    while f"CSeq: {number} ".encode() not in sock.recv(65535):
                        pass
                except TimeoutError:
                    self.lost += 1
                else:
                    self.ms.append((time.perf_counter() - begun) * 1000)

    def stop(self) -> None:
        """No more, and wait for the last."""
        self._over.set()
        self.join()

    def quantile(self, part: float) -> float:
        """Of the answers, in milliseconds; infinite where none came."""
        return sorted(self.ms)[min(len(self.ms) - 1, int(part * len(self.ms)))] if self.ms else float("inf")
