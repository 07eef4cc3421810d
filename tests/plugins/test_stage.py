"""Plugin stages: the sample of the manual, found, placed and run."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import sipnode.plugins
from sipnode import extensions
from sipnode.app import _stages
from sipnode.errors import ConfigError
from sipnode.interfaces import IRequestStage
from sipnode.routing.verdict import Verdict
from sipnode.settings import RoutingSettings, Settings
from sipnode.testing import World

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "blocklist.py"


class Stage:
    """A stage that a test makes up."""

    def __init__(self, process: Any, name: str = "extra", methods: frozenset[str] | None = None, **where: tuple[str, ...]) -> None:
        self.name = name
        self.methods = methods
        self.after = where.get("after", ())
        self.before = where.get("before", ())
        self.process = process


class SampleTests(SynchronousTestCase):
    """docs/samples/blocklist.py"""

    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("sample_blocklist", SAMPLE)
        assert spec is not None and spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)

    def test_interface(self) -> None:
        """It provides what a stage has to."""
        self.assertTrue(verifyObject(IRequestStage, self.module.blocklist))

    def test_runs(self) -> None:
        """Who is on the list is declined, everybody else gets through, and other methods aren't looked at."""
        world = World(stages=[self.module.blocklist])
        spam, alice, bob = world.phone("spam"), world.phone("alice"), world.phone("bob")
        bob.register()
        bob.take()
        spam.send("INVITE", bob.aor)
        answer = spam.response()
        self.assertEqual((answer.status, answer.reason), (603, "Not Wanted Here"))
        self.assertEqual(bob.inbox, [])
        spam.send("OPTIONS", bob.aor)
        bob.got("OPTIONS")
        alice.send("INVITE", bob.aor)
        bob.got("INVITE")

    def test_placed(self) -> None:
        """It stands behind AUTH."""
        world = World(stages=[self.module.blocklist])
        names = world.core.engine.names
        self.assertEqual(names[names.index("auth") + 1], "blocklist")

    def test_found_by_name(self) -> None:
        """Installed in a ``sipnode/plugins`` folder it is found, runs when it is named, and does nothing when it isn't."""
        folder = Path(self.mktemp())
        folder.mkdir()
        shutil.copy(SAMPLE, folder / "sample_found.py")
        self.patch(sipnode.plugins, "__path__", [*sipnode.plugins.__path__, str(folder)])
        self.assertIn("blocklist", extensions.names(extensions.STAGES))
        self.assertEqual(_stages(Settings()), [])
        named = _stages(Settings(routing=replace(RoutingSettings(), stages=("blocklist",))))
        self.assertEqual([stage.name for stage in named], ["blocklist"])

    def test_not_installed(self) -> None:
        """A stage that is named and not installed stops the start, with its name."""
        error = self.assertRaises(ConfigError, _stages, Settings(routing=replace(RoutingSettings(), stages=("teleport",))))
        self.assertIn("teleport", str(error))
        self.assertEqual(error.key, "routing.stages")


class StageTests(SynchronousTestCase):
    """Stages of plugins among those of the script."""

    def test_everywhere(self) -> None:
        """A stage may stand before the first and behind the last of the script's."""
        seen: list[str] = []

        def noting(name: str) -> Any:
            return Stage(lambda ctx: seen.append(name), name, after=() if name == "first" else ("address_complete",), before=where[name])

        where: dict[str, tuple[str, ...]] = {"first": ("reqinit",), "last": ("location",)}
        world = World(stages=[noting("first"), noting("last")])
        alice = world.phone("alice")
        alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual((seen, alice.statuses()), (["first", "last"], [404]))

    def test_decides(self) -> None:
        """It may answer, and the script's stages behind it don't see the request."""
        world = World(stages=[Stage(lambda ctx: ctx.reply(302, "", (("contact", "<sip:x@y.test>"),)), after=("auth",))])
        alice = world.phone("alice")
        alice.send("INVITE", "sip:nobody@example.test")
        answer = alice.response()
        self.assertEqual((answer.status, answer.get("contact")), (302, "<sip:x@y.test>"))

    def test_drops(self) -> None:
        """It may drop a request without a word."""
        world = World(stages=[Stage(lambda ctx: Verdict.DROPPED, after=("reqinit",))])
        alice = world.phone("alice")
        alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual(alice.inbox, [])

    def test_unplaceable(self) -> None:
        """A stage beside one that doesn't exist stops the start."""
        error = self.assertRaises(ConfigError, World, stages=[Stage(None, after=("teleport",))])
        self.assertIn("teleport", str(error))

    def test_coroutine(self) -> None:
        """Its ``process`` may be ``async def``; the request goes on where it was."""

        async def process(ctx: Any) -> None:
            ctx.vars["seen"] = True
            ctx.extra.append(("x-checked", "yes"))

        world = World(stages=[Stage(process, after=("auth",))])
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor)
        self.assertEqual(bob.got("INVITE").get("x-checked"), "yes")
