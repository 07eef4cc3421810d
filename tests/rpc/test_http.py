"""The RPC over HTTP: who may, and what comes back."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sipnode.errors import ConfigError
from sipnode.rpc.endpoint import Endpoint
from sipnode.rpc.http import Door, HttpService
from sipnode.rpc.registry import Registry

TOKEN = "a token for tests only"[2:].replace(" ", "-")
CALL = b'{"jsonrpc":"2.0","method":"count","id":1}'


class _Asker(Protocol):
    """Sends octets and keeps what comes until the connection is closed."""

    def __init__(self, data: bytes, done: Deferred[bytes]) -> None:
        self._data, self._done, self._got = data, done, b""

    def connectionMade(self) -> None:
        self.transport.write(self._data)

    def dataReceived(self, data: bytes) -> None:
        self._got += data

    def connectionLost(self, reason: Any = None) -> None:
        self._done.callback(self._got)


class HttpTests(TestCase):
    """A listener on loopback."""

    def setUp(self) -> None:
        self.runs = 0
        registry = Registry()
        registry.add("count", self.count)
        registry.add("long", self.long)
        self.door = Door(("127.0.0.0/8", "::1"), TOKEN, 4096)
        self.service = HttpService("127.0.0.1:0", Endpoint(registry), self.door, reactor)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def count(self) -> int:
        """How often it ran."""
        self.runs += 1
        return self.runs

    def long(self) -> list[int]:
        """A long answer."""
        return list(range(100_000))

    def ask(self, data: bytes) -> Deferred[bytes]:
        """What the octets bring."""
        done: Deferred[bytes] = Deferred()
        factory = ClientFactory.forProtocol(lambda: _Asker(data, done))
        factory.noisy = False
        reactor.connectTCP("127.0.0.1", self.service.port, factory)
        return done

    async def status(self, method: str = "POST", path: str = "/RPC", token: str = TOKEN, body: bytes = CALL, head: str = "") -> int:
        """The status of one request."""
        head = head or f"Content-Length: {len(body)}\r\n"
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        data = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}{head}\r\n".encode() + body
        return int((await self.ask(data)).split(b" ", 2)[1])

    async def test_call(self) -> None:
        """Who is allowed and has the token gets JSON."""
        head = f"POST /RPC HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(CALL)}\r\n\r\n"
        answer = await self.ask(head.encode() + CALL)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"content-type: application/json", answer.lower())
        self.assertIn(b'"result": 1', answer)
        self.assertEqual(await self.status(body=CALL.replace(b',"id":1', b"")), 204)
        self.assertEqual(await self.status(body=b"{"), 200)

    async def test_long_answer(self) -> None:
        """A long answer comes whole."""
        body = CALL.replace(b"count", b"long")
        head = f"POST /RPC HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await self.ask(head.encode() + body)
        self.assertEqual(len(json.loads(answer.partition(b"\r\n\r\n")[2])["result"]), 100_000)

    async def test_refusals(self) -> None:
        """No token, a wrong one, another path or method, too much or an unknown length: refused, and nothing ran."""
        self.assertEqual(await self.status(token=""), 401)
        self.assertEqual(await self.status(token=TOKEN[:-1]), 401)
        self.assertEqual(await self.status(token=TOKEN + "x"), 401)
        self.assertEqual(await self.status(path="/"), 404)
        self.assertEqual(await self.status(method="GET", body=b"", head="X: y\r\n"), 405)
        self.assertEqual(await self.status(head="Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"), 411)
        self.assertEqual(await self.status(body=CALL + b" " * 4096), 413)
        self.assertEqual(self.runs, 0)
        self.assertEqual(await self.status(), 200)

    async def test_ten_megabytes(self) -> None:
        """A huge body is refused by its header, whatever of it has come."""
        head = f"POST /RPC HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 10485760\r\n\r\n"
        self.assertIn(b" 413 ", (await self.ask(head.encode())).partition(b"\r\n")[0])

    async def test_stranger(self) -> None:
        """An address that isn't listed gets 403 even with the token."""
        self.door._networks = Door(("192.0.2.0/24",), TOKEN, 4096)._networks
        self.assertEqual(await self.status(), 403)
        self.assertEqual(self.runs, 0)


class DoorTests(SynchronousTestCase):
    """Settings of the listener."""

    def test_admits(self) -> None:
        """Networks are judged by address, an IPv4 address in an IPv6 socket too."""
        door = Door(("127.0.0.0/8", "2001:db8::/32"), TOKEN, 1)
        for host in ("127.1.2.3", "::ffff:127.0.0.1", "2001:db8::1"):
            self.assertTrue(door.admits(host), host)
        for host in ("::1", "10.0.0.1", "", "localhost"):
            self.assertFalse(door.admits(host), host)

    def test_no_token_is_nobody(self) -> None:
        """An empty token lets nobody in."""
        self.assertFalse(Door((), "", 1).knows([b"Bearer "]))

    def test_settings(self) -> None:
        """What can't be is named with its setting."""
        endpoint, door = Endpoint(Registry()), Door((), "", 1)
        self.assertEqual(self.assertRaises(ConfigError, HttpService, "8080", endpoint, door, reactor).key, "rpc.listen")
        self.assertEqual(self.assertRaises(ConfigError, Door, ("10.0.0.1/8",), TOKEN, 1).key, "rpc.allow")
