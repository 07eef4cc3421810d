"""A site's own script: stages overridden, branch, reply and failure routes, and the sample in ``conf``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import ConfigError, Reject
from sipnode.interfaces import IRoutingScript
from sipnode.routing.assembly import assemble
from sipnode.routing.script import RoutingScript
from sipnode.settings import MediaSettings, Settings
from sipnode.testing import RecordingMediaRelay, World

CONF = Path(__file__).parents[2] / "conf" / "routing.py"


class SampleTests(SynchronousTestCase):
    """conf/routing.py"""

    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("sample_site_routing", CONF)
        assert spec is not None and spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.world = World(script=self.module.SiteRouting)
        self.alice, self.john = self.world.phone("alice"), self.world.phone("john")
        self.alice.register()
        self.john.register()
        self.john.take()

    def test_interface(self) -> None:
        """It is an IRoutingScript, as the package's is."""
        self.assertTrue(verifyObject(IRoutingScript, self.world.core.script))

    def test_short_number(self) -> None:
        """A number of the list rings the person's phone; the call goes on and ends as any other."""
        invite = self.alice.send("INVITE", "sip:101@example.test")
        received = self.john.got("INVITE")
        self.john.reply(received, 200)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.john.got("ACK")
        self.john.within("BYE", received, self.john.reply(received, 200), False)
        self.alice.got("BYE")

    def test_others(self) -> None:
        """Names and unknown numbers are looked up as they are."""
        self.alice.send("INVITE", self.john.aor)
        self.john.got("INVITE")
        self.alice.send("INVITE", "sip:999@example.test")
        self.assertEqual(self.alice.statuses()[-1], 404)

    def test_barred(self) -> None:
        """A number that costs is barred on its way out; another is not."""
        self.alice.send("INVITE", "sip:0900123@carrier.test")
        answer = self.alice.response()
        self.assertEqual((answer.status, answer.reason), (403, "Number Barred"))
        self.alice.send("INVITE", "sip:5551234@carrier.test")
        self.assertEqual(self.alice.statuses(), [100, 503])


