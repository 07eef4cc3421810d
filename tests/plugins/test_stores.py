"""Stores, credential backends and media relays of plugins: chosen by a setting, put in the place of ours, refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from sipnode.app import build
from sipnode.cli import user
from sipnode.errors import ConfigError, StorageError
from sipnode.lifecycle.greeting import greeting
from sipnode.media.service import MediaService
from sipnode.records import Credential
from sipnode.settings import AuthSettings, CoreSettings, MediaSettings, Settings, StorageSettings
from sipnode.storage.factory import LONGEST_SECONDS, open_storage, use_backend, user_table
from sipnode.storage.initialize import init_database
from sipnode.storage.look import look, user_domains
from sipnode.storage.memory import MemoryStorage
from sipnode.wiring.destinations import own_services

from .kit import ADDS, InstalledCase

STORE = f"""{ADDS}
from sipnode.errors import ConfigError
from sipnode.storage.memory import MemoryStorage

@implementer(IStorePlugin)
class Stores:
    name = "acme"
    def make(self, url, state_dir, reactor, cache_seconds, node_id):
        if "bad" in url:
            raise ConfigError("has no such table")
        store = MemoryStorage(reactor, cache_seconds)
        store.asked = (url, state_dir, cache_seconds, node_id)
        return store

stores = Stores()
"""
BACKEND = f"""{ADDS}
from twisted.internet.defer import succeed
from sipnode.errors import ConfigError

@implementer(ICredentialBackend)
class Backend:
    def __init__(self, url):
        self.url, self.asked, self.answer, self.closed = url, [], succeed({{}}), 0
        last.append(self)
    def look_up(self, users):
        self.asked.append(users)
        return self.answer
    def close(self):
        self.closed += 1
        return succeed(None)

last = []

@implementer(ICredentialsPlugin)
class Backends:
    name = "acme"
    def make(self, url, reactor):
        if not url.startswith("https:"):
            raise ConfigError("has to be https", key="auth.backend_url")
        return Backend(url)

backends = Backends()
"""
RELAY = f"""{ADDS}
from twisted.application.service import Service
from twisted.internet.defer import succeed

@implementer(IMediaRelay)
class Relay(Service):
    enabled = True
    def __init__(self, settings):
        self.nodes = settings.nodes
    def choose(self, call_id): return self.nodes[0]
    def place(self, name): return name
    def offer(self, key, sdp, profile): return succeed(sdp)
    def answer(self, key, sdp, profile): return succeed(sdp)
    def delete(self, key): return succeed(None)

@implementer(IRelayPlugin)
class Relays:
    name = "acme"
    def make(self, settings, reactor):
        return Relay(settings)

