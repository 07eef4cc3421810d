"""``make troubles``: the known troubles of a WebRTC set-up with a relay, staged one by one, and what each party says of them.

Each has a server and a real rtpengine of its own, in a network of loopback alone. What the caller gets, what log, RPC and ``sipnode doctor
media`` say goes as a table into docs/howto/troubleshooting.rst (``--no-write``: only to the screen). The tests of the doctor judge,
nothing is judged here.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools"), str(TOP / "bench")]

from ends import DOMAIN, Ends, Record, read, register  # noqa: E402
from harness import NG, WORK, fresh, own_network, running, write_conf  # noqa: E402

from sipnode.demo import probes  # noqa: E402
from sipnode.demo.parts import Part, rtpengine_command  # noqa: E402
from sipnode.settings import AuthSettings, CoreSettings, DialogSettings, LogSettings, MediaSettings, Settings  # noqa: E402

PAGE = TOP / "docs" / "howto" / "troubleshooting.rst"
BEGIN, END = ".. troubles: begin", ".. troubles: end"
WEB = ("127.0.0.1", 8080)
RANGE = (30000, 30399)
NOT_HERE = "198.51.100.7"
PATIENCE = 30.0
WIDE = 200
"""Most characters of a line."""
_TIME = re.compile(r"^\S+ \[sipnode[^\]#]*#(?:warn|error|info)\] ")
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{12,}-\d+"), "CALL-ID"),
    (re.compile(r"pid \d+"), "pid 4711"),
    (re.compile(r"\bn[0-9a-f]{8}\b"), "n1d3a9c04"),
    (re.compile(r"127\.0\.0\.1:\d{5}"), "127.0.0.1:50000"),
)


@dataclass
class Said:
    """What the parties say of one trouble, each a list of lines."""

    caller: list[str] = field(default_factory=list)
    daemon: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    rpc: list[str] = field(default_factory=list)
    doctor: list[str] = field(default_factory=list)


class Lab:
    """A server with its relay, callers, and what they say.

    Args:
        folder: Empty; for configuration and logs.
        media: More of ``[media]``.
        interface, ports, extra: Of rtpengine.
    """

    def __init__(
        self, folder: Path, media: MediaSettings, interface: str = "127.0.0.1", ports: tuple[int, int] = RANGE, extra: tuple[str, ...] = ()
    ) -> None:
        self.folder, self._stack, self.said = folder, ExitStack(), Said()
        self._command = [*rtpengine_command(interface, NG, ports, 5), *extra]
        self._media = media
        self.relay = Part("rtpengine", self._command, folder / "rtpengine.log")

    def __enter__(self) -> Lab:
        self.relay.start()
        self._stack.callback(lambda: self.relay.stop())
        self._ready()
        settings = Settings(
            core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "ws:{}:{}".format(*WEB))),
            auth=AuthSettings(enabled=False),
            media=self._media,
            dialog=DialogSettings(lost_flow_seconds=8.0),
            log=LogSettings(calls="all"),
        )
        self.conf = write_conf(self.folder, settings)
        self._stack.enter_context(running(self.folder, self.conf, media=False))
        self.ends = Ends()
        self._stack.callback(self.ends.close)
        self.ends.register()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _ready(self) -> None:
        host, _, port = NG.rpartition(":")
        if not self.relay.wait_ready(lambda: probes.media_relay(host, int(port)), 10):
            sys.exit(f"rtpengine didn't start:\n{self.relay.last_words()}")

    def restart_relay(self) -> None:
        """It forgets all calls."""
        assert self.relay.process is not None
        self.relay.process.send_signal(signal.SIGKILL)
        self.relay.process.wait()
        self.relay = Part("rtpengine", self._command, self.folder / "rtpengine-2.log")
        self.relay.start()
        self._ready()

    def until(self, what: Callable[[], bool]) -> None:
        """Let the ends work until that is so."""
        over = time.monotonic() + PATIENCE
        self.ends.run(lambda: what() or time.monotonic() > over)

    def call(self, user: str = "bob") -> Record:
        """A call that is decided, and told of by its caller."""
        record = self.ends.call(user)
        self.until(lambda: bool(record.decided))
        self.note(record)
        return record

    def note(self, record: Record) -> None:
        """What the caller got."""
        self.said.caller.append(record.said or "no answer")
        if record.warning:
            self.said.caller.append(f"Warning: {record.warning}")
        if record.reason:
            self.said.caller.append(f"then BYE, Reason: {record.reason}")

    def ask(self, *command: str) -> list[str]:
        """Lines of ``sipnode COMMAND``."""
        done = subprocess.run(
            [sys.executable, "-m", "sipnode", *command, "-c", str(self.conf)], capture_output=True, text=True, check=False, timeout=60
        )
        return (done.stdout + done.stderr).rstrip().splitlines()

    def rpc(self, method: str, *arguments: str) -> None:
        """Ask the server by RPC."""
        self.said.rpc += [f"$ sipnode rpc {' '.join((method, *arguments))}", *self.ask("rpc", method, *arguments)]

    def doctor(self) -> None:
        """Ask the doctor."""
        self.said.doctor += self.ask("doctor", "media")

    def logs(self, *words: str) -> None:
        """Take the lines with one of these words from the server's log, and the daemon's errors."""
        for line in (self.folder / "sipnode.log").read_text("utf-8", "replace").splitlines():
            if any(word in line for word in words):
                self.said.log.append(_TIME.sub("", line))
        for file in sorted(self.folder.glob("rtpengine*.log")):
            errors = (line for line in file.read_text("utf-8", "replace").splitlines() if "ERR: " in line or "Protocol error" in line)
            short = (line.partition(" [d")[0] for line in errors)
            self.said.daemon += [re.sub(r"^.*?(ERR|WARNING): (\[[^\]]*\]: )?(\[[a-z]+\] )?", r"\1: ", line) for line in short]


@contextmanager
def browser(user: str) -> Iterator[socket.socket]:
    """A WebSocket with a binding, and as little of the rest of a browser as will do."""
    with socket.create_connection(WEB, 5) as sock:
        shake = (
            "GET / HTTP/1.1\r\nHost: {}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        )
        sock.sendall(shake.format(*WEB, base64.b64encode(os.urandom(16)).decode()).encode())
        while b"\r\n\r\n" not in (got := sock.recv(65535)):
            if not got:
                sys.exit("the server takes no WebSocket")
        send(sock, register(user, f"{user}.invalid;transport=ws", f"browser-{time.time_ns():x}", 1).replace(b"/UDP ", b"/WS "))
        if read(receive(sock)).status != 200:
            sys.exit("the browser can't register")
        yield sock


def send(sock: socket.socket, text: bytes) -> None:
    """One text frame, masked with noughts (RFC 6455 §5.2)."""
    sock.sendall(b"\x81" + struct.pack("!BH", 0x80 | 126, len(text)) + b"\0\0\0\0" + text)


def receive(sock: socket.socket) -> bytes:
    """One text frame."""
    head = sock.recv(2, socket.MSG_WAITALL)
    length = head[1] & 127
    if length == 126:
        (length,) = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
    return sock.recv(length, socket.MSG_WAITALL)


def vanished(lab: Lab) -> None:
    """The browser's socket is gone before the call."""
    with browser("web"):
        pass
    lab.call("web")
    lab.rpc("ul.lookup", "location", f"web@{DOMAIN}")
    lab.logs(": not found,")


