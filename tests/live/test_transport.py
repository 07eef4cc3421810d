"""The transport room on real sockets of the loopback interface."""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.ssl import ClientContextFactory
from twisted.trial.unittest import TestCase
from twisted.web.static import Data

from sipnode.errors import ConfigError, NoRoute
from sipnode.records import Hop
from sipnode.settings import CoreSettings, LimitSettings, Settings, TLSSettings
from sipnode.transport.assembly import Transports, build_transports

from ..transport.certificates import make
from ..transport.kit import OK, OPTIONS, RecordingSink
from ..transport.test_http import UPGRADE, request
from ..transport.test_websocket import CLOSE, TEXT, masked

reactor: Any = _reactor


class Talker(Protocol):
    """A client that collects what it hears; ``heard(n)`` waits for n octets, ``gone`` for the end."""

    def __init__(self) -> None:
        self.data = b""
        self.gone: Deferred[bytes] = Deferred()
        self._wanted: tuple[int, Deferred[bytes]] | None = None

    def say(self, data: bytes) -> Talker:
        """Send."""
        assert self.transport is not None
        self.transport.write(data)
        return self

    def heard(self, count: int) -> Deferred[bytes]:
        """The next ``count`` octets."""
        waiter: Deferred[bytes] = Deferred()
        self._wanted = (count, waiter)
        self._give()
        return waiter

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._give()

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(self.data)

    def _give(self) -> None:
        if self._wanted is not None and len(self.data) >= self._wanted[0]:
            (count, waiter), self._wanted = self._wanted, None
            found, self.data = self.data[:count], self.data[count:]
            waiter.callback(found)


class AnyCertificate(ClientContextFactory):
    """A client that believes everybody."""

    method = SSL.TLS_METHOD
    _contextFactory = SSL.Context


class UdpTalker(DatagramProtocol):
    """A UDP client."""

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.callback(datagram)


