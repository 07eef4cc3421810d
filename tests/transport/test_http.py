"""Promises of ``sipnode.transport.http``: the HTTP cases of a WebSocket port, octets in and octets out."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from sipnode.settings import LimitSettings
from sipnode.transport.handshake import HandshakeRules
from sipnode.transport.http import WebPort, XHTTPRoot
from sipnode.transport.sniff import StreamPort
from sipnode.transport.websocket import websocket_factory

from .kit import OPTIONS, Bench, Wire, listener

UPGRADE = {
    "Host": "127.0.0.1:8080",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "sip",
    "Origin": "http://127.0.0.1:8080",
}


def request(headers: dict[str, str], start: str = "GET / HTTP/1.1", body: str = "") -> bytes:
    """An HTTP request; a header with an empty value is left out."""
    lines = [start] + [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class WebPortTests(SynchronousTestCase):
    """One WebSocket port in memory."""

    def setUp(self) -> None:
        self.bench = Bench(LimitSettings(message_bytes=2000))
        self.asked: list[Any] = []
        self.verdict: int | None = None
        page = Resource()
        page.putChild(b"", Data(b"<p>page", "text/html"))
        self.page: Any = page

    def xhttp_request(self, http: Any) -> int | None:
        self.asked.append(http.uri)
        return self.verdict

    def connect(self) -> Wire:
        rules = HandshakeRules({"sip.example.com"}.__contains__, ("self",), False)
        web = listener("WS", 8080, websocket_port=True)
        root = XHTTPRoot(rules, websocket_factory(self.bench.hub, web, self.bench.clock), self.page, self.xhttp_request, "test")
        http = WebPort(self.bench.hub, root, self.bench.clock).channel
        port = StreamPort(self.bench.hub, listener("TCP", 8080, websocket_port=True), http)
        return self.bench.connect(port.buildProtocol(IPv4Address("TCP", "127.0.0.9", 40000)))

    def ask(self, octets: bytes) -> tuple[int, bytes, Wire]:
        wire = self.connect()
        wire.protocol.dataReceived(octets)
        answer = wire.take()
        return int(answer.split(b" ")[1]) if answer else 0, answer, wire

    def upgrade(self, **changes: str) -> int:
        headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
        return self.ask(request(headers))[0]

    def test_101(self) -> None:
        """A right handshake gets 101 with the sub-protocol and the accept value of RFC 6455 §1.3, and makes a flow."""
        status, answer, wire = self.ask(request(UPGRADE))
        self.assertEqual(status, 101)
        self.assertIn(b"Sec-WebSocket-Protocol: sip\r\n", answer)
        self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", answer)
        self.assertNotIn(b"Server:", answer)
        self.assertNotIn(b"Extensions", answer)
        flow, = self.bench.sink.flows
        self.assertEqual((flow.transport, flow.listener.name, flow.listener.websocket_port), ("WS", "ws:127.0.0.1:8080", True))
        wire.end()
        self.assertEqual((self.bench.sink.log, self.bench.admission.open), (["opened WS", "closed WS"], 0))

    def test_refusals(self) -> None:
        """Each fault of a handshake has exactly its status."""
        self.assertEqual(self.upgrade(Host="evil.example"), 403)
        self.assertEqual(self.upgrade(Host=""), 403)
        self.assertEqual(self.upgrade(Origin="http://evil.example"), 403)
        self.assertEqual(self.upgrade(Sec_WebSocket_Version="12"), 426)
        self.assertEqual(self.upgrade(Sec_WebSocket_Key="short"), 400)
        self.assertEqual(self.upgrade(Sec_WebSocket_Protocol="chat"), 400)
        self.assertEqual(self.upgrade(Sec_WebSocket_Protocol=""), 400)
        self.assertEqual(self.bench.sink.log, [])

    def test_426_names_the_version(self) -> None:
        """A wrong version is answered with the right one."""
        _, answer, _ = self.ask(request(UPGRADE | {"Sec-WebSocket-Version": "8"}))
        self.assertIn(b"sec-websocket-version: 13", answer.lower())

    def test_frames_behind_the_handshake(self) -> None:
        """A frame in the same segment as the handshake isn't lost."""
        masked = bytes((0x81, 0x80 | len(OPTIONS))) + bytes(4) + OPTIONS
        self.ask(request(UPGRADE) + masked)
        self.assertEqual(self.bench.sink.texts, [OPTIONS])

    def test_page(self) -> None:
        """Without an upgrade the page is shown, also to a browser that asks for secure requests."""
        headers = {"Host": "sip.example.com", "Connection": "Upgrade-Insecure-Requests", "Upgrade-Insecure-Requests": "1"}
        status, answer, _ = self.ask(request(headers))
        self.assertEqual((status, answer.endswith(b"<p>page")), (200, True))
        self.assertIn(b"server: test\r\n", answer.lower())

    def test_page_refuses_foreign_names(self) -> None:
        """The page is shown under our names only."""
        status, answer, _ = self.ask(request({"Host": "evil.example"}))
        self.assertEqual((status, b"page" in answer), (403, False))

    def test_every_answer_is_guarded(self) -> None:
        """Pages, refusals and Twisted's own answers run nothing, aren't framed, send no Referer and are what their type says."""
        starts = ["GET / HTTP/1.1", "GET /nothing HTTP/1.1", "PUT / HTTP/1.1", "FETCH / HTTP/1.1"]
        heads = [{"Host": "127.0.0.1:8080"}, {"Host": "evil.example"}, UPGRADE | {"Origin": "http://evil.example"}]
        guards = (b"content-security-policy: default-src 'none'", b"x-content-type-options: nosniff", b"referrer-policy: no-referrer")
        for octets in (request(head, start) for head in heads for start in starts):
            answer = self.ask(octets)[1]
            for line in guards:
                self.assertEqual(answer.partition(b"\r\n\r\n")[0].lower().count(b"\r\n" + line), 1, answer)

    def test_leaf_page(self) -> None:
        """A page that answers every path itself gets the whole path."""
        self.page = Data(b"leaf", "text/plain")
        self.page.isLeaf = True
        self.assertEqual(self.ask(request({"Host": "127.0.0.1"}, "GET /a/b HTTP/1.1"))[1][-4:], b"leaf")

    def test_404(self) -> None:
        """No page, or a path that it doesn't have: 404."""
        self.assertEqual(self.ask(request({"Host": "127.0.0.1"}, "GET /no HTTP/1.1"))[0], 404)
        self.page = None
        self.assertEqual(self.ask(request({"Host": "127.0.0.1"}))[0], 404)
        self.assertEqual(self.ask(request(UPGRADE, "POST / HTTP/1.1"))[0], 404)

    def test_script(self) -> None:
        """The script is asked about each request with a Host of ours, and its status refuses."""
        self.verdict = 403
        self.assertEqual(self.upgrade(), 403)
        self.assertEqual(self.upgrade(Host="evil.example"), 403)
        self.assertEqual(self.asked, [b"/"])

    def test_faulty_requests(self) -> None:
        """What Twisted cannot read is 400; a body that is too long or of unknown length is 413."""
        host = {"Host": "127.0.0.1"}
        self.assertEqual(self.ask(request(host, "GET / x HTTP/1.1"))[0], 400)
        self.assertEqual(self.ask(request(host | {"Content-Length": "2001"}, "POST / HTTP/1.1"))[0], 413)
        self.assertEqual(self.ask(request(host | {"Transfer-Encoding": "chunked"}, "POST / HTTP/1.1"))[0], 413)
        self.assertEqual(self.ask(request(host | {f"X-{number}": "y" * 1000 for number in range(17)}))[0], 400)
        self.assertTrue(self.ask(request(host | {"X": "y" * 20000}))[2].disconnecting)

    def test_413_processes_nothing(self) -> None:
        """A refused body is not read, and the connection ends."""
        _, _, wire = self.ask(request({"Host": "127.0.0.1", "Content-Length": "5000"}, "POST / HTTP/1.1"))
        wire.protocol.dataReceived(b"x" * 5000)
        self.assertEqual((wire.take(), self.asked, wire.disconnecting), (b"", [], True))
        self.bench.pass_time(11)
        self.assertTrue(wire.ended)

    def test_slow_request(self) -> None:
        """A request that isn't whole in time is cut, however it trickles: handshake_seconds for its line, and for the rest."""
        wire = self.connect()
        octets = request(UPGRADE)
        for octet in octets[:40]:
            wire.protocol.dataReceived(bytes([octet]))
            self.bench.pass_time(0.5)
        self.assertTrue(wire.ended)
        self.assertEqual((self.bench.admission.open, self.bench.timers()), (0, 0))

    def test_keep_alive(self) -> None:
        """A connection takes further requests, and is let go after a minute without one."""
        _, _, wire = self.ask(request({"Host": "127.0.0.1"}))
        wire.protocol.dataReceived(request({"Host": "127.0.0.1"}))
        self.assertIn(b"200 OK", wire.take())
        self.bench.pass_time(59)
        self.assertFalse(wire.disconnecting)
        self.bench.pass_time(2)
        self.assertTrue(wire.disconnecting)
        wire.end()
        self.assertEqual(self.bench.clock.getDelayedCalls(), [self.bench.wheel._call])

    def test_half_close(self) -> None:
        """A client that shuts its sending side gets its answer, then the connection ends."""
        wire = self.connect()
        wire.protocol.dataReceived(request({"Host": "127.0.0.1"}))
        wire.peer_half_closes()
        self.assertIn(b"<p>page", wire.take())
        self.assertTrue(wire.disconnecting)

    def test_sip_on_a_websocket_port(self) -> None:
        """Plain SIP on the port is a TCP flow whose listener says that it is a WebSocket port."""
        wire = self.connect()
        wire.protocol.dataReceived(OPTIONS)
        flow = self.bench.sink.messages[0][1]
        self.assertEqual((flow.transport, flow.websocket, flow.listener.websocket_port), ("TCP", False, True))

    def test_nothing_left(self) -> None:
        """Requests and handshakes that end leave no place taken and no timer."""
        for octets in (request(UPGRADE), request({"Host": "127.0.0.1"}), request(UPGRADE)[:40], request({"Host": "x"})) * 20:
            self.ask(octets)[2].end()
        self.assertEqual((self.bench.admission.open, self.bench.timers(), self.bench.flows.counts()), (0, 0, {}))
