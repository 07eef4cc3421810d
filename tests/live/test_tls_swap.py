"""Certificates are replaced under open connections that talk all the while.

``SWAP_SOCKETS`` says how many (200 without it); the figures are printed.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode import config
from sipnode.demo import probes
from sipnode.demo.parts import Part, server_command
from sipnode.rpc.client import Caller
from sipnode.settings import AuthSettings, CoreSettings, LimitSettings, Settings, TLSSettings, TransportSettings
from sipnode.transport.probe import look

from ..transport.certificates import make
from ..transport.test_http import UPGRADE, request
from ..transport.test_websocket import TEXT, masked
from .support.site import HOST, free_port
from .support.waiting import until
from .test_transport import AnyCertificate

reactor: Any = _reactor
SOCKETS = int(os.environ.get("SWAP_SOCKETS", "200"))
# Answers that each connection must have had before a certificate is replaced, and after the new one was seen.
ROUNDS = 3


class Talker(Protocol):
    """Asks, and asks again when it was answered; over a WebSocket after its handshake.

    Attributes:
        asked: Requests sent.
        answered: Answers with 200.
        closed: It has ended.
    """

    def __init__(self, crowd: Crowd, number: int, websocket: bool) -> None:
        self.crowd = crowd
        self.number = number
        self.websocket = websocket
        self.upgraded = not websocket
        self.asked = self.answered = 0
        self.closed = False
        self.transport: Any
        self._heard = b""

    def connectionMade(self) -> None:
        if self.websocket:
            self.transport.write(request(UPGRADE | {"Host": f"{HOST}:{self.crowd.port}", "Origin": ""}))
        else:
            self.ask()

    def dataReceived(self, data: bytes) -> None:
        self._heard += data
        if not self.upgraded and b"\r\n\r\n" in self._heard:
            head, _, self._heard = self._heard.partition(b"\r\n\r\n")
            self.upgraded = head.startswith(b"HTTP/1.1 101")
            self.ask()
        elif self.upgraded and self._heard.endswith(b"\r\n\r\n"):
            self.answered += b"SIP/2.0 200" in self._heard
            self._heard = b""
            if self.crowd.talking:
                self.ask()

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True

    def ask(self) -> None:
        """One OPTIONS to the server itself."""
        self.asked += 1
        transport, port = ("WSS", self.crowd.port) if self.websocket else ("TLS", self.crowd.port)
        branch = f"z9hG4bK{self.number}-{self.asked}"
        octets = (
            f"OPTIONS sip:{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/{transport} c{self.number}.invalid;branch={branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@swap.test>;tag={self.number}\r\nTo: <sip:{HOST}>\r\nCall-ID: {self.number}\r\n"
            f"CSeq: {self.asked} OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        self.transport.write(masked(TEXT, octets) if self.websocket else octets)


class Crowd:
    """The connections, half of them WebSockets."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.talking = True
        self.members: list[Talker] = []

    async def come(self, count: int) -> None:
        """Connect, twenty at a time."""
        creator = AnyCertificate()
        for number in range(count):
            talker = Talker(self, number, websocket=bool(number % 2))
            self.members.append(talker)
            factory: Any = Factory.forProtocol(lambda talker=talker: talker)
            factory.noisy = False
            factory.startedConnecting = factory.clientConnectionLost = factory.clientConnectionFailed = lambda *_: None
            reactor.connectSSL(HOST, self.port, factory, creator)
            if number % 20 == 19:
                await until(lambda: all(each.asked for each in self.members), "all are connected", 60)
        await until(lambda: all(each.asked for each in self.members), "all are connected", 60)

    async def rounds(self, count: int) -> None:
        """Until each has had so many more answers."""
        wanted = [(each, each.answered + count) for each in self.members]
        await until(lambda: all(each.answered >= least or each.closed for each, least in wanted), "everybody is answered", 120)

    async def silence(self) -> None:
        """No more questions; until what was asked is answered."""
        self.talking = False
        await until(lambda: all(each.answered == each.asked or each.closed for each in self.members), "the last are answered", 60)