class TransportTests(TestCase):
    """A whole set of transports."""

    timeout = 20

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        authority = make("authority", authority=True)
        authority.save(self.folder, "ca")
        make("sip.example.com", ("sip.example.com",), authority).save(self.folder, "server")
        with open(os.path.join(self.folder, "tls.cfg"), "w") as file:
            file.write("[server:default]\ncertificate=server-cert.pem\nprivate_key=server-key.pem\n")
            file.write("[client:default]\nca_list=ca-cert.pem\nverify_certificate=yes\n")
        self.sink = RecordingSink()
        self.sink.on_received = lambda data, flow: flow.send(OK) if data.startswith(b"OPTIONS") else None

    def start(self, *lines: str, **limits: Any) -> Transports:
        settings = Settings(core=CoreSettings(listen=lines), limits=LimitSettings(**limits), tls=TLSSettings(config="tls.cfg"))
        page: Any = Data(b"page", "text/plain")
        page.isLeaf = True
        made = build_transports(settings, self.sink, reactor, page, None, self.folder)
        for service in made.services:
            self.addCleanup(service.stopService)
            service.privilegedStartService()
            service.startService()
        return made

    def port(self, made: Transports, transport: str) -> int:
        return next(each.port for each in made.listeners if each.transport == transport)

    async def talk(self, port: int, tls: bool = False, host: str = "127.0.0.1") -> Talker:
        ready: Deferred[Talker] = Deferred()

        class Client(Talker):
            def connectionMade(self) -> None:
                ready.callback(self)

        factory: Any = Factory.forProtocol(Client)
        factory.noisy = False
        factory.startedConnecting = factory.clientConnectionLost = factory.clientConnectionFailed = lambda *_: None
        if tls:
            reactor.connectSSL(host, port, factory, AnyCertificate())
        else:
            reactor.connectTCP(host, port, factory)
        talker = await ready
        wire: Any = talker.transport
        self.addCleanup(lambda: None if talker.gone.called else wire.abortConnection())
        return talker

    async def test_udp(self) -> None:
        """OPTIONS is answered over UDP, IPv4 and IPv6, from the socket it came to."""
        made = self.start("udp:127.0.0.1:0", "udp:[::1]:0")
        for listener, local in zip(made.listeners, ("127.0.0.1", "::1"), strict=True):
            talker = UdpTalker()
            port = reactor.listenUDP(0, talker, interface=local)
            port.write(OPTIONS, (local, listener.port))
            self.assertEqual(await talker.heard, OK)
            await port.stopListening()
            self.assertTrue(made.is_own_address(local, listener.port))

    async def test_streams(self) -> None:
        """OPTIONS is answered over TCP and TLS, and on the WebSocket ports as well."""
        made = self.start("tcp:127.0.0.1:0", "tls:127.0.0.1:0", "ws:127.0.0.1:0", "wss:127.0.0.1:0", "tcp:[::1]:0")
        for transport, tls, name in (("TCP", False, "TCP"), ("TLS", True, "TLS"), ("WS", False, "TCP"), ("WSS", True, "TLS")):
            talker = await self.talk(self.port(made, transport), tls)
            self.assertEqual(await talker.say(OPTIONS).heard(len(OK)), OK)
            flow = self.sink.messages[-1][1]
            self.assertEqual((flow.transport, flow.listener.websocket_port), (name, transport in ("WS", "WSS")))
        talker = await self.talk(made.listeners[-1].port, host="::1")
        self.assertEqual(await talker.say(OPTIONS).heard(len(OK)), OK)

    async def test_websockets(self) -> None:
        """OPTIONS is answered over WS and WSS, beside the page on the same port."""
        made = self.start("ws:127.0.0.1:0", "wss:127.0.0.1:0")
        for transport, tls in (("WS", False), ("WSS", True)):
            port = self.port(made, transport)
            talker = await self.talk(port, tls)
            talker.say(request(UPGRADE | {"Host": f"127.0.0.1:{port}", "Origin": ""}))
            self.assertEqual(await talker.heard(12), b"HTTP/1.1 101")
            while not talker.data.endswith(b"\r\n\r\n"):
                await talker.heard(len(talker.data) + 1)
            talker.data = b""
            self.assertEqual(await talker.say(masked(TEXT, OPTIONS)).heard(2 + len(OK)), bytes((TEXT, len(OK))) + OK)
            self.assertEqual(self.sink.messages[-1][1].transport, transport)
            page = await self.talk(port, tls)
            page.say(request({"Host": "127.0.0.1", "Connection": "close"}))
            self.assertTrue((await page.gone).endswith(b"page"))

    async def test_lost_frame_is_answered(self) -> None:
        """The answer to a stream that lost its frame arrives, though octets behind it stay unread."""
        made = self.start("tcp:127.0.0.1:0")
        self.sink.on_broken = lambda data, flow, error: flow.send(b"400")
        talker = await self.talk(self.port(made, "TCP"))
        talker.say(b"OPTIONS sip:a SIP/2.0\r\n\r\n" + b"x" * 100000)
        self.assertEqual(await talker.heard(3), b"400")
        await talker.gone

    async def test_half_close(self) -> None:
        """A client that shuts its sending side at once gets its answer."""
        made = self.start("tcp:127.0.0.1:0")
        talker = await self.talk(self.port(made, "TCP"))
        wire: Any = talker.say(OPTIONS).transport
        wire.loseWriteConnection()
        self.assertEqual(await talker.heard(len(OK)), OK)

    async def test_stalled_reader(self) -> None:
        """A peer that reads nothing is cut, and what was kept for it stays within the bound."""
        made = self.start("tcp:127.0.0.1:0", write_buffer_bytes=300000)
        talker = await self.talk(self.port(made, "TCP"))
        wire: Any = talker.say(OPTIONS).transport
        await talker.heard(len(OK))
        wire.pauseProducing()
        flow = self.sink.flows[0]
        closed: Deferred[None] = Deferred()

        def push() -> None:
            for _ in range(20):
                if flow.closed:
                    closed.callback(None)
                    return
                try:
                    flow.send(b"x" * 60000)
                except Exception as error:
                    self.assertIn("slowly", str(error))
            reactor.callLater(0, push)

        push()
        await closed
        while made.admission.open:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0, pause.callback, None)
            await pause
        self.assertEqual(self.sink.reasons, ["peer reads too slowly"])

    async def test_outgoing_tcp(self) -> None:
        """A connection that we open is one flow at both ends and is used again; a refused one is no route."""
        made = self.start("tcp:127.0.0.1:0")
        hop = Hop("TCP", "127.0.0.1", self.port(made, "TCP"))
        flow: Any = await made.flows.connect(hop)
        self.assertIs(await made.flows.connect(hop), flow)
        flow.send(OPTIONS)
        while OK not in self.sink.texts:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0, pause.callback, None)
            await pause
        self.assertEqual((flow.transport, flow.listener.name), ("TCP", made.listeners[0].name))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            await self.assertFailure(made.flows.connect(Hop("TCP", "127.0.0.1", sock.getsockname()[1])), NoRoute)

    async def test_outgoing_tls(self) -> None:
        """TLS to a peer that proves its name is a flow; to one that doesn't it's no route, and nobody hears of it."""
        made = self.start("tls:127.0.0.1:0")
        port = self.port(made, "TLS")
        flow: Any = await made.flows.connect(Hop("TLS", "127.0.0.1", port, "sip.example.com"))
        self.assertEqual((flow.transport, flow.server_name), ("TLS", "sip.example.com"))
        flow.send(OPTIONS)
        while OK not in self.sink.texts:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0, pause.callback, None)
            await pause
        before = list(self.sink.log)
        await self.assertFailure(made.flows.connect(Hop("TLS", "127.0.0.1", port, "other.example.com")), NoRoute)
        self.assertEqual(self.sink.log, before)

    async def test_stop(self) -> None:
        """On stop browsers are told 1001, connections end, and the ports are free."""
        made = self.start("ws:127.0.0.1:0", "udp:127.0.0.1:0")
        port = self.port(made, "WS")
        talker = await self.talk(port)
        talker.say(request(UPGRADE | {"Host": f"127.0.0.1:{port}"}))
        await talker.heard(100)
        for service in reversed(made.services):
            await _as_deferred(service.stopService())
        octets = await talker.gone
        self.assertEqual(octets[octets.index(bytes((CLOSE,))) :][2:4], struct.pack("!H", 1001))
        self.assertEqual((made.admission.open, self.sink.log), (0, ["opened WS", "closed WS"]))
        self.start(f"ws:127.0.0.1:{port}", f"udp:127.0.0.1:{self.port(made, 'UDP')}")

    async def test_taken(self) -> None:
        """A port that is taken stops the start with an error that names it and who has it."""
        for kind, transport in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.bind(("127.0.0.1", 0))
                if transport == "tcp":
                    sock.listen()
                line = f"{transport}:127.0.0.1:{sock.getsockname()[1]}"
                error = self.assertRaises(ConfigError, self.start, line)
                self.assertIn(f"pid {os.getpid()}", str(error))
                self.assertIn(line, str(error))

    async def test_come_and_go(self) -> None:
        """After many connections of all kinds nothing is held."""
        made = self.start("ws:127.0.0.1:0", "wss:127.0.0.1:0")
        for number in range(60):
            transport, tls = (("WS", False), ("WSS", True))[number % 2]
            port = self.port(made, transport)
            talker = await self.talk(port, tls)
            if number % 3:
                talker.say((OPTIONS, request(UPGRADE | {"Host": f"127.0.0.1:{port}"}))[number % 3 - 1])
                await talker.heard(10)
            wire: Any = talker.transport
            wire.abortConnection()
            await talker.gone
        while made.admission.open or made.flows.counts():
            pause: Deferred[None] = Deferred()
            reactor.callLater(0.01, pause.callback, None)
            await pause
        self.assertEqual(self.sink.log.count("opened WS"), self.sink.log.count("closed WS"))

    def test_tls_without_certificate(self) -> None:
        """A TLS listener whose files are missing stops the start; without TLS listeners nobody asks for them."""
        os.remove(os.path.join(self.folder, "server-cert.pem"))
        error = self.assertRaises(ConfigError, self.start, "tls:127.0.0.1:0")
        self.assertEqual((error.line, error.key), (2, "[server:default] certificate"))
        self.start("tcp:127.0.0.1:0")
        os.remove(os.path.join(self.folder, "tls.cfg"))
        self.start("tcp:127.0.0.1:0")
        self.assertRaises(ConfigError, self.start, "wss:127.0.0.1:0")


async def _as_deferred(result: Any) -> None:
    if result is not None:
        await result
