"""A fixed piece of work for the whole server in memory: calls and REGISTERs, each message the same octets each time.

The server is what ``sipnode.app.build`` makes, with its default features; the reactor is a clock that is moved by hand, and what a UDP
socket would send falls into a list. Settings and messages are those of ``bench/compare.py`` and of the load that it runs: a location
table in memory, credentials from the cache, a call of 13 messages without media relay (but in ``call_media``, where one answers at once).
Only the phones' addresses differ: they aren't on loopback, of which the defence counts nothing.

The phones check every answer, so that a server that fails at something can't look fast. ``python bench/replay.py`` runs it without counting
anything; ``bench/instructions.py`` runs it under valgrind, which then counts the server's part alone: whatever is called by
:func:`counted`.
"""

from __future__ import annotations

import argparse
import cProfile
import ctypes
import gc
import hashlib
import mmap
import os
import platform
import pstats
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from twisted.application.service import IService
from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from twisted.logger import globalLogBeginner, textFileLogObserver

TOP = Path(__file__).resolve().parent.parent
if not any(Path(folder, "sipnode").is_dir() for folder in os.environ.get("PYTHONPATH", "").split(":") if folder):
    # Another tree, such as a compiled one, is named by PYTHONPATH; an installed one is not meant.
    sys.path.insert(0, str(TOP))

from sipnode.app import Server, StorageService, build  # noqa: E402
from sipnode.media.bencode import decode_dictionary, encode  # noqa: E402
from sipnode.services import settle_memory  # noqa: E402
from sipnode.settings import AuthSettings, CoreSettings, LocationSettings, MediaSettings, Settings, StorageSettings  # noqa: E402

try:
    from sipnode.settings import RecorderSettings
except ImportError:
    # A tree of before, which is compared with this one.
    RecorderSettings = None  # type: ignore[assignment, misc]
from sipnode.storage.users import make_credential  # noqa: E402
from sipnode.transport.udp import UdpService  # noqa: E402

DOMAIN: Final = "bench.test"
SERVER: Final = ("192.0.2.1", 5060)
RELAY: Final = ("192.0.2.9", 2223)
PASSWORD: Final = "secret"
PHONES: Final = 10
"""Callers, and as many callees, in turn: no source is so busy that the defence minds."""
STEP: Final = 0.001
"""Virtual seconds that one transaction takes, as at 1,000 a second."""
SETTLE: Final = 40.0
"""Virtual seconds until the timers of all transactions have ended; they are part of the price."""
BEGIN: Final = 1_700_000_000.0
RUNNING: Final = frozenset(("log", "storage", "transactions", "location", "dialogs", "presence", "batching", "calls"))
"""Services that have a part in a message. The others (looks at the lag, pings, RPC, listeners) do the same where no message comes."""


class Kind(NamedTuple):
    """What a server is asked for: passwords, a record of each call, media by a relay."""

    auth: bool = False
    recorded: bool = False
    media: bool = False


SECTIONS: Final = {
    "call": Kind(), "register": Kind(), "register_auth": Kind(auth=True), "call_auth": Kind(auth=True),
    "call_recorded": Kind(recorded=True), "call_media": Kind(media=True),
}  # fmt: skip
"""What is counted, and whether it is with authentication."""
IDLE: Final = "_idle"
"""Behind the name of a section: the same time without it."""

Address = tuple[str, int]

# ---------------------------------------------------------------- counting

_profiler: cProfile.Profile | None = None


def counted(function: Callable[..., Any], *args: Any) -> Any:
    """Call it so that valgrind counts what it does, and nothing around it: by a function in C that nobody else calls, so that
    ``--toggle-collect`` can name it.
    """
    if _profiler is not None:
        return _profiler.runcall(function, *args)
    return sys.call_tracing(function, args)


