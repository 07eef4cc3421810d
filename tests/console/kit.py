"""A console in memory, over a world whose calls are recorded, and a browser that speaks HTTP with it."""

from __future__ import annotations

import json
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import ISSLTransport
from twisted.web.server import Site
from zope.interface import directlyProvides

from sipnode.console.members import hashed
from sipnode.console.signin import PROOF
from sipnode.lifecycle.reload import Reloader
from sipnode.rpc.endpoint import Endpoint
from sipnode.settings import ConsoleSettings, RecorderSettings, Settings
from sipnode.testing import RecordingMediaRelay, World
from sipnode.web.signedin import ANSWER_SECONDS
from sipnode.wiring.console import Console
from sipnode.wiring.rpc import parts_of, registry_of
from tests.insight.kit import RecordedCase
from tests.web.kit import Answer, Wire

PASSWORD = "north of the river"
HASH = hashed(PASSWORD)
HOST = "localhost:8080"
USERS = (f"root admin {HASH}", f"watcher viewer {HASH}", "alice@example.test admin", "bob@example.test viewer")


class Exchange:
    """A request on a connection of its own."""

    def __init__(self, case: ConsoleCase, method: str, path: str, headers: dict[str, str], body: bytes, peer: str, tls: bool) -> None:
        address = IPv4Address("TCP", peer, 40000)
        self.wire = Wire(peerAddress=address)
        if tls:
            directlyProvides(self.wire, ISSLTransport)
        site = Site(case.root, reactor=case.world.clock)
        site.displayTracebacks = False
        self.channel = site.buildProtocol(address)
        self.channel.makeConnection(self.wire)
        lines = {"host": HOST, **headers}
        if body or method == "POST":
            lines["content-length"] = str(len(body))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.channel.dataReceived(head.encode("latin-1") + b"\r\n" + body)

    def answer(self) -> Answer | None:
        """What has come, whole or not; None for nothing yet."""
        head, found, body = self.wire.value().partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if fields.get("transfer-encoding") == "chunked":
            body = _unchunked(body)
        return Answer(int(first.split()[1]), fields, body)

    def events(self) -> list[tuple[str, Any]]:
        """Of a live feed, what has come."""
        answer = self.answer()
        assert answer is not None
        found = []
        for part in answer.body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in part.split("\n") if ": " in line and not line.startswith(":"))
            if lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found


def _unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        whole += data[:length]
        data = data[length + 2 :]
        if not length:
            break
    return whole


class ConsoleCase(RecordedCase):
    """A world with alice and bob, and the console of its server.

    Attributes:
        console_settings: ``[console]``.
        cookie, proof: Of the browser, once it has signed in.
    """

    console_settings = ConsoleSettings(enabled=True, users=USERS)
    recorder_settings = RecorderSettings(enabled=True, megabytes=1, calls=1000, seconds=600, failed_seconds=3600)
    defended = False

    def setUp(self) -> None:
        super().setUp()
        self.console = Console(self.world.core, self.insight, self.reactor(), self.aside)
        self.root: Any = self.console.page(None)
        self.parts = parts_of(self.world.core, self.world.settings, insight=self.insight)
        self.reloader = Reloader(self.world.settings, "")
        self.console.connect(Endpoint(registry_of(self.parts)), self.parts, self.reloader, self.conf_path())
        self.console.service.startService()
        self.addCleanup(self.console.service.stopService)
        self.cookie = self.proof = ""
        self.aside_count = 0

    def reactor(self) -> Any:
        """What the console runs on."""
        return self.world.clock

    def recorded(self, settings: Settings | None = None, **options: Any) -> World:
        given = replace(settings or Settings(), console=self.console_settings, recorder=self.recorder_settings)
        options.setdefault("users", {"alice": "secret of alice", "bob": "secret of bob", "carol": "secret of carol"})
        options.setdefault("defence", self.defended)
        return World(given, media=RecordingMediaRelay(), **options)

    def conf_path(self) -> str:
        """A file with some settings."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "sipnode.toml").write_text('[core]\ndomains = ["example.test"]\n\n[defence]\nban_seconds = 300.0\n', "utf-8")
        return str(folder)

    def aside(self, work: Any) -> Deferred[bool]:
        self.aside_count += 1
        return maybeDeferred(work)

    # -- a browser

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        peer: str = "127.0.0.1",
        tls: bool = False,
    ) -> Exchange:
        """Send a request below ``/console``, with the cookie that there is."""
        given = {"cookie": self.cookie, **(headers or {})}
        return Exchange(self, method, f"/console{path}", given, body, peer, tls)

    def get(self, path: str, **more: Any) -> Answer:
        """The answer to a GET."""
        exchange = self.ask(path, **more)
        for _ in range(200):
            answer, whole = exchange.answer(), exchange.wire.value().endswith(b"0\r\n\r\n")
            if answer is not None and (whole or answer.headers.get("transfer-encoding") != "chunked"):
                return answer
            self.world.clock.advance(0)
        raise AssertionError("no whole answer")

    def told(self, path: str) -> Any:
        """The JSON of a good answer."""
        answer = self.get(path)
        self.assertEqual(answer.status, 200, answer.body)
        return json.loads(answer.body)

    def post(self, path: str, value: Any, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        """The answer to a POST as the page sends it; ``headers`` overrules."""
        given = {"content-type": "application/json", "origin": f"http://{HOST}", PROOF: self.proof, **(headers or {})}
        exchange = self.ask(path, "POST", given, value if isinstance(value, bytes) else json.dumps(value).encode(), **more)
        if exchange.answer() is None:
            self.world.clock.advance(ANSWER_SECONDS)
        answer = exchange.answer()
        assert answer is not None, "no answer yet"
        return answer

    def sign_in(self, user: str = "root", password: str = PASSWORD) -> Answer:
        """Sign in and keep what a browser keeps."""
        answer = self.post("/api/signin", {"user": user, "password": password})
        if answer.status == 200:
            morsel = SimpleCookie(answer.headers["set-cookie"])["sipnode-console"]
            self.cookie = f"sipnode-console={morsel.value}"
            self.proof = json.loads(answer.body)["proof"]
        return answer
