"""Plugins that add methods to the RPC: the sample of the manual, found, named and called."""

from __future__ import annotations

import shutil
from pathlib import Path

from zope.interface.verify import verifyObject

import sipnode.plugins
from sipnode import extensions
from sipnode.errors import ConfigError
from sipnode.interfaces import IRpcCommands
from sipnode.wiring.rpc import add_plugins
from tests.rpc.support import RpcCase

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "ringing.py"


class SampleTests(RpcCase):
    """docs/samples/ringing.py"""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        shutil.copy(SAMPLE, folder / "sample_ringing.py")
        self.patch(sipnode.plugins, "__path__", [*sipnode.plugins.__path__, str(folder)])

    def test_called(self) -> None:
        """Its method is there when it is named, with help and types, and is refused as any other."""
        add_plugins(self.registry, self.core, ())
        self.assertNotIn("ringing.list", self.registry)
        add_plugins(self.registry, self.core, ("ringing",))
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor, call_id="call-1")
        bob.reply(bob.got("INVITE"), 180)
        self.world.clock.advance(5)
        row = {"call_id": "call-1", "caller": "alice@example.test", "seconds": 5}
        self.assertEqual((self.call("ringing.list", 5), self.call("ringing.list", 6)), ([row], []))
        self.assertEqual(self.refused("ringing.list", "x")[0], -32602)
        self.assertEqual(self.refused("ringing.list", -1), (400, "least can't be below 0"))
        self.assertIn("ringing.list", self.call("system.listMethods"))

    def test_interface(self) -> None:
        """It is what the interface says."""
        verifyObject(IRpcCommands, extensions.find(extensions.RPC, "ringing").object)

    def test_faults(self) -> None:
        """One that isn't installed, or a method that is there already: the start stops with its name."""
        error = self.assertRaises(ConfigError, add_plugins, self.registry, self.core, ("teleport",))
        self.assertIn("teleport", str(error))
        self.assertEqual(error.key, "rpc.plugins")
        add_plugins(self.registry, self.core, ("ringing",))
        self.assertRaises(ConfigError, add_plugins, self.registry, self.core, ("ringing",))
