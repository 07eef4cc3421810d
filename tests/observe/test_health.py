"""What probes are told."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.observe.health import alive, readiness
from sipnode.settings import Settings
from sipnode.testing import World


class HealthTests(SynchronousTestCase):
    """Alive, ready, and why not."""

    def setUp(self) -> None:
        self.world = World()
        self.storage: Any = SimpleNamespace(degraded="")
        self.media: Any = None

    def asked(self, db_mode: int = 1) -> tuple[int, dict[str, Any]]:
        """Status and content of /readyz."""
        core = self.world.core
        core.settings = replace(Settings(), location=replace(Settings().location, db_mode=db_mode))
        status, kind, body = readiness(core, self.storage, self.media)
        self.assertEqual(kind, "application/json")
        return status, json.loads(body)

    def test_well(self) -> None:
        """A server that has loaded its table is ready; whoever answers is alive."""
        self.assertEqual(self.asked(), (200, {"status": "ready"}))
        self.assertEqual(alive()[0], 200)

    def test_loading(self) -> None:
        """While the table is read it isn't."""
        self.world.core.registrar.ready = False
        self.assertEqual(self.asked(), (503, {"status": "not ready", "reasons": ["the registrations are being read"]}))

    def test_busy(self) -> None:
        """While it drains, or can't keep up, it isn't, and says which."""
        for reason, words in (("drain", "it is about to stop"), ("overload", "it has too much to do")):
            self.world.core.busy[reason] = lambda: 1
            self.assertEqual(self.asked(), (503, {"status": "not ready", "reasons": [words]}))
            del self.world.core.busy[reason]

    def test_store(self) -> None:
        """A store that is away makes it unready where a REGISTER waits for it: modes 1 and 3. Why isn't told to a probe."""
        self.storage.degraded = "postgres at 192.0.2.3 refuses the password of sip"
        for mode, status in ((0, 200), (1, 503), (2, 200), (3, 503), (4, 200)):
            self.assertEqual(self.asked(mode)[0], status, mode)
        self.assertNotIn("192.0.2.3", str(self.asked(1)))

    def test_media(self) -> None:
        """A media node that is down is told, and calls go elsewhere: the server stays ready."""
        nodes = [SimpleNamespace(host="192.0.2.50", port=port) for port in (1, 2)]
        self.media = SimpleNamespace(nodes=SimpleNamespace(nodes=nodes, is_up=lambda node: node.port == 1))
        self.assertEqual(self.asked(), (200, {"status": "ready", "media_nodes_down": ["192.0.2.50:2"]}))