class Callgrind:
    """What a program asks of the callgrind that it runs under; outside of one each request does nothing.

    A request is an instruction sequence without effect that valgrind knows (valgrind.h); ours stands in a page of its own, as Python
    can't spell it.
    """

    _CODE: Final = {
        # mov rax, rdi; xor edx, edx; rol rdi, 3; rol rdi, 13; rol rdi, 61; rol rdi, 51; xchg rbx, rbx; mov rax, rdx; ret
        "x86_64": "4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3",
    }
    _ZERO, _DUMP_AT, _START = 0x43540001, 0x43540003, 0x43540004
    known = platform.machine() in _CODE
    """Whether the sequence of this processor is known."""

    def __init__(self) -> None:
        code = bytes.fromhex(self._CODE[platform.machine()])
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def start(self) -> None:
        """Begin to look at instructions; until then the program runs ten times as fast."""
        self._request(self._START)

    def zero(self) -> None:
        """Forget what was counted."""
        self._request(self._ZERO)

    def dump(self, name: str) -> None:
        """Write what was counted to a file of its own, which knows this name, and forget it."""
        text = ctypes.create_string_buffer(name.encode())
        self._request(self._DUMP_AT, ctypes.addressof(text))

    def _request(self, number: int, value: int = 0) -> None:
        words = (ctypes.c_uint64 * 6)(number, value, 0, 0, 0, 0)
        self._ask(ctypes.addressof(words))


# ---------------------------------------------------------------- the world around the server


class Wrong(Exception):
    """The server didn't do what it had to."""


class Relay:
    """An rtpengine that answers each command at once, when the server has done what it was doing."""

    def __init__(self, protocol: Any) -> None:
        self._asked: list[bytes] = []
        self._protocol = protocol
        protocol.makeConnection(self)

    def write(self, data: bytes, address: Address) -> None:
        """The server's socket: a command goes out."""
        if address != RELAY:
            raise Wrong(f"a command went to {address}")
        self._asked.append(data)

    def answer(self) -> bool:
        """Answer what was asked; False for nothing."""
        asked, self._asked = self._asked, []
        for data in asked:
            cookie, _, rest = data.partition(b" ")
            command = decode_dictionary(rest)
            reply: dict[str, Any] = {"result": "pong" if command[b"command"] == b"ping" else "ok"}
            sdp = command.get(b"sdp")
            if isinstance(sdp, bytes):
                reply["sdp"] = re.sub(rb"IN IP4 \S+", b"IN IP4 192.0.2.9", sdp).replace(b" 40000 ", b" 50000 ")
            elif command[b"command"] in (b"query", b"delete"):
                reply |= {"created": 1, "tags": {}}
            counted(self._protocol.datagramReceived, cookie + b" " + encode(reply), RELAY)
        return bool(asked)


class Reactor(Clock):
    """Time that is moved by hand. What is due is the server's work, the moving isn't.

    Attributes:
        relay: The socket to the relay, where there is one.
    """

    relay: Relay | None = None

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 0) -> Any:
        """The one socket that isn't made before: that to the relay."""
        self.relay = Relay(protocol)
        return self.relay

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> DelayedCall:
        """As cheap as that of a real reactor, which sorts nothing here either."""
        call = DelayedCall(self.rightNow + delay, callable, args, kw, self.calls.remove, lambda _: None, self.seconds)
        self.calls.append(call)
        return call

    def advance(self, amount: float) -> None:
        """Let time pass and do what is due by then, in its order."""
        self.rightNow += amount
        while due := [call for call in self.calls if call.getTime() <= self.rightNow]:
            first = min(due, key=DelayedCall.getTime)
            self.calls.remove(first)
            first.called = 1
            assert not first.kw
            counted(first.func, *first.args)


def _head(data: bytes, name: bytes) -> list[bytes]:
    """The lines of a message that begin with that header name, as the server writes it."""
    head = data[: data.index(b"\r\n\r\n")].split(b"\r\n")
    wanted = name.lower() + b":"
    return [line for line in head if line[: len(wanted)].lower() == wanted]


def _value(data: bytes, name: bytes) -> bytes:
    """The value of a header that stands once."""
    (line,) = _head(data, name)
    return line.partition(b":")[2].strip()


