"""The samples of the manual run."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from types import ModuleType
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ConfigError
from sipnode.interfaces import (
    ICredentialBackend,
    ICredentialsPlugin,
    IMediaRelay,
    IRelayPlugin,
    IStorage,
    IStorePlugin,
)
from sipnode.settings import MediaSettings
from sipnode.testing import World

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


def loaded(name: str, file: Path) -> ModuleType:
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class SampleTests(SynchronousTestCase):
    """docs/samples"""

    def test_tests_of_a_site(self) -> None:
        """The tests that the manual shows pass, all of them."""
        self.assertEqual(self.passed(SAMPLES / "test_routing.py"), 5)

    def test_tutorial(self) -> None:
        """So do those of the tutorial, beside the script that they test."""
        script = loaded("routing", SAMPLES / "start" / "routing.py")
        with mock.patch.dict(sys.modules, {"routing": script}):
            self.assertEqual(self.passed(SAMPLES / "start" / "test_routing.py"), 2)

    def passed(self, file: Path) -> int:
        """How many tests of a file pass; all have to."""
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(loaded("sample_test_routing", file).SiteTests).run(result)
        self.assertEqual([text for _, text in result.failures + result.errors], [])
        return result.testsRun


class SmallestTests(SynchronousTestCase):
    """docs/samples/plugins: the smallest plugin of each kind that has no sample elsewhere."""

    def sample(self, name: str) -> ModuleType:
        """One of them."""
        return loaded(f"sample_{name}", SAMPLES / "plugins" / f"{name}.py")

    def test_store(self) -> None:
        """The store has its user."""
        stores = self.sample("acme_store").stores
        verifyObject(IStorePlugin, stores)
        store = stores.make("acme:", "", Clock(), 60.0, 0)
        verifyObject(IStorage, store)
        self.assertEqual(self.successResultOf(store.list_users("example.com")), ["alice"])

    def test_credentials(self) -> None:
        """The backend has everybody, with the password of its URL."""
        backends = self.sample("acme_users").backends
        verifyObject(ICredentialsPlugin, backends)
        backend = backends.make("secret", Clock())
        verifyObject(ICredentialBackend, backend)
        found = self.successResultOf(backend.look_up([("alice", "x.test")]))
        self.assertEqual(found["alice", "x.test"].password, "secret")
        self.assertIsNone(self.successResultOf(backend.close()))
        self.assertEqual(self.assertRaises(ConfigError, backends.make, "", Clock()).key, "auth.backend_url")

    def test_relay(self) -> None:
        """The relay's line stands in the SDP that the callee gets, and in that of the caller."""
        relays = self.sample("acme_relay").relays
        verifyObject(IRelayPlugin, relays)
        relay = relays.make(MediaSettings(nodes=("n1",)), Clock())
        verifyObject(IMediaRelay, relay)
        world = World(media=relay)
        alice, bob = world.phone("alice", "WSS"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor, body=b"v=0\r\n")
        invite = bob.got("INVITE")
        bob.reply(invite, 200, b"v=0\r\n")
        self.assertEqual((invite.body, alice.response("INVITE").body), (b"v=0\r\na=x-relay:n1\r\n",) * 2)
        alice.send("INVITE", bob.aor, body=b"not SDP")
        self.assertEqual(alice.statuses()[-1], 488)