relays = Relays()
"""
ALICE, BOB = ("alice", "x.test"), ("bob", "x.test")


class StoreTests(InstalledCase):
    """``[storage] url = "acme:…"``"""

    def setUp(self) -> None:
        super().setUp()
        self.install(STORE, "acme_store", "stores acme stores")

    def test_opened(self) -> None:
        """The scheme's plugin gets the whole URL and what a store of ours gets."""
        store: Any = open_storage("ACME://host/x", "/s", Clock(), 7.0, node_id=3)
        self.assertEqual(store.asked, ("ACME://host/x", "/s", 7.0, 3))

    def test_refused(self) -> None:
        """What it doesn't take is told with the plugin's name."""
        error = self.assertRaises(ConfigError, open_storage, "acme:bad", "", Clock())
        self.assertEqual(error.key, "storage.url")
        self.assertIn("store 'acme' (sipnode.stores acme_store:stores of acme-sip 1.2): has no such table", error.reason)
        error = self.assertRaises(ConfigError, open_storage, "acne:x", "", Clock())
        self.assertIn("did you mean acme:?", error.reason)

    def test_commands(self) -> None:
        """Commands for our own tables say that it isn't theirs; a check has nothing to add."""
        for command in (user_table, init_database):
            self.assertIn("is a plugin's", self.assertRaises(ConfigError, command, "acme:x", "").reason)
        self.assertEqual((look("acme:x", ""), user_domains("acme:x", "")), ([], []))

    def test_shown(self) -> None:
        """The line of a start tells scheme, host and path of its URL and nothing else, and no message makes the server send there."""
        settings = replace(Settings(), storage=StorageSettings(url="acme://u:secret@db.test:7000/x?token=secret"))
        self.assertIn("store acme://db.test/x", greeting("1", settings, (), ""))
        self.assertEqual(own_services(settings), [("db.test", 7000)])
        self.assertIn("store acme:…", greeting("1", replace(Settings(), storage=StorageSettings(url="acme:secret")), (), ""))

    def test_server(self) -> None:
        """A server is built with it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        settings = replace(Settings(), storage=StorageSettings(url="acme:x"), core=CoreSettings(listen=("udp:127.0.0.1:5060",)))
        server: Any = build(settings, folder, MemoryReactorClock())
        self.assertEqual(server.getServiceNamed("storage").storage.asked[0], "acme:x")


class CredentialTests(InstalledCase):
    """``[auth] backend = "acme"``"""

    def setUp(self) -> None:
        super().setUp()
        self.install(BACKEND, "acme_users", "credentials acme backends")
        self.clock = Clock()
        self.storage = MemoryStorage(self.clock)
        self.settings = AuthSettings(backend="acme", backend_url="https://users.test")

    def use(self) -> Any:
        """The backend, in the store's place."""
        (self.service,) = use_backend(self.storage, self.settings, self.clock)
        import acme_users  # type: ignore[import-not-found]  # made by this test

        return acme_users.last[-1]

    def test_looked_up(self) -> None:
        """Users are looked up there, and answered from the server's cache then, whoever is unknown too."""
        backend = self.use()
        backend.answer = succeed({ALICE: Credential(*ALICE, ha1="0" * 32)})
        self.assertEqual(self.successResultOf(self.storage.credentials.fetch(*ALICE)).ha1, "0" * 32)
        backend.answer = succeed({})
        self.assertIsNone(self.successResultOf(self.storage.credentials.fetch(*BOB)))
        self.assertEqual((backend.url, backend.asked), ("https://users.test", [[ALICE], [BOB]]))
        self.storage.credentials.cached(*ALICE)
        self.assertIsNone(self.storage.credentials.cached(*BOB))

    def test_one_fault(self) -> None:
        """A user that couldn't be looked up fails alone; those beside it are known, and when all failed the backend is away."""
        backend = self.use()
        self.storage.credentials.outage_seconds = 600.0
        backend.answer = Deferred()
        waiting = [self.storage.credentials.fetch(name, "x.test") for name in ("alice", "bob", "carol")]
        first, backend.answer = backend.answer, succeed({BOB: StorageError("500"), ("carol", "x.test"): Credential("carol", "x.test")})
        first.callback({ALICE: Credential(*ALICE)})
        self.assertEqual(self.successResultOf(waiting[0]), Credential(*ALICE))
        self.failureResultOf(waiting[1], StorageError)
        self.assertEqual(self.successResultOf(waiting[2]).username, "carol")
        self.assertRaises(KeyError, self.storage.credentials.cached, *BOB)
        self.clock.advance(60)
        backend.answer = succeed({ALICE: StorageError("away")})
        self.assertEqual(self.successResultOf(self.storage.credentials.fetch(*ALICE)), Credential(*ALICE))
        self.assertEqual(self.storage.credentials.cached(*ALICE), Credential(*ALICE))

    def test_nonsense(self) -> None:
        """A look-up that gives something else, raises, or never ends is a StorageError, and the next one is asked for."""
        backend = self.use()
        for answer in (succeed(None), succeed([1]), succeed({ALICE: "secret"}), 5):
            backend.answer = answer
            self.failureResultOf(self.storage.credentials.fetch(*ALICE), StorageError)
        del backend.answer
        self.failureResultOf(self.storage.credentials.fetch(*ALICE), StorageError)
        backend.answer = Deferred()
        waiting = self.storage.credentials.fetch(*ALICE)
        self.clock.advance(LONGEST_SECONDS)
        self.failureResultOf(waiting, StorageError)
        backend.answer = succeed({})
        self.assertIsNone(self.successResultOf(self.storage.credentials.fetch(*ALICE)))

    def test_closed(self) -> None:
        """It is closed with the server."""
        backend = self.use()
        self.service.startService()
        self.service.stopService()
        self.assertEqual(backend.closed, 1)

    def test_settings(self) -> None:
        """The store's own users are the default; a URL that it doesn't take, or that is for nobody, is told by its key."""
        before = self.storage.credentials
        self.assertEqual(use_backend(self.storage, AuthSettings(), self.clock), [])
        self.assertIs(self.storage.credentials, before)
        for settings in (replace(self.settings, backend_url="ftp:"), AuthSettings(backend_url="https://users.test")):
            self.assertEqual(self.assertRaises(ConfigError, use_backend, self.storage, settings, self.clock).key, "auth.backend_url")
        settings = replace(Settings(), auth=replace(self.settings, backend_url="https://users.test/{user}"))
        self.assertIn("users by 'acme'", greeting("1", settings, (), ""))
        self.assertEqual(own_services(settings), [("users.test", 443)])

    def test_no_place(self) -> None:
        """A store whose users can't be replaced is told, not tried."""

        class Own:
            credentials = property()

        error: ConfigError = self.assertRaises(ConfigError, use_backend, Own(), self.settings, self.clock)
        self.assertEqual(error.key, "auth.backend")

    def test_command(self) -> None:
        """``sipnode user`` says that its users aren't here."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "sipnode.toml").write_text('[auth]\nbackend = "acme"\nbackend_url = "https://users.test"\n')

        class Options:
            conf = str(folder)

        error: ConfigError = self.assertRaises(ConfigError, user._table, Options())
        self.assertEqual((error.key, error.line), ("auth.backend", 2))


class RelayTests(InstalledCase):
    """``[media] relay = "acme"``"""

    def setUp(self) -> None:
        super().setUp()
        self.install(RELAY, "acme_relay", "relays acme relays")

    def test_chosen(self) -> None:
        """It relays in rtpengine's place, with addresses of its own form, and is started and stopped with the server."""
        media = MediaService(MediaSettings(relay="acme", nodes=("http://relay.test/1",)), MemoryReactorClock())
        relay: Any = media.relay
        self.assertEqual((relay.choose("x"), media.nodes.nodes), ("http://relay.test/1", []))
        media.startService()
        self.assertTrue(relay.running)
        self.successResultOf(media.stopService())
        self.assertFalse(relay.running)
        self.assertEqual(self.assertRaises(ConfigError, media.reload, ("x",)).key, "media.nodes")

    def test_shown(self) -> None:
        """The line of a start tells of it."""
        settings = replace(Settings(), media=MediaSettings(relay="acme", nodes=("a", "b")))
        self.assertIn("media by the relay 'acme' at a, b", greeting("1", settings, (), ""))