_TAG: Final = re.compile(rb";tag=[^;>\s]+")
_URI: Final = re.compile(rb"<([^>]+)>")
_NONCE: Final = re.compile(rb'nonce="([^"]+)"')
_SDP: Final = (
    b"v=0\r\no=- 3900000000 1 IN IP4 %(host)s\r\ns=-\r\nc=IN IP4 %(host)s\r\nt=0 0\r\nm=audio 40000 RTP/AVP %(codecs)s\r\n%(map)s"
    b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
_REQUEST: Final = (
    b"%(method)s %(uri)s SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP %(host)s:%(port)d;branch=z9hG4bK-%(branch)d-%(cseq)d-%(method)s;rport\r\n"
    b"%(routes)s"
    b"Max-Forwards: 70\r\n"
    b"From: %(from)s\r\n"
    b"To: %(to)s\r\n"
    b"Call-ID: %(branch)d-4711@%(host)s\r\n"
    b"CSeq: %(cseq)d %(cseq_method)s\r\n"
    b"%(more)s"
    b"Content-Length: %(length)d\r\n\r\n%(body)s"
)
_REGISTER_LINES: Final = (
    b"Contact: <sip:%(user)s@%(host)s:%(port)d;transport=udp>;expires=3600\r\n%(credentials)s"
    b"User-Agent: bench-uac/1.0\r\nSupported: path, outbound\r\n"
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, INFO, UPDATE\r\n"
)
_INVITE_LINES: Final = (
    b"Contact: <sip:%(user)s@%(host)s:%(port)d;transport=udp>\r\n%(credentials)s"
    b"User-Agent: bench-uac/1.0\r\nSupported: replaces, timer\r\n"
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, INFO, UPDATE\r\nContent-Type: application/sdp\r\n"
)


class Phone:
    """One end: who it is, where it is, and the messages that it writes.

    Args:
        user: Its name. host: Its address. port: Its port.
    """

    def __init__(self, user: str, host: str, port: int) -> None:
        self.address: Address = (host, port)
        self.user = user.encode()
        self.aor = b"sip:%s@%s" % (self.user, DOMAIN.encode())
        self._own = {b"user": self.user, b"host": host.encode(), b"port": port}

    def request(self, method: str, number: int, cseq: int, **parts: Any) -> bytes:
        """A request of this phone.

        Args:
            number: Makes Call-ID and branch.
            parts: ``uri``, ``to`` and what else differs from a REGISTER without credentials.
        """
        name = method.encode()
        body = parts.get("body", b"")
        sender = parts.get("sender", b"<%s>;tag=r%dx" % (self.aor, number))
        values: dict[bytes, Any] = {
            **self._own, b"method": name, b"branch": number, b"cseq": cseq, b"cseq_method": name,
            b"uri": parts.get("uri", b"sip:%s" % DOMAIN.encode()), b"routes": parts.get("routes", b""),
            b"from": sender, b"to": parts.get("to", b"<%s>" % self.aor), b"length": len(body), b"body": body,
            b"credentials": parts.get("credentials", b""),
        }  # fmt: skip
        lines = {"REGISTER": _REGISTER_LINES, "INVITE": _INVITE_LINES, "BYE": b"User-Agent: bench-uac/1.0\r\n"}
        values[b"more"] = lines.get(method, b"") % values if "%" in str(lines.get(method)) else lines.get(method, b"")
        return _REQUEST % values

    def sdp(self, caller: bool) -> bytes:
        """An offer, or an answer."""
        more = b"a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n" if caller else b""
        return _SDP % {b"host": self._own[b"host"], b"codecs": b"9 8 0 101" if caller else b"8 101", b"map": more}

    def response(self, request: bytes, status: bytes, tag: bytes = b"", body: bytes = b"") -> bytes:
        """A response to what the server has passed on; with a tag it is one that makes a dialog."""
        lines = [b"SIP/2.0 " + status, *_head(request, b"Via")]
        if tag:
            lines += _head(request, b"Record-Route")
        (to,) = _head(request, b"To")
        lines += [*_head(request, b"From"), to + tag, *_head(request, b"Call-ID"), *_head(request, b"CSeq")]
        if tag:
            lines.append(b"Contact: <sip:%(user)s@%(host)s:%(port)d;transport=udp>" % self._own)
        if body:
            lines += [b"User-Agent: bench-uas/1.0", b"Content-Type: application/sdp"]
        return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))

    def credentials(self, challenge: bytes, method: str, uri: bytes) -> bytes:
        """The header line that answers a 401 or 407 (RFC 2617, without qop)."""
        proxy = challenge.startswith(b"SIP/2.0 407")
        value = _value(challenge, b"Proxy-Authenticate" if proxy else b"WWW-Authenticate")
        found = _NONCE.search(value)
        if found is None:
            raise Wrong(f"no nonce in {value!r}")
        user, name, nonce = self.user.decode(), DOMAIN, found[1].decode()
        count, own = "00000001", "6b8b4567"
        parts = [_md5(f"{user}:{name}:{PASSWORD}"), nonce, count, own, "auth", _md5(f"{method}:{uri.decode()}")]
        return (
            f'{"Proxy-" if proxy else ""}Authorization: Digest username="{user}",realm="{name}",cnonce="{own}",nc={count},qop=auth,'
            f'uri="{uri.decode()}",nonce="{nonce}",response="{_md5(":".join(parts))}",algorithm=MD5\r\n'
        ).encode()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------- the replay


