"""docs/examples/http-users, installed, against a web service on loopback."""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from sipnode.errors import ConfigError, StorageError
from sipnode.records import Credential
from sipnode.settings import AuthSettings
from sipnode.storage.factory import use_backend
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.users import make_credential

from .examples import installed

reactor: Any = _reactor
HOST = "127.0.0.1"
ALICE = make_credential("alice", "example.test", "secret")


class Service(Resource):
    """The web service: what it answers, by path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.silent: list[Any] = []
        self.most = 0

    def know(self, credential: Credential) -> None:
        """A user, as the README has it."""
        hashes = {"ha1": credential.ha1, "ha1_sha256": credential.ha1_sha256}
        self.answers[f"{credential.username}@{credential.domain}"] = (200, json.dumps(hashes).encode())

    def render_GET(self, request: Any) -> Any:
        """An answer, or nothing at all where the status is 0."""
        path = request.uri.decode()
        self.asked.append((path, request.getHeader("authorization") or ""))
        status, body = self.answers.get(path.rpartition("/")[2], (404, b"nobody"))
        if not status:
            self.silent.append(request)
            self.most = max(self.most, len(self.silent))
            return NOT_DONE_YET
        request.setResponseCode(status)
        if status == 302:
            request.setHeader("location", "/sip/users/alice@example.test")
        return body


class ServiceCase(TestCase):
    """A test with the service, and the backend as a server has it."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(installed()), *sys.path])
        self.service = Service()
        self.site = Site(self.service)
        self.port = reactor.listenTCP(0, self.site, interface=HOST)
        self.number = self.port.getHost().port
        self.addCleanup(self.end)
        self.url = f"http://sipnode:p%40ss@{HOST}:{self.number}/sip/"

    def end(self) -> Any:
        """Let go of the port, where it is still there."""
        for request in self.service.silent:
            request.transport.abortConnection()
        return self.port.stopListening()

    def site_channels(self) -> list[Any]:
        """Connections that the service holds."""
        return [each for each in reactor.getReaders() if type(each).__name__ == "Server" and each.getHost().port == self.number]

    def use(self) -> Any:
        """The server's cache over the backend."""
        storage = MemoryStorage(reactor)
        (service,) = use_backend(storage, AuthSettings(backend="http", backend_url=self.url), reactor)
        service.startService()
        self.addCleanup(service.stopService)
        return storage.credentials


