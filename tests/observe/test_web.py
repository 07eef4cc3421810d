"""Who may look, and what a stranger sees."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from sipnode.errors import ConfigError
from sipnode.observe.health import bare
from sipnode.observe.listener import MOST_CONNECTIONS, MetricsService
from sipnode.observe.web import Door, ObservedPage, as_json
from sipnode.settings import MetricsSettings

LOCAL = "127.0.0.1:8080"


class DoorTests(SynchronousTestCase):
    """Addresses, tokens, proxies."""

    def test_default(self) -> None:
        """As it comes, only this machine, by a name of this machine; an empty token opens nothing."""
        door = Door(MetricsSettings())
        for asked_for in ("127.0.0.1:8080", "localhost", "[::1]:8080", "LOCALHOST:1"):
            self.assertTrue(door.admits("127.0.0.1", asked_for=asked_for), asked_for)
        self.assertTrue(door.admits("::1", asked_for=LOCAL) and door.admits("::ffff:127.0.0.1", asked_for=LOCAL))
        for host in ("192.0.2.1", "2001:db8::1", "", "unknown"):
            self.assertFalse(door.admits(host, asked_for=LOCAL), host)
        self.assertFalse(door.admits("192.0.2.1", b"Bearer ", asked_for=LOCAL))
        self.assertEqual(door.refused, 5)

    def test_proxy(self) -> None:
        """A reverse proxy on this machine vouches for nobody: neither one that says so nor one that keeps the Host."""
        door = Door(MetricsSettings())
        self.assertFalse(door.admits("127.0.0.1", passed_on=True, asked_for=LOCAL))
        for asked_for in ("sip.example.com", "192.0.2.1:8080", "", "127.0.0.1.example.com", "[2001:db8::1]"):
            self.assertFalse(door.admits("127.0.0.1", asked_for=asked_for), asked_for)

    def test_network(self) -> None:
        """An address of a network that is allowed may ask for any name."""
        door = Door(MetricsSettings(allow=("10.0.0.0/8",)))
        self.assertTrue(door.admits("10.1.2.3", asked_for="sip.example.com"))
        self.assertFalse(door.admits("10.1.2.3", passed_on=True, asked_for="sip.example.com"))
        self.assertFalse(door.admits("127.0.0.1", asked_for=LOCAL))

    def test_token(self) -> None:
        """Who shows the token may look from anywhere, through a proxy too."""
        door = Door(MetricsSettings(token="s3cret-s3cret-s3cret"))
        for shown in (b"Bearer s3cret-s3cret-s3cret", b"bearer  s3cret-s3cret-s3cret "):
            self.assertTrue(door.admits("192.0.2.1", shown, True, "sip.example.com"), shown)
        for shown in (b"Bearer s3cre", b"Basic s3cret-s3cret-s3cret", b"s3cret-s3cret-s3cret", b"Bearer \xff"):
            self.assertFalse(door.admits("192.0.2.1", shown, True, "sip.example.com"), shown)

    def test_wrong_network(self) -> None:
        """A network that can't be read stops the start, with its setting."""
        for wrong in ("here", "10.0.0.1/8"):
            self.assertEqual(self.assertRaises(ConfigError, Door, MetricsSettings(allow=(wrong,))).key, "metrics.allow")


