"""What a connection may cost: frames, keepalives, requests, silence, half a handshake; and whose it is behind a proxy."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from sipnode.settings import LimitSettings, TransportSettings
from sipnode.transport.connection import FRAMES_AT_ONCE, STALL_SECONDS
from sipnode.transport.handshake import HandshakeRules
from sipnode.transport.http import WebPort, XHTTPRoot
from sipnode.transport.proxied import ProxiedPort, Proxies
from sipnode.transport.sniff import StreamPort
from sipnode.transport.websocket import websocket_factory

from .kit import OPTIONS, Bench, Wire, listener
from .test_http import UPGRADE, request
from .test_websocket import PING, PONG, TEXT, masked

LONG = b"x" * 300_000
PEER = "203.0.113.9"
PROXY = "10.0.0.5"


class Page(Resource):
    """Long, short, or who asks."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.asked: list[bytes] = []

    def render_GET(self, request: Any) -> bytes:
        self.asked.append(request.uri)
        if request.uri == b"/who":
            return f"{request.getClientAddress().host} {request.isSecure()}".encode()
        return LONG if request.uri == b"/long" else b"short"


class SlowWire(Wire):
    """A transport whose peer reads when it is told to: what waits is in ``waiting``."""

    def __init__(self, peer: str) -> None:
        Wire.__init__(self, peer)
        self.waiting = b""
        self.reading = False
        self.paused = False

    def write(self, data: bytes) -> None:
        if self.reading:
            Wire.write(self, data)
            return
        self.waiting += data
        if len(self.waiting) > 65536 and self.producer is not None:
            self.producer.pauseProducing()

    def read(self) -> None:
        """The peer takes what waits."""
        self.waiting = b""
        if self.producer is not None:
            self.producer.resumeProducing()