class HookTests(SynchronousTestCase):
    """branch_route, onreply_route, failure_route, branch failure."""

    def test_once_each(self) -> None:
        """Each hook runs once a branch or reply, in the order of the call; repeats of the request run none."""
        log: list[str] = []

        class Site(RoutingScript):
            def manage_branch(self, branch: Any) -> Any:
                log.append(f"branch {branch.index}")
                return super().manage_branch(branch)

            def manage_reply(self, branch: Any, response: Any) -> Any:
                log.append(f"reply {branch.index} {response.status}")
                return super().manage_reply(branch, response)

            def branch_failure(self, branch: Any, response: Any) -> None:
                log.append(f"failed {branch.index} {response.status}")

            def manage_failure(self, fork: Any) -> None:
                log.append("failure")

        world = World(script=Site)
        alice, one, two = world.phone("alice"), world.phone("bob"), world.phone("bob")
        one.params, two.params = ";q=0.9", ";q=0.1"
        one.register()
        two.register()
        invite = alice.send("INVITE", one.aor)
        alice.send_again(invite)
        first, second = one.got("INVITE"), two.got("INVITE")
        one.reply(first, 100)
        one.reply(first, 180)
        one.reply(first, 486)
        one.reply(first, 486)
        two.reply(second, 183)
        two.reply(second, 480)
        self.assertEqual(log, ["branch 0", "branch 1", "reply 0 180", "failed 0 486", "reply 1 183", "failed 1 480", "failure"])

    def call_with(self, **hooks: Any) -> list[int]:
        """The statuses of a call that rings and is then busy, through a script with these hooks."""
        site = type("Site", (RoutingScript,), hooks)
        self.world = World(script=site)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.alice.send("INVITE", self.bob.aor)
        if any(b"INVITE sip:" in data for data in self.bob.flow.sent):
            received = self.bob.got("INVITE")
            self.bob.reply(received, 180)
            self.bob.reply(received, 486)
        return self.alice.statuses()

    def test_exceptions(self) -> None:
        """An exception in a hook is logged and never hangs the call: 500 where nothing was sent yet, else the call goes on."""

        def broken(*args: Any) -> None:
            raise ValueError("a fault of the site")

        async def later(*args: Any) -> None:
            raise ValueError("a fault of the site")

        for hook, function, expected in (
            ("manage_branch", broken, [100, 500]),
            ("manage_branch", later, [100, 500]),
            ("manage_reply", broken, [100, 180, 486]),
            ("manage_reply", later, [100, 180, 486]),
            ("branch_failure", broken, [100, 180, 486]),
            ("manage_failure", broken, [100, 180, 500]),
            ("manage_failure", later, [100, 180, 500]),
        ):
            self.assertEqual((hook, function.__name__, self.call_with(**{hook: function})), (hook, function.__name__, expected))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            self.world.advance(80)
            self.assertEqual(len(self.world.core.transactions), 0)

    def test_branch_route_refuses(self) -> None:
        """A Reject of the branch route fails that branch with its status, reason and headers; the phone hears nothing."""

        def refuse(script: Any, branch: Any) -> None:
            raise Reject(480, "Do Not Disturb", (("retry-after", "900"),))

        self.call_with(manage_branch=refuse)
        self.assertEqual(self.bob.methods(), [])
        site = type("Site", (RoutingScript,), {"manage_branch": refuse})
        world = World(script=site)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor)
        answer = alice.response()
        self.assertEqual((answer.status, answer.reason, answer.get("retry-after")), (480, "Do Not Disturb", "900"))

    def test_branch_route_waits(self) -> None:
        """A branch route may wait, as Deferred or coroutine; the branch is sent when it has decided."""
        gate: Deferred[None] = Deferred()

        async def wait(script: Any, branch: Any) -> None:
            await gate

        self.call_with(manage_branch=wait)
        self.assertEqual(self.bob.methods(), [])
        gate.callback(None)
        self.assertEqual(self.bob.methods(), ["INVITE"])

    def test_reply_route_changes(self) -> None:
        """A reply route may give another response to pass, at once or as a coroutine."""

        def rename(script: Any, branch: Any, response: Any) -> Any:
            copy = response.copy()
            copy.append("x-site", "was here")
            return copy

        async def later(script: Any, branch: Any, response: Any) -> Any:
            return rename(script, branch, response)

        for function in (rename, later):
            site = type("Site", (RoutingScript,), {"manage_reply": function})
            world = World(script=site)
            alice, bob = world.phone("alice"), world.phone("bob")
            bob.register()
            alice.send("INVITE", bob.aor)
            received = bob.got("INVITE")
            bob.reply(received, 180)
            bob.reply(received, 200)
            self.assertEqual([alice.response("INVITE", 180).get("x-site") for _ in range(2)], ["was here"] * 2)

    def test_retry(self) -> None:
        """A branch failure route may send the branch once more (415, 488 without relay): with a new branch, once only."""
        seen: list[int] = []

        def again(script: Any, branch: Any, response: Any) -> None:
            seen.append(response.status)
            if response.status == 488:
                branch.retry()

        site = type("Site", (RoutingScript,), {"branch_failure": again})
        world = World(script=site)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor)
        first = bob.got("INVITE")
        bob.reply(first, 488)
        second = bob.got("INVITE")
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(alice.statuses(), [100])
        bob.reply(second, 488)
        self.assertEqual(alice.statuses(), [488])
        self.assertEqual(seen, [488, 488])

    def test_stage_overridden(self) -> None:
        """One stage overridden, and ``super()`` still does what the package does."""

        class Site(RoutingScript):
            def location(self, ctx: Any) -> Any:
                if ctx.request.ruri.user == "echo":
                    return ctx.reply(200)
                return super().location(ctx)

        world = World(script=Site)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("MESSAGE", "sip:echo@example.test")
        self.assertEqual(alice.statuses(), [200])
        alice.send("MESSAGE", bob.aor)
        bob.got("MESSAGE")

    def test_overridden_keeps_methods(self) -> None:
        """A stage that is overridden is for the methods that the route names it for, and for no others."""
        met: list[str] = []

        class Site(RoutingScript):
            def presence(self, ctx: Any) -> Any:
                met.append(ctx.method)
                return ctx.reply(489)

        world = World(script=Site)
        alice = world.phone("alice")
        for method in ("MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS"):
            alice.send(method, "sip:bob@example.test")
        self.assertEqual(met, ["SUBSCRIBE", "PUBLISH"])

    def test_bridging(self) -> None:
        """Which calls take the media relay is one method; what a relay has begun to carry it carries to the end."""

        class Never(RoutingScript):
            def bridging(self, branch: Any) -> bool:
                return False

        class Outside(RoutingScript):
            def bridging(self, branch: Any) -> bool:
                return branch.request.ruri.user == "bob" or super().bridging(branch)

        for script, browser, expected in (
            (RoutingScript, True, ["offer", "answer", "delete"]),
            (RoutingScript, False, []),
            (Never, True, []),
            (Outside, False, ["offer", "answer", "delete"]),
        ):
            relay = RecordingMediaRelay()
            world = World(Settings(media=MediaSettings(engage="mixed")), relay, script)
            alice, bob = world.phone("alice", "WSS" if browser else "UDP"), world.phone("bob")
            bob.register()
            world.call(alice, bob, b"v=0\r\n", b"v=0\r\n").from_caller("BYE")
            self.assertEqual((script.__name__, browser, relay.operations), (script.__name__, browser, expected))

    def test_plain_name_keeps_methods(self) -> None:
        """A route of a site's own that names our stages without their methods has them for these all the same."""

        class Site(RoutingScript):
            REQUEST_ROUTE = tuple(str(name) for name in RoutingScript.REQUEST_ROUTE)

        world = World(script=Site)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        world.call(alice, bob)

    def test_coroutine_hands_on(self) -> None:
        """An ``async def`` may return what ``super()`` gave, whether that has to be waited for or not."""

        class Site(RoutingScript):
            async def location(self, ctx: Any) -> Any:
                return super().location(ctx)

            async def auth(self, ctx: Any) -> Any:
                waiting: Deferred[None] = Deferred()
                waiting.callback(None)
                return waiting

        world = World(script=Site)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        world.call(alice, bob)

    def test_keeps_its_script(self) -> None:
        """A call that has begun goes on by the script that it began with, whatever is loaded meanwhile; the next has the new one."""
        log: list[str] = []

        def site(name: str) -> type[RoutingScript]:
            class Site(RoutingScript):
                def manage_branch(self, branch: Any) -> Any:
                    log.append(f"{name} branch")
                    return super().manage_branch(branch)

                def manage_reply(self, branch: Any, response: Any) -> Any:
                    log.append(f"{name} {response.status}")
                    return super().manage_reply(branch, response)

                def branch_failure(self, branch: Any, response: Any) -> None:
                    log.append(f"{name} failed")

                def manage_failure(self, fork: Any) -> Any:
                    log.append(f"{name} failure")

            return Site

        world = World(script=site("old"))
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        assemble(world.core, site("new"))
        bob.reply(received, 180)
        bob.reply(received, 486)
        self.assertEqual(log, ["old branch", "old 180", "old failed", "old failure"])
        alice.send("MESSAGE", bob.aor)
        self.assertEqual(log[4:], ["new branch"])

    def test_route_of_its_own(self) -> None:
        """A site may name a stage of its own in REQUEST_ROUTE; a name without a method stops the start."""

        class Site(RoutingScript):
            REQUEST_ROUTE = ("reqinit", "closed")

            def closed(self, ctx: Any) -> Any:
                return ctx.reply(503, "Closed")

        world = World(script=Site)
        alice = world.phone("alice")
        alice.send("INVITE", "sip:bob@example.test")
        self.assertEqual(alice.statuses(), [503])
        missing = type("Missing", (RoutingScript,), {"REQUEST_ROUTE": ("reqinit", "teleport")})
        self.assertIn("teleport", str(self.assertRaises(ConfigError, World, script=missing)))