class SwapTests(TestCase):
    """A server as an operator runs it, with certificates as certbot keeps them: links into an archive."""

    timeout = 240

    async def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "archive").mkdir(parents=True)
        (self.folder / "live").mkdir()
        self.generation = 0
        self.renew()
        live = self.folder / "live"
        (self.folder / "tls.cfg").write_text(f"[server:default]\ncertificate = {live}/cert.pem\nprivate_key = {live}/key.pem\n")
        self.port, self.sip = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        lines = (f"udp:{HOST}:{self.sip}", f"tls:{HOST}:{self.port}", f"wss:{HOST}:{self.port}")
        settings = Settings(
            core=CoreSettings(domains=("swap.test",), listen=lines),
            auth=AuthSettings(enabled=False),
            limits=LimitSettings(connections_per_source=SOCKETS + 100),
            transport=TransportSettings(origins=("*",)),
            tls=TLSSettings(config="tls.cfg", watch_seconds=0.5),
        )
        (self.folder / config.FILE_NAME).write_text(config.render(settings))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.server = Part("sipnode", server_command(self.folder), self.folder / "sipnode.log")
        self.server.start()
        self.addCleanup(lambda: deferToThread(self.server.stop))
        if not await deferToThread(self.server.wait_ready, lambda: probes.sip_server(HOST, self.sip), 30):
            raise AssertionError(f"it didn't start:\n{self.server.last_words(40)}")

    def renew(self) -> str:
        """A new pair in the archive, and the links moved to it, the key first; its name."""
        self.generation += 1
        name = f"swap{self.generation}"
        make(name, ("swap.test", HOST)).save(str(self.folder / "archive"), name)
        for kind in ("key", "cert"):
            link = self.folder / "live" / f"{kind}.pem"
            new = link.with_suffix(".new")
            new.symlink_to(f"../archive/{name}-{kind}.pem")
            new.rename(link)
        return name

    async def shown(self) -> str:
        """The common name of the certificate that a new connection sees."""
        chain = (await deferToThread(look, HOST, self.port)).chain
        return str(chain[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)

    def by_itself(self) -> None:
        """Nobody tells the server anything."""

    def by_signal(self) -> None:
        """As ``systemctl reload`` does."""
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGHUP)

    def by_rpc(self) -> None:
        """As ``sipnode rpc tls.reload`` does."""
        with Caller(str(self.folder / "rpc.sock")) as caller:
            caller.call("tls.reload", [])

    async def test_swap(self) -> None:
        """Nobody is cut off and nothing is lost, and who comes next sees the new certificate; a bad pair changes nothing."""
        crowd = Crowd(self.port)
        await crowd.come(SOCKETS)
        self.addCleanup(self.leave, crowd)
        self.assertEqual(await self.shown(), "swap1")
        seen = []
        for tell in (self.by_itself, self.by_signal, self.by_rpc):
            await crowd.rounds(ROUNDS)
            name = self.renew()
            await deferToThread(tell)

            async def new(name: str = name) -> bool:
                return await self.shown() == name

            began = time.monotonic()
            await until(new, f"{name} is shown")
            seen.append(f"{tell.__name__} {time.monotonic() - began:.1f} s")
            await crowd.rounds(ROUNDS)
        (self.folder / "live" / "key.pem").unlink()
        (self.folder / "live" / "key.pem").symlink_to("../archive/swap1-key.pem")
        await until(lambda: "can't be used" in self.server.log.read_text(), "the bad pair is told")
        await crowd.rounds(ROUNDS)
        self.assertEqual(await self.shown(), name)
        await crowd.silence()
        closed = sum(each.closed for each in crowd.members)
        asked, answered = (sum(each.asked for each in crowd.members), sum(each.answered for each in crowd.members))
        kinds = sum(each.websocket for each in crowd.members)
        print(
            f"\n{SOCKETS - kinds} TLS and {kinds} wss sockets, certificate replaced {len(seen)} times ({', '.join(seen)}): "
            f"closed {closed}, {asked} requests, lost messages {asked - answered}, new handshakes with the new certificate",
            file=sys.stderr,
        )
        self.assertEqual((closed, asked - answered), (0, 0))
        self.assertNotIn("Traceback", self.server.log.read_text())

    async def leave(self, crowd: Crowd) -> None:
        """End the connections."""
        for each in crowd.members:
            if not each.closed:
                each.transport.abortConnection()
        await until(lambda: all(each.closed for each in crowd.members), "all are gone")