def vanished_in_call(lab: Lab) -> None:
    """It goes while the call is up."""
    with browser("web") as sock:
        record = lab.ends.call("web")
        while not (invite := read(receive(sock))).first.startswith("INVITE "):
            pass
        send(sock, answer(invite))
        lab.until(lambda: bool(record.decided))
    lab.rpc("dlg.list")
    lab.until(lambda: bool(record.ended))
    lab.note(record)
    lab.logs("the browser of", ": lost,")


def answer(invite: object) -> bytes:
    """200 to an INVITE, by a browser that takes RTP."""
    fields = invite.fields  # type: ignore[attr-defined]  # a Message; its module is found at run time only
    lines = [
        "SIP/2.0 200 OK",
        *(f"{name}: {value}" for name in ("via", "from", "call-id", "cseq", "record-route") for value in fields.get(name, [])),
    ]
    body = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8\r\nc=IN IP4 0.0.0.0\r\n"
        "a=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\na=rtcp-mux\r\na=setup:active\r\na=fingerprint:sha-256 "
        + ":".join(["AA"] * 32) + "\r\na=candidate:1 1 udp 1 127.0.0.1 40002 typ host\r\n"
    )  # fmt: skip
    lines += [f"To: {fields['to'][0]};tag=web", "Contact: <sip:web@web.invalid;transport=ws>", "Content-Type: application/sdp"]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()