class Replay:
    """One server and its phones.

    Args:
        auth: Whether it asks for passwords.
        folder: For the server's secret.
        recorded: Whether calls are recorded.
        media: Whether there is a relay.

    Attributes:
        server: What ``build`` made.
        clock: Its reactor.
    """

    def __init__(self, auth: bool, folder: Path, recorded: bool = False, media: bool = False) -> None:
        self.auth = auth
        self.media = media
        self.clock = Reactor()
        self.clock.rightNow = BEGIN
        settings = Settings(
            core=CoreSettings(domains=(DOMAIN,), listen=("udp:{}:{}".format(*SERVER),)),
            auth=AuthSettings(enabled=auth, algorithms=("MD5",), cache_seconds=3600),
            location=LocationSettings(db_mode=0),
            storage=StorageSettings(url="memory:"),
            **({"recorder": RecorderSettings(enabled=True)} if recorded else {}),
            **({"media": MediaSettings(nodes=("{}:{}".format(*RELAY),), sweep_seconds=0)} if media else {}),
        )
        server = build(settings, folder, self.clock)
        assert isinstance(server, Server)
        self.server = server
        self.callers = [Phone(f"caller{number}", f"198.51.100.{10 + number}", 5070) for number in range(PHONES)]
        self.callees = [Phone(f"u{number:06d}", f"203.0.113.{10 + number}", 5080) for number in range(PHONES)]
        self._sent: list[tuple[Address, bytes]] = []
        self._number = 1000
        self._ended = 0
        self._start()
        if self.server.logs.trace is not None:
            raise Wrong("messages are traced")

    def _start(self) -> None:
        for service in self.server:
            if isinstance(service, UdpService):
                self._datagram = service.endpoint.datagramReceived
                service.endpoint.sendto = self._sendto
                service.endpoint.listener.bound(SERVER[1])
                self.server.transports.own.add(service.endpoint.listener)
            elif service.name in RUNNING or (self.media and service.name == "media"):
                service.privilegedStartService()
                service.startService()
                if isinstance(service, StorageService):
                    for phone in (*self.callers, *self.callees):
                        service.storage.add(make_credential(phone.user.decode(), DOMAIN, PASSWORD))
        missing = RUNNING - {IService(each).name for each in self.server}
        if missing:
            raise Wrong(f"the server has no {', '.join(sorted(missing))}")
        for phone in self.callees:
            self._register(phone)
        self.settle()

    def stop(self) -> None:
        """Leave no timer behind."""
        for call in self.clock.calls[:]:
            call.cancel()

    def _sendto(self, data: bytes, address: Address) -> int:
        self._sent.append((address, data))
        return len(data)

    def _deliver(self, phone: Phone, data: bytes, *wanted: tuple[Phone, bytes]) -> list[bytes]:
        """A phone sends; what has to go out then, to whom and how each begins. Returns those messages."""
        counted(self._datagram, data, phone.address)
        while self.clock.relay is not None and self.clock.relay.answer():
            pass
        sent, self._sent = self._sent, []
        if len(sent) != len(wanted) or not all(
            address == to.address and message.startswith(begin) for (address, message), (to, begin) in zip(sent, wanted, strict=True)
        ):
            got = [f"{address}: {message[:60]!r}" for address, message in sent]
            raise Wrong(f"upon {data[:60]!r} should have gone out {[begin for _, begin in wanted]}, but did: {got}")
        return [message for _, message in sent]

    def _next(self) -> int:
        self._number += 1
        return self._number

    def settle(self) -> None:
        """Let all timers of transactions end."""
        for _ in range(int(SETTLE / 0.4)):
            self.clock.advance(0.4)
            if self.clock.relay is not None:
                self.clock.relay.answer()
        if self._sent:
            raise Wrong(f"repeated: {self._sent[0][1][:60]!r}")

    def register(self) -> None:
        """The next callee refreshes its binding: REGISTER, 200, and with authentication REGISTER, 401, REGISTER, 200."""
        self._register(self.callees[self._number % PHONES])

    def _register(self, phone: Phone) -> None:
        number = self._next()
        data = phone.request("REGISTER", number, 1)
        if self.auth:
            challenge = self._answer(phone, data, b"SIP/2.0 401 ")
            data = phone.request("REGISTER", number, 2, credentials=phone.credentials(challenge, "REGISTER", b"sip:%s" % DOMAIN.encode()))
        answer = self._answer(phone, data, b"SIP/2.0 200 ")
        if b"<sip:%s@%s:5080" % (phone.user, phone.address[0].encode()) not in answer:
            raise Wrong(f"the 200 doesn't name the contact: {answer!r}")

    def _answer(self, phone: Phone, data: bytes, begin: bytes) -> bytes:
        """What the server answers to a REGISTER: at once, or where it collects them, with the others of some milliseconds."""
        counted(self._datagram, data, phone.address)
        self.clock.advance(STEP)
        for _ in range(60):
            if self._sent:
                break
            self.clock.advance(STEP)
        sent, self._sent = self._sent, []
        if [(to, message[: len(begin)]) for to, message in sent] != [(phone.address, begin)]:
            raise Wrong(f"upon {data[:60]!r} went out {sent!r}")
        return sent[0][1]

    def call(self) -> None:
        """INVITE, 100, 180, 200, ACK, BYE, 200, each once on either side; with authentication INVITE, 407, ACK before that."""
        number = self._next()
        caller, callee = self.callers[number % PHONES], self.callees[number % PHONES]
        sender = b'"Bench Caller" <%s>;tag=c1x%d' % (caller.aor, number)
        parts: dict[str, Any] = {"uri": callee.aor, "sender": sender, "to": b"<%s>" % callee.aor}
        offer, cseq = caller.sdp(True), 1
        invite = caller.request("INVITE", number, cseq, **parts, body=offer)
        if self.auth:
            (challenge,) = self._deliver(caller, invite, (caller, b"SIP/2.0 407 "))
            ack = caller.request("ACK", number, cseq, **{**parts, "to": _value(challenge, b"To")})
            # The ACK of a refusal belongs to the INVITE's transaction.
            self._deliver(caller, ack.replace(b"-1-ACK;", b"-1-INVITE;", 1))
            cseq += 1
            proof = caller.credentials(challenge, "INVITE", callee.aor)
            invite = caller.request("INVITE", number, cseq, **parts, body=offer, credentials=proof)
        _, got = self._deliver(caller, invite, (caller, b"SIP/2.0 100 "), (callee, b"INVITE sip:"))
        self.clock.advance(STEP / 4)
        tag = b";tag=s1x%d" % number
        self._deliver(callee, callee.response(got, b"180 Ringing", tag), (caller, b"SIP/2.0 180 "))
        self.clock.advance(STEP / 4)
        (answer,) = self._deliver(callee, callee.response(got, b"200 OK", tag, callee.sdp(False)), (caller, b"SIP/2.0 200 "))
        routes = b"".join(b"Route:" + line.partition(b":")[2] + b"\r\n" for line in reversed(_head(answer, b"Record-Route")))
        target = _URI.search(_value(answer, b"Contact"))
        if not routes or target is None:
            raise Wrong(f"a 200 without Record-Route or Contact: {answer!r}")
        inside = {"uri": target[1], "sender": sender, "to": _value(answer, b"To"), "routes": routes}
        self._deliver(caller, caller.request("ACK", number, cseq, **inside), (callee, b"ACK sip:"))
        self.clock.advance(STEP / 4)
        (bye,) = self._deliver(caller, caller.request("BYE", number, cseq + 1, **inside), (callee, b"BYE sip:"))
        self._deliver(callee, callee.response(bye, b"200 OK"), (caller, b"SIP/2.0 200 "))
        self.clock.advance(STEP / 4)
        self._ended += 1

    def check(self) -> None:
        """Every call has come up and ended, every phone is registered, nothing is left."""
        core = self.server.core
        outcomes = dict(self.server.calls.outcomes)
        if outcomes != ({"completed": self._ended} if self._ended else {}):
            raise Wrong(f"{self._ended} calls, but the server says {outcomes}")
        if core.transactions.servers or core.transactions.clients:
            raise Wrong("transactions are left")
        missing = [phone.user for phone in self.callees if not core.registrar.online(phone.aor.decode().removeprefix("sip:"))]
        if missing:
            raise Wrong(f"not registered: {missing}")


