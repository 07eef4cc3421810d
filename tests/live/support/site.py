"""A server as an operator would run it: a conf folder, users, ``twistd -n sipnode -c conf``, and an rtpengine of its own."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode import config
from sipnode.demo import ports, probes
from sipnode.demo.parts import Part, rtpengine_command, server_command
from sipnode.media import ng
from sipnode.media.client import NgClient
from sipnode.rpc.client import Caller
from sipnode.settings import CoreSettings, DefenceSettings, MediaSettings, RpcSettings, Settings

from .phone import Phone
from .waiting import until

reactor: Any = _reactor
HOST = "127.0.0.1"
DOMAIN = "live.test"
USERS = ("alice", "bob", "carol")
_MEDIA_PORTS = 200


def missing(*programs: str) -> str | None:
    """Why a test can't run here, or None. Where everything has to be there (CI is set) it runs and fails."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    absent = [program for program in programs if shutil.which(program, path=path) is None]
    return f"not installed: {', '.join(absent)}" if absent and not os.environ.get("CI") else None


def free_port(*kinds: socket.SocketKind) -> int:
    """A port of loopback that is free for each kind of socket at this moment."""
    while True:
        with socket.socket(socket.AF_INET, kinds[0]) as first:
            first.bind((HOST, 0))
            port: int = first.getsockname()[1]
            if all(ports.is_free("udp" if kind is socket.SOCK_DGRAM else "tcp", HOST, port) for kind in kinds[1:]):
                return port


@functools.cache
def passwords() -> dict[str, str]:
    """Of every user, the same in all tests of this run."""
    return {user: secrets.token_hex(6) for user in USERS}


@functools.cache
def accounts() -> bytes:
    """The database that ``sipnode user add`` has made, as an operator makes it; every site begins with a copy."""
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / config.FILE_NAME
        conf.write_text(config.render(Settings(core=CoreSettings(domains=(DOMAIN,)))))
        command = [sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())", "user", "add", "--password-stdin"]
        for user, password in passwords().items():
            subprocess.run([*command, "-c", folder, f"{user}@{DOMAIN}"], input=f"{password}\n", text=True, check=True, capture_output=True)
        return (Path(folder) / "sipnode.sqlite").read_bytes()


