"""Promises of ``sipnode.transport.advertise``, with a STUN server and a cloud of our own on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.settings import CoreSettings
from sipnode.transport import advertise
from sipnode.transport.listen import ListenSpec
from sipnode.transport.stun import binding_response, mapped_address

PUBLIC = "203.0.113.7"
LINE = "udp:0.0.0.0:5060"


class StunServer:
    """Answers each datagram with what ``answers`` makes of it."""

    def __init__(self, *answers: Callable[[bytes], bytes]) -> None:
        self.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wire.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.wire.getsockname()[1]}"
        self._answers = answers
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for answer in self._answers:
            data, source = self.wire.recvfrom(2048)
            if not data:
                break
            self.wire.sendto(answer(data), source)

    def close(self) -> None:
        """Whether it was asked or not."""
        self.wire.sendto(b"", self.wire.getsockname())
        self._thread.join(5)
        self.wire.close()


class Cloud(BaseHTTPRequestHandler):
    """Tells what Amazon's and Google's do; the token is needed."""

    def do_PUT(self) -> None:
        self._say(b"secret" if self.path == "/latest/api/token" else b"")

    def do_GET(self) -> None:
        ec2 = self.path == "/latest/meta-data/public-ipv4" and self.headers["X-aws-ec2-metadata-token"] == "secret"
        gce = self.path.endswith("/access-configs/0/external-ip") and self.headers["Metadata-Flavor"] == "Google"
        self._say(PUBLIC.encode() if ec2 or gce else b"")

    def _say(self, body: bytes) -> None:
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


def mapped(host: str, port: int = 5060) -> Callable[[bytes], bytes]:
    """An answer that names that address."""
    return lambda data: binding_response(data, (host, port))


class AdvertisedTests(SynchronousTestCase):
    """What stands in Via, Record-Route, Path and Contact."""

    def one(self, *lines: str, metadata: str = advertise.METADATA, **settings: str) -> ListenSpec:
        """The first of the listeners."""
        return advertise.advertised(CoreSettings(listen=lines or (LINE,), **{"advertise": "auto", **settings}), metadata)[0]  # type: ignore[arg-type]

    def stun(self, *answers: Callable[[bytes], bytes]) -> str:
        """A STUN server until the end of the test."""
        server = StunServer(*answers)
        self.addCleanup(server.close)
        return server.address

    def refused(self, words: str, *lines: str, **settings: str) -> ConfigError:
        """It doesn't start, and says why."""
        error = self.assertRaises(ConfigError, self.one, *lines, **settings)
        self.assertIn(words, str(error))
        return error

    def test_lines_of_their_own(self) -> None:
        """Only a listener that has no word of its own, and isn't on loopback, takes the setting; a line may ask for itself."""
        server = self.stun(mapped(PUBLIC), mapped(PUBLIC))
        lines = (LINE, "tcp:0.0.0.0:5060 advertise sip.example.com:5070", "ws:127.0.0.1:8080", "tls:0.0.0.0:5061 proxy_protocol")
        core = CoreSettings(listen=lines, advertise="auto", stun_server=server)
        found = [(spec.via_host, spec.via_port, spec.proxy_protocol) for spec in advertise.advertised(core)]
        expected = [(PUBLIC, 0, False), ("sip.example.com", 5070, False), ("127.0.0.1", 0, False), (PUBLIC, 0, True)]
        self.assertEqual(found, expected)
        spec = self.one("udp:0.0.0.0:5060 advertise auto:5090", advertise="", stun_server=server)
        self.assertEqual((spec.via_host, spec.via_port), (PUBLIC, 5090))
        self.refused("there is no address of it to find", "udp:127.0.0.1:5060 advertise auto")

    def test_stun_asked_again(self) -> None:
        """A lost answer is asked for again, and one to something else isn't taken."""
        self.patch(advertise, "_TRIES", (0.05, 5.0))
        foreign = lambda data: binding_response(data[:8] + b"x" * 12, (PUBLIC, 1))  # noqa: E731
        self.assertEqual(self.one(stun_server=self.stun(foreign, mapped("203.0.113.8"))).via_host, "203.0.113.8")

    def test_stun_silent(self) -> None:
        """No answer, no name, no port: no start, and never the private address in its place."""
        self.patch(advertise, "_TRIES", (0.01, 0.01))
        silent = lambda data: b"no"  # noqa: E731
        self.assertEqual(self.refused("doesn't answer", stun_server=self.stun(silent, silent)).key, "core.stun_server")
        self.refused("can't be asked", stun_server="nowhere.invalid")
        self.refused("has no port", stun_server="127.0.0.1:0")

    def test_nobody_there(self) -> None:
        """An address that nobody reaches is no answer."""
        for host in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.1.1"):
            self.refused("where nobody reaches us", stun_server=self.stun(mapped(host)))
        self.refused("other family", stun_server=self.stun(mapped("2001:db8::7")))

    def test_route(self) -> None:
        """Without a server to ask it is the address of the route, or the bound one."""
        self.patch(advertise, "from_route", lambda ipv6: "2001:db8::5" if ipv6 else "10.0.0.5")
        self.assertEqual(self.one().via_host, "10.0.0.5")
        self.assertEqual(self.one("udp:[::]:5060").via_host, "[2001:db8::5]")
        self.assertEqual(self.one("udp:10.0.0.9:5060").via_host, "10.0.0.9")

    def test_cloud(self) -> None:
        """The metadata of either kind tell it, where that is asked for; what they don't know stops the start."""
        server = HTTPServer(("127.0.0.1", 0), Cloud)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.shutdown)
        place = f"127.0.0.1:{server.server_port}"
        for kind in ("ec2", "gce"):
            self.assertEqual(self.one(cloud_metadata=kind, metadata=place).via_host, PUBLIC)
            self.refused("can't be had", "udp:[::]:5060", cloud_metadata=kind, metadata=place)


class MappedAddressTests(SynchronousTestCase):
    """What is read of a STUN answer."""

    def test_broken(self) -> None:
        """Cut and changed octets are no answer, and nothing is raised."""
        transaction = b"0123456789ab"
        request = bytes.fromhex("000100002112a442") + transaction
        for host in (PUBLIC, "2001:db8::7"):
            good = binding_response(request, (host, 5060))
            self.assertEqual(mapped_address(good, transaction), (host, 5060))
            for cut in range(len(good)):
                self.assertIsNone(mapped_address(good[:cut], transaction))
            for at in range(len(good)):
                mapped_address(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :], transaction)
        self.assertIsNone(mapped_address(good, b"x" * 12))
