"""``self.http`` of a script, against a service on loopback that answers well, late, without end, or not at all."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from sipnode.routing.http import MOST_OCTETS, MOST_WAITING, HttpClient, HttpError


class Service(Resource):
    """What is asked stands in ``asked``."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes, bytes]] = []

    def render(self, request: Any) -> Any:
        """Answer by the path."""
        self.asked.append((request.method, request.uri, request.content.read()))
        path = request.path
        if path == b"/late":
            return NOT_DONE_YET
        if path == b"/long":
            return b"x" * (MOST_OCTETS + 1)
        if path == b"/moved":
            request.redirect(b"/")
            return b""
        if path == b"/cut":
            request.write(b"half of it")
            request.transport.abortConnection()
            return NOT_DONE_YET
        if path == b"/traced":
            request.setHeader(b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01" + b"x" * 1000)
        request.setResponseCode(203)
        return b'{"wanted": false}' if path == b"/" else b"<html>"


class HttpTests(TestCase):
    """A real server."""

    def setUp(self) -> None:
        self.service = Service()
        self.site = Site(self.service)
        self.port: Any = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.base = f"http://127.0.0.1:{self.port.getHost().port}"
        self.http = HttpClient(reactor)  # type: ignore[arg-type]

    async def tearDown(self) -> None:
        await self.http.close()
        await defer.maybeDeferred(self.port.stopListening)

    async def test_traced(self) -> None:
        """A service that names its trace is heard, so far as a trace is long; one that doesn't has none."""
        self.assertEqual((await self.http.get(f"{self.base}/traced")).traceparent[:55], f"00-{'1' * 32}-{'2' * 16}-01")
        self.assertLessEqual(len((await self.http.get(f"{self.base}/traced")).traceparent), 128)
        self.assertEqual((await self.http.get(f"{self.base}/")).traceparent, "")

    async def refused(self, path: str, http: HttpClient | None = None) -> str:
        """Why there is no answer."""
        try:
            await (http or self.http).get(self.base + path)
        except HttpError as error:
            return str(error)
        raise AssertionError("answered")

    async def test_get(self) -> None:
        """The status and the JSON of an answer; parameters are quoted."""
        answer = await self.http.get(self.base + "/", {"from": "a&b=c\r\n"})
        self.assertEqual((answer.status, answer.json()), (203, {"wanted": False}))
        self.assertEqual(self.service.asked, [(b"GET", b"/?from=a%26b%3Dc%0D%0A", b"")])

    async def test_post(self) -> None:
        """JSON is sent."""
        await self.http.post(self.base + "/", json={"call": 1})
        self.assertEqual(json.loads(self.service.asked[0][2]), {"call": 1})
        self.assertEqual(self.http.waiting, 0)

    async def test_no_json(self) -> None:
        """What isn't JSON can't be read as such."""
        answer = await self.http.get(self.base + "/page")
        self.assertRaises(HttpError, answer.json)

    async def test_redirect(self) -> None:
        """A redirect is an answer like any other; nobody follows it."""
        self.assertEqual((await self.http.get(self.base + "/moved")).status, 302)
        self.assertEqual(len(self.service.asked), 1)

    async def test_bounds(self) -> None:
        """Too long, broken off, nobody there: an HttpError that says so, and nothing waits any more."""
        self.assertIn("more than", await self.refused("/long"))
        self.assertNotEqual(await self.refused("/cut"), "")
        await defer.maybeDeferred(self.port.stopListening)
        self.assertIn("127.0.0.1", await self.refused("/", HttpClient(reactor)))  # type: ignore[arg-type]
        self.assertEqual(self.http.waiting, 0)

    async def test_late(self) -> None:
        """An answer that doesn't come in time."""
        http = HttpClient(reactor, 0.05)  # type: ignore[arg-type]
        self.assertIn("no answer within 0.05 s", await self.refused("/late", http))


class RefusedTests(SynchronousTestCase):
    """What isn't even asked."""

    def test_addresses(self) -> None:
        """Only http and https, and nothing that breaks a line."""
        http = HttpClient(Clock())
        for url in ("file:///etc/passwd", "ftp://x/", "x", "http://", "http://[::1/", "//x/"):
            self.assertIn(url, str(self.failureResultOf(http.get(url), HttpError).value))
        self.failureResultOf(http.get("http://192.0.2.1/\r\nX: y"), HttpError)
        self.assertEqual(http.waiting, 0)

    def test_waiting(self) -> None:
        """No more than so many wait."""
        http = HttpClient(Clock())
        http.waiting = MOST_WAITING
        self.failureResultOf(http.get("http://192.0.2.1/"), HttpError)