class Site:
    """Server and rtpengine of one test, on free ports of loopback; both are ended with the test.

    Args:
        case: Its folder, its cleanups.
        sections: Sections of the configuration beside ``core``; or callables that make them from the site, whose ports are known by
            then. The nodes of ``media`` are the site's.
        secure: It listens with TLS too, as ``tls.cfg`` in its folder says.
        media_ports: How many ports rtpengine has; a call takes four.
        relays: How many rtpengines; ``rtpengine`` is the first.
        domains: Whose users it has: those of the database, if it is :data:`DOMAIN`.
        host: Where server and relay listen.
        start: What stands before the server's command, and starts it.
    """

    def __init__(
        self,
        case: TestCase,
        secure: bool = False,
        media_ports: int = _MEDIA_PORTS,
        domains: tuple[str, ...] = (DOMAIN,),
        host: str = HOST,
        start: Sequence[str] = (),
        relays: int = 1,
        **sections: Any,
    ) -> None:
        self._before = list(start)
        self.host = host
        self.case = case
        self.folder = Path(case.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.sip = free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
        self.http = free_port(socket.SOCK_STREAM)
        self.ng_ports = [free_port(socket.SOCK_DGRAM) for _ in range(relays)]
        self.ng_port = self.ng_ports[0]
        every = media_ports * relays
        self.media_ports = ports.free_range(10000 + every * secrets.randbelow(16000 // every), every)
        self.sips = free_port(socket.SOCK_STREAM)
        listen: tuple[str, ...] = (f"udp:{host}:{self.sip}", f"tcp:{host}:{self.sip}", f"ws:{host}:{self.http}")
        if secure:
            listen += (f"tls:{host}:{self.sips}",)
        core = CoreSettings(domains=domains, listen=listen)
        media = replace(sections.pop("media", MediaSettings()), nodes=tuple(f"{HOST}:{port}" for port in self.ng_ports))
        # Below trial's folder a name is longer than that of a UNIX socket may be.
        short = tempfile.mkdtemp(prefix="sipnode-s-")
        case.addCleanup(shutil.rmtree, short, ignore_errors=True)
        self._rpc = f"{short}/rpc.sock"
        sections.setdefault("rpc", RpcSettings(socket=self._rpc))
        # What these tests show isn't how busy the machine is: with a compiler and another lane of tests beside it a server is late for
        # seconds, and refuses new calls as it should. tests/defence shows that it does.
        sections.setdefault("defence", DefenceSettings(lag_seconds=10.0))
        sections = {name: section(self) if callable(section) else section for name, section in sections.items()}
        (self.folder / config.FILE_NAME).write_text(config.render(Settings(core=core, media=media, **sections)))
        (self.folder / "sipnode.sqlite").write_bytes(accounts())
        self.rtpengines = [self._relay(at, port, media_ports) for at, port in enumerate(self.ng_ports)]
        self.rtpengine = self.rtpengines[0]
        self._starts = 0
        self.server = self._new_server()

    def _relay(self, at: int, ng: int, count: int) -> Part:
        first = self.media_ports[0] + at * count
        command = rtpengine_command(self.host, f"{HOST}:{ng}", (first, first + count - 1))
        return Part("rtpengine", command, self.folder / f"rtpengine{at or ''}.log")

    def _new_server(self) -> Part:
        self._starts += 1
        return Part("sipnode", [*self._before, *server_command(self.folder)], self.folder / f"sipnode-{self._starts}.log")

    async def start(self) -> Site:
        """Both up and answering."""
        for relay, port in zip(self.rtpengines, self.ng_ports, strict=True):
            await self._start(relay, functools.partial(probes.media_relay, HOST, port))
        await self._start_server()
        return self

    async def _start_server(self) -> None:
        await self._start(self.server, self._server_answers)
        asker = self.phone(USERS[0])

        async def loaded() -> bool:
            return (await asker.register(None)).status != 503

        await until(loaded, "the registrar has read its table, until when it says 503")

    async def _start(self, part: Part, answers: Any) -> None:
        part.start()
        self.case.addCleanup(self._end, part)
        # The questions block, and this process has sound to send meanwhile.
        if not await deferToThread(part.wait_ready, answers, 30):
            raise AssertionError(f"{part.name} didn't start:\n{part.last_words(40)}")

    async def _end(self, part: Part) -> None:
        await deferToThread(part.stop)
        said = part.log.read_text("utf-8", "replace")
        if "Traceback" in said or "Unhandled" in said:
            raise AssertionError(f"{part.name} logged\n{said[-6000:]}")

    def _server_answers(self) -> bool:
        return probes.sip_server(self.host, self.sip) and probes.web_page(self.host, self.http)

    async def kill(self) -> None:
        """``kill -9`` of the server."""
        assert self.server.process is not None
        self.server.process.kill()
        await deferToThread(self.server.process.wait)

    async def start_again(self) -> None:
        """The same command line, the same folder."""
        self.server = self._new_server()
        await self._start_server()

    async def rpc(self, method: str, *params: Any) -> Any:
        """Call a method of the server's RPC."""

        def call() -> Any:
            with Caller(self._rpc) as caller:
                return caller.call(method, list(params))

        return await deferToThread(call)

    # -- users

    def phone(self, user: str, hz: int = 700, password: str = "") -> Phone:
        """A phone that isn't registered yet."""
        return Phone(self.case, user, password or passwords()[user], DOMAIN, (self.host, self.sip), hz)

    async def registered(self, user: str, hz: int = 700) -> Phone:
        """A phone that is."""
        phone = self.phone(user, hz)
        response = await phone.register()
        self.case.assertEqual(response.status, 200, response.start_line)
        return phone

    def page(self, user: str, hz: int, password: str = "", auto: bool = True) -> str:
        """The address of the softphone for that user, and words for :class:`Page`: a tone for a voice, and whether it answers."""
        answer = "&answer=1" if auto else ""
        return f"http://{self.host}:{self.http}/#user={user}&password={password or passwords()[user]}&voice={hz}{answer}"

    # -- the relay

    async def kill_relay(self, at: int = 0, anew: bool = False) -> None:
        """``kill -9`` of an rtpengine; with ``anew`` it is started again at once."""
        relay = self.rtpengines[at]
        assert relay.process is not None
        relay.process.kill()
        await deferToThread(relay.process.wait)
        if anew:
            relay.start()

    async def start_relay(self, at: int) -> None:
        """Start an rtpengine that was killed, until it answers."""
        self.rtpengines[at].start()
        await deferToThread(self.rtpengines[at].wait_ready, functools.partial(probes.media_relay, HOST, self.ng_ports[at]), 30)

    async def calls(self, at: int = 0) -> list[Any]:
        """The Call-IDs that an rtpengine holds."""
        client = NgClient(reactor, [0.3, 0.6, 1.2, 2.4])
        wire = reactor.listenUDP(0, client, interface=HOST, maxPacketSize=65535)
        try:
            reply: dict[bytes, Any] = await client.command((HOST, self.ng_ports[at]), ng.list_calls())
        finally:
            client.stop()
            await wire.stopListening()
        held: list[Any] = reply[b"calls"]
        return held

    async def no_calls(self) -> None:
        """Wait until it holds none."""

        async def none() -> bool:
            return not await self.calls()

        await until(none, "rtpengine holds no call any more")

    def assert_relayed(self, sdp_media: tuple[str, int]) -> None:
        """The address and port that somebody was told to send to are rtpengine's own."""
        address, port = sdp_media
        self.case.assertEqual(address, self.host)
        self.case.assertIn(port, range(self.media_ports[0], self.media_ports[1] + 1))
