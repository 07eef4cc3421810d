"""A trunk as an operator meets it: RPC, settings that are shown, a reload, what stands in the server's tree."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import RpcError
from sipnode.lifecycle.reload import differences
from sipnode.routing.parts import Parts
from sipnode.rpc.commands.trunk import TrunkCommands
from sipnode.settings import Settings, TrunkSettings
from sipnode.testing import World
from sipnode.wiring.rpc import parts_of, registry_of
from sipnode.wiring.trunks import build_trunks

TRUNK = TrunkSettings(domain="provider.test", address="203.0.113.9", user="us", password="hunter2", priority=3)
SETTINGS = replace(Settings(), trunk={"main": TRUNK})


class RpcTests(SynchronousTestCase):
    """trunk.*"""

    def setUp(self) -> None:
        self.world = World(SETTINGS)
        self.parts = parts_of(self.world.core, SETTINGS)

    def test_list(self) -> None:
        """Each with its state, which a health that changes changes; the methods are in the registry."""
        commands = TrunkCommands(self.parts)
        self.assertEqual([(one["name"], one["state"], one["registered"]) for one in commands.list_trunks()], [("main", "up", 0)])
        trunk = next(iter(self.world.core.trunks or ()))
        trunk.health.up, trunk.registered = False, self.world.clock.seconds() + 9.5
        self.assertEqual([(one["state"], one["registered"]) for one in commands.list_trunks()], [("down", 9)])
        self.assertLessEqual({"trunk.list", "trunk.show"}, set(registry_of(self.parts).names()))

    def test_show(self) -> None:
        """One by its name, and 404 for what is none."""
        commands = TrunkCommands(self.parts)
        shown = commands.show("main")
        self.assertEqual((shown["addresses"], shown["realm"], shown["priority"]), (["203.0.113.9"], "provider.test", 3))
        self.assertEqual(self.assertRaises(RpcError, commands.show, "other").code, 404)

    def test_password(self) -> None:
        """It is in nothing that is shown."""
        commands = TrunkCommands(self.parts)
        text = json.dumps([commands.list_trunks(), commands.show("main"), self.parts.conf()])
        self.assertIn("provider.test", text)
        self.assertNotIn("hunter2", text)

    def test_reload(self) -> None:
        """A trunk that came, went or changed is named as what needs a restart, without what changed."""
        changed = replace(SETTINGS, trunk={"main": replace(TRUNK, password="other"), "new": TRUNK})
        self.assertEqual(differences(SETTINGS, changed), ["trunk.main", "trunk.new"])
        self.assertEqual(differences(SETTINGS, SETTINGS), [])


class BuildTests(SynchronousTestCase):
    """What is made of the settings."""

    def test_none(self) -> None:
        """A server without trunks has nothing of them."""

        class Without(World):
            """A world that has none."""

            def _parts(self, *parts: Any) -> Parts:
                made = super()._parts(*parts)
                made.trunks = None
                return made

        self.assertEqual(build_trunks(Without().core), [])

    def test_one(self) -> None:
        """One with trunks has them, and a service to start."""
        core = World(SETTINGS).core
        self.assertEqual([service.name for service in build_trunks(core)], ["trunks"])
        self.assertEqual([trunk.name for trunk in core.trunks or ()], ["main"])