def refused(lab: Lab) -> None:
    """A call that the relay has no ports for."""
    lab.call()
    lab.rpc("rtpengine.show", "all")
    lab.doctor()
    lab.logs("offer failed", ": failed,")


def full(lab: Lab) -> None:
    """Eight ports are two calls."""
    lab.ends.call()
    lab.ends.call()
    lab.until(lambda: all(record.decided for record in lab.ends.records.values()))
    refused(lab)


def taken(lab: Lab) -> None:
    """Another program has the range."""
    with ExitStack() as ends:
        for port in range(RANGE[0], RANGE[1] + 1):
            ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        refused(lab)


def forgotten(lab: Lab) -> None:
    """The daemon is restarted between offer and answer."""
    lab.ends.rings = 1.5
    record = lab.ends.call()
    lab.until(lambda: time.monotonic() - record.started > 0.5)
    lab.restart_relay()
    lab.until(lambda: bool(record.decided))
    lab.note(record)
    lab.rpc("rtpengine.show", "all")
    lab.logs("answer failed", ": failed,")


def unrecorded(lab: Lab) -> None:
    """Recording is asked for, and nowhere to record to."""
    record = lab.call()
    lab.rpc("rtpengine.show", "all")
    lab.doctor()
    lab.ends.hang_up(record)
    lab.logs("offer taken")


@dataclass(frozen=True)
class Trouble:
    """One of them: its title, how it is staged in words, and how it is."""

    title: str
    how: str
    stage: Callable[[Lab], None]
    interface: str = "127.0.0.1"
    ports: tuple[int, int] = RANGE
    media: MediaSettings = field(default_factory=lambda: MediaSettings(nodes=(NG,)))


TROUBLES = (
    Trouble("1. Connection for WebSocket could not be found", "The callee's browser has closed its tab; then it is called.", vanished),
    Trouble("2. Ran out of ports", "``--port-min=30000 --port-max=30007``, two calls are up, a third comes.", full, ports=(30000, 30007)),
    Trouble("3. Unknown call-id", "rtpengine is restarted while the phone rings; then the phone answers.", forgotten),
    Trouble(
        "4. No spool directory", "``record_call = true``, and no ``--recording-dir``.", unrecorded,
        media=replace(MediaSettings(nodes=(NG,)), record_call=True),
    ),
    Trouble("5. Failed to get 2 consecutive ports", "Another program has all ports of the range.", taken),
    Trouble("6. Cannot assign requested address", f"``--interface={NOT_HERE}``, which is another machine's.", refused, interface=NOT_HERE),
    Trouble("7. Could not create Via header", "The callee's browser vanishes while the call is up.", vanished_in_call),
)  # fmt: skip


def settled(line: str) -> str:
    """The line without what is another at each run, and not too long."""
    for pattern, text in _CHANGING:
        line = pattern.sub(text, line)
    return line if len(line) <= WIDE else line[: WIDE - 3].rstrip() + "..."


def cell(lines: list[str]) -> list[str]:
    """Lines of a table's cell."""
    shown = list(dict.fromkeys(settled(line) for line in lines))
    return [".. code-block:: text", "", *(f"   {line}".rstrip() for line in shown)] if shown else ["nothing"]


def table(found: list[tuple[Trouble, Said]]) -> str:
    """As reStructuredText."""
    out: list[str] = []
    for trouble, said in found:
        out += [".. list-table:: " + trouble.title, "   :widths: 12 88", "", "   * - staged", f"     - {trouble.how}"]
        for who in ("caller", "daemon", "log", "rpc", "doctor"):
            first, *rest = cell(getattr(said, who))
            name = {"caller": "the caller gets", "daemon": "rtpengine's log", "log": "the log", "rpc": "RPC", "doctor": "doctor media"}[who]
            out += [f"   * - {name}", f"     - {first}", *(f"       {line}".rstrip() for line in rest)]
        out.append("")
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="numbers, as 1,3")
    parser.add_argument("--no-write", action="store_true", help=f"leave {PAGE.relative_to(TOP)} as it is")
    options = parser.parse_args()
    own_network()
    only = options.only.split(",") if options.only else []
    found = []
    for trouble in TROUBLES:
        number = trouble.title.partition(".")[0]
        if only and number not in only:
            continue
        with Lab(fresh(WORK / "troubles" / number), trouble.media, trouble.interface, trouble.ports) as lab:
            trouble.stage(lab)
        found.append((trouble, lab.said))
    text = table(found)
    print(text)
    if not only and not options.no_write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
