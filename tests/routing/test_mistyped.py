"""A slip in the name of a stage or hook is told when the script is loaded, with file, line and the name that is meant."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.routing import RoutingScript
from sipnode.testing import World


def line_of(function: Any) -> int:
    """Where it begins."""
    line: int = function.__code__.co_firstlineno
    return line


class MistypedTests(SynchronousTestCase):
    """Scripts with one thing wrong."""

    def refused(self, script: type[RoutingScript], *words: str) -> ConfigError:
        """The reason why a script isn't taken."""
        error = self.assertRaises(ConfigError, World, script=script)
        for word in words:
            self.assertIn(word, str(error))
        self.assertEqual(error.key, "routing.script")
        return error

    def test_stage(self) -> None:
        """A stage."""

        class Site(RoutingScript):
            def sipuot(self, r: Any) -> Any:
                return None

        error = self.refused(Site, "Site.sipuot", "sipout is meant", __file__)
        self.assertEqual((error.file, error.line), (__file__, line_of(Site.sipuot)))

    def test_hook(self) -> None:
        """A hook; also one that was inherited from another class of the site."""

        class Common(RoutingScript):
            def manage_failures(self, fork: Any) -> Any:
                return None

        class Site(Common):
            pass

        self.refused(Site, "Common.manage_failures", "manage_failure is meant")

    def test_route(self) -> None:
        """The route itself, and a stage of the site's own that it names."""

        class Site(RoutingScript):
            REQUEST_ROUTES = ("reqinit",)

        class Other(RoutingScript):
            REQUEST_ROUTE = (*RoutingScript.REQUEST_ROUTE[:2], "office_hours", *RoutingScript.REQUEST_ROUTE[2:])

            def office_hours(self, r: Any) -> Any:
                return None

            def ofice_hours(self, r: Any) -> Any:
                return None

        self.refused(Site, "REQUEST_ROUTE is meant")
        self.refused(Other, "office_hours is meant")

    def test_arguments(self) -> None:
        """One that takes other arguments than it is given."""

        class Site(RoutingScript):
            def sipout(self) -> Any:  # type: ignore[override]
                return None

        error = self.refused(Site, "can't be called with (self, r)")
        self.assertEqual(error.line, line_of(Site.sipout))

    def test_gone(self) -> None:
        """A method that the package had once."""

        class Site(RoutingScript):
            def located(self, result: Any, ctx: Any) -> Any:
                return None

        self.refused(Site, "Site.located", "override location")

    def test_its_own(self) -> None:
        """What the script calls itself, and what is like nothing of ours, is its own business."""

        class Site(RoutingScript):
            MAILBOXES = ("bob",)

            def records(self, r: Any) -> bool:
                return r.ruri.user in self.MAILBOXES

            def tariff(self, number: str) -> int:
                return 1

            def location(self, r: Any) -> Any:
                return r.reply(600) if self.records(r) else super().location(r)

            def manage_branch(self, *args: Any) -> Any:
                return super().manage_branch(*args)

        world = World(script=Site)
        alice = world.phone("alice")
        alice.send("MESSAGE", "sip:bob@example.test")
        self.assertEqual(alice.statuses(), [600])