def sections(replays: dict[Kind, Replay], names: list[str], count: int, warm: int) -> Iterator[str]:
    """Do the work of each section: warm up, let as much time pass as after it, do what counts; an empty name before the last two, and
    their own behind them. What the server does in that time where nothing comes is no part of a price.
    """
    for name in names:
        replay = replays[SECTIONS[name]]
        work = replay.call if name.startswith("call") else replay.register
        for _ in range(warm):
            work()
        replay.settle()
        yield ""
        replay.settle()
        yield name + IDLE
        yield ""
        for _ in range(count):
            work()
        replay.settle()
        replay.check()
        yield name


def begin_log(file: IO[str]) -> None:
    """Write the log as ``twistd`` does."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(file)], discardBuffer=True, redirectStandardIO=False)


def compiled_modules() -> tuple[int, int]:
    """Modules of ours that are loaded as machine code, and all that are loaded."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "sipnode"]
    return sum(1 for module in ours if str(getattr(module, "__file__", "")).endswith(".so")), len(ours)


def run(names: list[str], count: int, warm: int, when: Callable[[str], None], recorded: bool = False) -> None:
    """Make the servers, and do the work of the sections.

    Args:
        names: Of :data:`SECTIONS`.
        count: Transactions of each that count. warm: Those before.
        when: Called with "" when what counts begins, and with the name when it has ended.
        recorded: Whether calls are recorded in all of them.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        begin_log(stack.enter_context((folder / "log").open("w")))
        replays = {}
        for number, kind in enumerate(sorted({SECTIONS[name] for name in names})):
            (folder / str(number)).mkdir()
            replays[kind] = Replay(kind.auth, folder / str(number), recorded or kind.recorded, kind.media)
        logs = next(iter(replays.values())).server.logs
        logs.install()
        stack.callback(logs.remove)
        # Collections come at no fixed place, and the server gives them nothing to find; what is counted is without them.
        settle_memory()
        gc.disable()
        stack.callback(gc.enable)
        for name in sections(replays, names, count, warm):
            when(name)
        for replay in replays.values():
            replay.stop()


def main() -> int:
    global _profiler
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="of each kind")
    parser.add_argument("--warm", type=int, default=20, help="before anything counts")
    parser.add_argument("--only", default=",".join(SECTIONS), help="comma-separated: " + ", ".join(SECTIONS))
    parser.add_argument("--compiled", action="store_true", help="fail where no module is compiled")
    parser.add_argument("--profile", metavar="SORT", help="by Python function (cProfile): tottime, cumtime, ncalls")
    parser.add_argument("--recorded", action="store_true", help="with [recorder] enabled")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name in SECTIONS]
    if not names or not Callgrind.known:
        sys.exit("no such section, or no such processor")
    callgrind = Callgrind()
    callgrind.start()

    def mark(name: str) -> None:
        global _profiler
        if not name:
            callgrind.zero()
            _profiler = cProfile.Profile() if options.profile else None
        else:
            callgrind.dump(name)
            if _profiler is not None and not name.endswith(IDLE):
                print(f"==== {name}, {options.count} of them")
                pstats.Stats(_profiler).sort_stats(options.profile).print_stats(70)
            _profiler = None

    run(names, options.count, options.warm, mark, options.recorded)
    native, all_of_them = compiled_modules()
    if options.compiled and not native:
        sys.exit("no module is compiled")
    print(f"{options.count} of each: {', '.join(names)}; {native} of {all_of_them} modules are compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