class PageTests(SynchronousTestCase):
    """Octets in, octets out."""

    def setUp(self) -> None:
        page = Resource()
        page.putChild(b"", Data(b"<p>page", "text/html"))
        self.looked = 0
        self.root = ObservedPage(Door(MetricsSettings()), {b"readyz": self.answer}, page)

    def answer(self) -> tuple[int, str, bytes]:
        """Counts, so that a refusal can be seen to have asked nothing."""
        self.looked += 1
        return as_json(503, {"status": "not ready"})

    def ask(self, start: str, *lines: str, peer: str = "127.0.0.1", root: Any = None, version: str = "1.1") -> bytes:
        """The answer to one request."""
        site = Site(root or self.root, reactor=Clock())
        channel = site.buildProtocol(IPv4Address("TCP", peer, 4000))
        wire = StringTransport(peerAddress=IPv4Address("TCP", peer, 4000))
        channel.makeConnection(wire)
        head = [f"{start} HTTP/{version}", "Connection: close", *(lines or (f"Host: {LOCAL}",)), "", ""]
        channel.dataReceived("\r\n".join(head).encode())
        return wire.value()

    def test_answered(self) -> None:
        """The status and words of the answer, which nobody may keep; HEAD alike without the words."""
        answer = self.ask("GET /readyz")
        self.assertIn(b" 503 ", answer.splitlines()[0])
        self.assertIn(b"Cache-Control: no-store\r\n", answer)
        self.assertTrue(answer.endswith(b'{"status": "not ready"}\n'))
        self.assertTrue(self.ask("HEAD /readyz").endswith(b"\r\n\r\n"))

    def test_stranger(self) -> None:
        """403, and nothing was even asked; whatever the address looks like behind the slash."""
        for path in ("/readyz", "/readyz?x=1"):
            self.assertIn(b" 403 ", self.ask(f"GET {path}", peer="192.0.2.1").splitlines()[0])
        for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 proxy"):
            self.assertIn(b" 403 ", self.ask("GET /readyz", f"Host: {LOCAL}", header).splitlines()[0], header)
        self.assertIn(b" 403 ", self.ask("GET /readyz", "Host: sip.example.com").splitlines()[0])
        self.assertIn(b" 403 ", self.ask("GET /readyz", f"Host: {LOCAL}", "Connection: upgrade").splitlines()[0])
        self.assertIn(b" 403 ", self.ask("GET /readyz", f"Host: {LOCAL}", version="1.0").splitlines()[0])
        self.assertEqual(self.looked, 0)

    def test_health(self) -> None:
        """What is for whom ever is answered to whom ever, in its own words."""
        root = ObservedPage(Door(MetricsSettings()), {b"readyz": self.answer}, None, {b"readyz": lambda: bare(self.told())})
        for lines in ((), ("Host: sip.example.com", "X-Forwarded-For: 203.0.113.9")):
            answer = self.ask("GET /readyz", *lines, peer="192.0.2.1", root=root)
            self.assertIn(b" 503 ", answer.splitlines()[0])
            self.assertTrue(answer.endswith(b'\r\n{"status": "not ready"}\n'), answer)
        self.assertEqual(self.looked, 0)

    def told(self) -> tuple[int, str, bytes]:
        """An answer with a detail."""
        return as_json(503, {"status": "not ready", "reasons": ["the store takes no writes"]})

    def test_page_behind(self) -> None:
        """Everything else is the page's, for whom ever; without a page there is nothing."""
        self.assertTrue(self.ask("GET /", peer="192.0.2.1").endswith(b"<p>page"))
        self.assertIn(b" 404 ", self.ask("GET /readyz/more").splitlines()[0])
        self.assertIn(b" 404 ", self.ask("GET /", root=ObservedPage(Door(MetricsSettings()), {})).splitlines()[0])
        self.assertIn(b" 405 ", self.ask("POST /readyz").splitlines()[0])

    def test_own_listener(self) -> None:
        """The listener has a bound, gives places back, and its address is read when it is made."""
        service = MetricsService("127.0.0.1:9000", self.root, Clock())
        site = service._factory
        channels = [site.buildProtocol(None) for _ in range(MOST_CONNECTIONS)]
        self.assertIsNone(site.buildProtocol(None))
        channels[0].makeConnection(StringTransport())
        channels[0].connectionLost(None)
        self.assertIsNotNone(site.buildProtocol(None))
        self.assertEqual(self.assertRaises(ConfigError, MetricsService, "here:9000", self.root, Clock()).key, "metrics.listen")