class FloodTests(SynchronousTestCase):
    """A port that speaks everything."""

    def setUp(self) -> None:
        self.bench = Bench(LimitSettings(connections_per_source=5), TransportSettings(proxies=(PROXY,)))
        self.bench.admission.proxy = Proxies((PROXY,))
        self.spent: list[tuple[str, bool, float, str]] = []
        self.broke: set[str] = set()
        self.bench.admission.spend = self.spend
        self.page = Page()
        web, page = listener("WS", 8080, websocket_port=True), self.page
        rules = HandshakeRules(lambda host: True, ("*",), False)
        root = XHTTPRoot(rules, websocket_factory(self.bench.hub, web, self.bench.clock), page, None, "")
        http = WebPort(self.bench.hub, root, self.bench.clock).channel
        self.port = StreamPort(self.bench.hub, listener("TCP", 8080, websocket_port=True), http)

    def spend(self, host: str, stream: bool, cost: float, kind: str) -> bool:
        self.spent.append((host, stream, cost, kind))
        return host not in self.broke

    def connect(self, octets: bytes = b"", wire: Wire | None = None, port: Factory | None = None) -> Wire:
        wire = wire or Wire(PEER)
        protocol: Any = (port or self.port).buildProtocol(IPv4Address("TCP", wire.getPeer().host, 40000))
        wire.protocol = protocol
        protocol.makeConnection(wire)
        if octets:
            wire.protocol.dataReceived(octets)
        return wire

    def websocket(self) -> Wire:
        wire = self.connect(request(UPGRADE))
        wire.take()
        self.spent.clear()
        return wire

    # -- frames and keepalives

    def test_frames_are_counted(self) -> None:
        """A ping, a pong, a piece of a message and a keepalive cost one message each, a whole message nothing here."""
        wire = self.websocket()
        for octets, cost in (
            (masked(PING, b"a"), 1),
            (masked(PONG, b""), 1),
            (masked(0x01, OPTIONS[:9]) + masked(0x80, OPTIONS[9:]), 2),
            (masked(TEXT, b"\r\n\r\n"), 1),
            (masked(TEXT, OPTIONS), 0),
        ):
            self.spent.clear()
            wire.protocol.dataReceived(octets)
            self.assertEqual(sum(one[2] for one in self.spent), cost, octets)
            self.assertTrue(all(one[:2] == (PEER, True) for one in self.spent))

    def test_flood_of_frames(self) -> None:
        """Far more than any browser sends end the connection with 1008, and of what has come nothing more is looked at."""
        for one in (masked(PING, b""), masked(PONG, b""), masked(TEXT, b"\r\n\r\n"), masked(0x00, b"b")):
            wire = self.websocket()
            start = masked(0x01, b"a") if one[0] == 0 else b""
            wire.protocol.dataReceived(start + one * 5000)
            self.assertEqual(self.bench.sink.reasons, [])
            self.assertLessEqual(len(self.spent), 2 * FRAMES_AT_ONCE + 2)
            self.assertIn(b"too many", wire.take())
            wire.protocol.dataReceived(one * 5000)
            self.assertEqual(wire.take(), b"")
            self.bench.pass_time(4)
            self.assertTrue(wire.ended)
            self.bench.sink.reasons.clear()
        self.assertEqual(self.bench.admission.counts["too_many_frames"], 4)

    def test_source_over_its_limit(self) -> None:
        """Then nothing is answered: who sends little of it stays, who sends much goes."""
        modest, greedy = self.websocket(), self.websocket()
        self.broke.add(PEER)
        modest.protocol.dataReceived(masked(PING, b"a"))
        greedy.protocol.dataReceived(masked(PING, b"a") * 100)
        self.assertEqual(modest.take(), b"")
        self.assertIn(b"too many", greedy.take())
        self.broke.clear()
        modest.protocol.dataReceived(masked(PING, b"a"))
        self.assertEqual(modest.take(), b"\x8a\x01a")

    def test_keepalives_on_a_stream(self) -> None:
        """CRLFs of a TCP connection are counted, and far too many of them end it."""
        wire = self.connect(OPTIONS)
        wire.protocol.dataReceived(b"\r\n\r\n")
        self.assertEqual((self.spent, wire.take()), ([(PEER, True, 1, "keepalives")], b"\r\n"))
        wire.protocol.dataReceived(b"\r\n\r\n" * 5000)
        self.assertTrue(wire.disconnecting)

    def test_rest(self) -> None:
        """A connection that is to rest isn't read from for a while, then it is."""
        wire = self.connect(OPTIONS)
        flow = self.bench.sink.flows[0]
        flow.rest(0.5)
        flow.rest(0.5)
        self.assertEqual(wire.producerState, "paused")
        self.bench.pass_time(1.5)
        self.assertEqual(wire.producerState, "producing")

    # -- silence

    def test_said_nothing(self) -> None:
        """A connection by which nothing valid came for half a minute is closed: keepalives, a bare WebSocket, or garbage."""
        self.bench.sink.on_received = lambda data, flow: flow.unsaid() if b"garbage" in data else None
        garbage = b"garbage sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"
        silent = [self.connect(b"\r\n\r\n"), self.connect(request(UPGRADE)), self.connect(garbage)]
        fair = self.connect(OPTIONS)
        for _ in range(16):
            self.bench.pass_time(1.5)
            silent[0].protocol.dataReceived(b"\r\n\r\n")
            silent[2].protocol.dataReceived(garbage)
        self.assertFalse(any(wire.ended for wire in silent))
        self.bench.pass_time(11)
        self.assertEqual([wire.ended for wire in (*silent, fair)], [True, True, True, False])
        self.assertEqual(self.bench.admission.counts["said_nothing"], 3)

    def test_garbage_later(self) -> None:
        """Who has spoken isn't silent for one bad message."""
        self.bench.sink.on_received = lambda data, flow: flow.unsaid() if b"garbage" in data else None
        wire = self.connect(OPTIONS)
        self.bench.pass_time(40)
        wire.protocol.dataReceived(b"garbage sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        self.bench.pass_time(5)
        self.assertFalse(wire.ended)

    def test_trickled(self) -> None:
        """Line, head and body of the first request have handshake_seconds from the accept, later ones from their own beginning."""
        wire = self.connect(b"GET / HT")
        self.bench.pass_time(9)
        wire.protocol.dataReceived(b"TP/1.1\r\nHost: x\r\n")
        self.bench.pass_time(2)
        self.assertTrue(wire.ended)
        wire = self.connect(request({"Host": "x"}))
        self.bench.pass_time(30)
        wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        for _ in range(8):
            self.bench.pass_time(1)
            wire.protocol.dataReceived(b"X: x\r\n")
        self.assertFalse(wire.ended)
        self.bench.pass_time(3)
        self.assertTrue(wire.ended)

    # -- HTTP

    def test_requests_are_counted(self) -> None:
        """Each costs a message; over the limit of its source it gets 429, and what stands behind it isn't read."""
        wire = self.connect(request({"Host": "x"}) * 3)
        self.bench.clock.advance(0)
        self.bench.clock.advance(0)
        self.assertEqual(self.spent, [(PEER, True, 1.0, "http")] * 3)
        self.broke.add(PEER)
        wire = self.connect(request({"Host": "x"}) * 3)
        self.assertEqual((wire.take().count(b"429"), wire.disconnecting, len(self.page.asked)), (1, True, 3))

    def test_one_at_a_time(self) -> None:
        """The next request is begun in another turn, and when the answer before it has gone."""
        wire = SlowWire(PEER)
        self.connect(request({"Host": "x"}, "GET /long HTTP/1.1") * 50, wire)
        self.bench.clock.advance(0)
        self.assertEqual(len(self.page.asked), 1)
        self.assertLess(len(wire.waiting), 140_000)
        for _ in range(10):
            wire.read()
        self.bench.clock.advance(0)
        self.assertEqual(len(self.page.asked), 2)

    def test_no_reading_ahead(self) -> None:
        """While an answer waits little more is taken in than one request may be long."""
        wire = SlowWire(PEER)
        self.connect(request({"Host": "x"}, "GET /long HTTP/1.1"), wire)
        for _ in range(100):
            if wire.producerState != "paused":
                wire.protocol.dataReceived(b"GET /long HTTP/1.1\r\n" * 100)
        self.assertEqual(wire.producerState, "paused")
        self.assertLess(sum(map(len, wire.protocol._dataBuffer)), 100_000)

    def test_slow_readers(self) -> None:
        """Who takes nothing of an answer for 32 seconds is cut; of a long one no copy is kept for each."""
        wires = [SlowWire(PEER) for _ in range(4)]
        for wire in wires:
            self.connect(request({"Host": "x"}, "GET /long HTTP/1.1"), wire)
        kept = {id(part.obj) for wire in wires for part in wire.protocol._unsent}
        self.assertEqual(len(kept), 1)
        self.bench.pass_time(STALL_SECONDS - 1)
        wires[0].read()
        self.bench.pass_time(3)
        self.assertEqual([wire.ended for wire in wires], [False, True, True, True])

    def test_whole_answer(self) -> None:
        """A long answer comes whole, also where the connection closes behind it, and one after the other where several are asked for."""
        for octets, count in (
            (request({"Host": "x", "Connection": "close"}, "GET /long HTTP/1.1"), 1),
            (request({"Host": "x"}, "GET /long HTTP/1.1") * 3, 3),
        ):
            wire = SlowWire(PEER)
            wire.reading = True
            self.connect(octets, wire)
            for _ in range(count):
                self.bench.clock.advance(0)
            self.assertEqual(wire.value().count(b"x" * 1000), count * 300)
            self.assertEqual(wire.disconnecting, count == 1)

    def test_last_words(self) -> None:
        """Who asks twice and shuts its sending side gets both answers."""
        wire = self.connect(request({"Host": "x"}) * 2)
        wire.peer_half_closes()
        for _ in range(3):
            self.bench.clock.advance(0)
        self.assertEqual((wire.take().count(b"short"), wire.disconnecting), (2, True))

    # -- behind a proxy

    def test_forwarded(self) -> None:
        """A proxy of ours says for each request whose it is; that client is counted, and nobody else is believed."""
        headers = {"Host": "x", "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
        wire = self.connect(request(headers, "GET /who HTTP/1.1"), Wire(PROXY))
        self.assertTrue(wire.take().endswith(b"198.51.100.7 True"))
        wire.protocol.dataReceived(request({"Host": "x"}, "GET /who HTTP/1.1"))
        self.assertTrue(wire.take().endswith(f"{PROXY} False".encode()))
        wire = self.connect(request(headers, "GET /who HTTP/1.1"))
        self.assertTrue(wire.take().endswith(f"{PEER} False".encode()))
        self.assertEqual([one[0] for one in self.spent], ["198.51.100.7", PROXY, PEER])

    def test_websocket_of_a_client(self) -> None:
        """A WebSocket that a proxy brings is the client's, in its cap and with its address; one that is shut out gets none."""
        for number in range(7):
            self.connect(request(UPGRADE | {"X-Forwarded-For": f"198.51.100.{number % 2}"}), Wire(PROXY))
        self.assertEqual([flow.remote[0] for flow in self.bench.sink.flows], [f"198.51.100.{number % 2}" for number in range(7)])
        self.assertEqual(self.bench.admission.of("198.51.100.0"), 4)
        self.bench.admission.shut = {"198.51.100.9"}.__contains__
        wire = self.connect(request(UPGRADE | {"X-Forwarded-For": "198.51.100.9"}), Wire(PROXY))
        self.assertIn(b" 503 ", wire.take())

    def test_proxy_protocol(self) -> None:
        """Behind the header the connection is the client's, in however many pieces it comes; a proxy's own check is the proxy's."""
        port = ProxiedPort(self.bench.hub, self.port)
        header = b"PROXY TCP4 198.51.100.7 10.0.0.1 40000 5060\r\n"
        wire = self.connect(b"", Wire(PROXY), port)
        for octet in header + OPTIONS:
            wire.protocol.dataReceived(bytes([octet]))
        self.connect(b"PROXY UNKNOWN\r\n" + OPTIONS, Wire(PROXY), port)
        self.connect(OPTIONS, Wire(PEER), port)
        self.assertEqual([flow.remote[0] for flow in self.bench.sink.flows], ["198.51.100.7", PROXY, PEER])
        self.assertEqual((self.bench.admission.of("198.51.100.7"), self.bench.admission.open), (1, 3))

    def test_header_in_time(self) -> None:
        """A proxy that doesn't say whose a connection is, or says what is no header, is cut; a client who is shut out too."""
        port = ProxiedPort(self.bench.hub, self.port)
        slow, wrong = self.connect(b"PROXY TCP4 1", Wire(PROXY), port), self.connect(OPTIONS, Wire(PROXY), port)
        self.bench.admission.shut = {"198.51.100.9"}.__contains__
        shut = self.connect(b"PROXY TCP4 198.51.100.9 10.0.0.1 40000 5060\r\n" + OPTIONS, Wire(PROXY), port)
        self.bench.pass_time(11)
        self.assertEqual(([wire.ended for wire in (slow, wrong, shut)], self.bench.sink.flows), ([True] * 3, []))
        self.assertEqual((self.bench.admission.open, self.bench.admission.counts["proxy_header_wrong"]), (0, 2))


class ProxiesTests(SynchronousTestCase):
    """Who is one of them."""

    def test_networks(self) -> None:
        """Addresses and networks, IPv4 in IPv6's clothes too; nobody where none is named."""
        proxies = Proxies(("10.0.0.0/24", "2001:db8::5"))
        self.assertEqual([proxies(host) for host in ("10.0.0.9", "::ffff:10.0.0.9", "2001:db8::5", "10.0.1.1", "", "x") * 2],
                         [True, True, True, False, False, False] * 2)  # fmt: skip
        self.assertEqual((bool(Proxies(())), Proxies(())("10.0.0.1")), (False, False))
        for number in range(5000):
            proxies(f"192.0.{number >> 8}.{number & 255}")
        self.assertLessEqual(len(proxies._known), 1024)