class HttpUsersTests(ServiceCase):
    """``[auth] backend = "http"``"""

    async def test_known(self) -> None:
        """A user is asked for once, with the account of the URL, and answered from memory then."""
        self.service.know(ALICE)
        users = self.use()
        found = await users.fetch("alice", "example.test")
        self.assertEqual((found.ha1, found.ha1_sha256, found.ha1b), (ALICE.ha1, ALICE.ha1_sha256, ""))
        self.assertEqual(users.cached("alice", "example.test"), found)
        self.assertEqual(self.service.asked, [("/sip/users/alice@example.test", "Basic c2lwbm9kZTpwQHNz")])

    async def test_unknown(self) -> None:
        """404 is no such user, which is remembered; odd names are encoded and are nobody else's."""
        self.service.know(ALICE)
        users = self.use()
        for name in ("bob", "alice@example.test/../alice", "../users/alice", "é ?#%"):
            self.assertIsNone(await users.fetch(name, "example.test"))
            self.assertIsNone(users.cached(name, "example.test"))
        self.assertEqual([path for path, _ in self.service.asked], [
            "/sip/users/bob@example.test", "/sip/users/alice%40example.test%2F..%2Falice@example.test",
            "/sip/users/..%2Fusers%2Falice@example.test", "/sip/users/%C3%A9%20%3F%23%25@example.test",
        ])  # fmt: skip

    async def test_wrong_answers(self) -> None:
        """What isn't one of the three answers is a StorageError in words, without the account; it isn't remembered."""
        users = self.use()
        for status, body, said in (
            (500, b"", "500"), (302, b"", "302"), (403, b"x" * 20000, "403"), (200, b"{", "isn't JSON"), (200, b"[]", "has none of"),
            (200, b"{}", "has none of"), (200, b'{"ha1": "short"}', "isn't 32 hex digits"), (200, b'{"ha1_sha256": 5}', "isn't 64"),
            (200, b" " * 20000, "more than 16384 octets"), (200, b"[" * 16000, "RecursionError"), (200, b"\xff", "isn't JSON"),
        ):  # fmt: skip
            self.service.answers["alice@example.test"] = (status, body)
            fault = await self.assertFailure(users.fetch("alice", "example.test"), StorageError)
            self.assertIn(said, str(fault))
            self.assertNotIn("p@ss", str(fault))
        self.assertEqual(len(self.service.asked), 11)
        self.service.answers["alice@example.test"] = (404, b"x" * 20000)
        self.assertIsNone(await users.fetch("alice", "example.test"))

    async def test_one_fails_alone(self) -> None:
        """Users that are asked for together: one whose answer is wrong fails, the others are known."""
        self.service.know(ALICE)
        self.service.answers["bob@example.test"] = (500, b"")
        users = self.use()
        first = users.fetch("carol", "example.test")
        bob, alice = users.fetch("bob", "example.test"), users.fetch("alice", "example.test")
        self.assertIsNone(await first)
        self.assertEqual((await alice).ha1, ALICE.ha1)
        await self.assertFailure(bob, StorageError)

    async def test_silence(self) -> None:
        """A service that says nothing is given up after its time, waiting for a turn included, and asked for sixteen at most at once."""
        import sipnode_http_users as module  # type: ignore[import-not-found]  # installed by this test

        self.patch(module, "SECONDS", 0.3)
        names = [f"u{number}" for number in range(40)]
        self.service.answers = {f"{name}@example.test": (0, b"") for name in names}
        users = self.use()
        waiting = [users.fetch(name, "example.test") for name in names]
        for each in waiting:
            await self.assertFailure(each, StorageError)
        self.assertLessEqual(self.service.most, 32)
        self.service.know(ALICE)
        self.assertEqual((await users.fetch("alice", "example.test")).ha1, ALICE.ha1)

    async def test_away(self) -> None:
        """Nobody at the port: who was known stays so for the time of an outage, anybody else is a StorageError; then it is back."""
        self.service.know(ALICE)
        users = self.use()
        users.outage_seconds = 600.0
        await users.fetch("alice", "example.test")
        await self.port.stopListening()
        for channel in self.site_channels():
            channel.abortConnection()
        users.forget_all()
        self.assertEqual((await users.fetch("alice", "example.test")).ha1, ALICE.ha1)
        await self.assertFailure(users.fetch("bob", "example.test"), StorageError)
        self.assertEqual(users.outdated, 1)
        self.port = reactor.listenTCP(self.number, self.site, interface=HOST)
        self.assertIsNone(await users.fetch("bob", "example.test"))

    async def test_together(self) -> None:
        """Users that come while one is looked up are asked for side by side, by connections that stay."""
        users = self.use()
        waiting: list[Deferred[Any]] = [users.fetch(f"u{number}", "example.test") for number in range(60)]
        self.assertEqual(await gatherResults(waiting), [None] * 60)
        self.assertEqual(len(self.service.asked), 60)
        self.assertLessEqual(len(self.site_channels()), 16)

    def test_settings(self) -> None:
        """A URL that can't be is told by its key, and without what may be a secret in it."""
        for url in ("", "users.test", "ftp://users.test", "https://", "https://users.test/?token=p%40ss", "http://users.test", "https://a:b@c:x",
                    "https://é.test", "https://[::1"):  # fmt: skip
            self.url = url
            error = self.assertRaises(ConfigError, self.use)
            self.assertEqual(error.key, "auth.backend_url")
            self.assertNotIn("p%40ss", str(error))
        for url in ("http://[::1]:8000", "http://localhost/x", "https://users.test"):
            self.url = url
            self.use()
