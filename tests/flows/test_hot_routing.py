"""A script that is replaced while calls are up; one that raises, answers nonsense, never answers, or can't be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.routing import Call, RoutingScript
from sipnode.routing.loading import load_script
from sipnode.routing.versions import MOST_KEPT, Versions
from sipnode.testing import RecordingMediaRelay, World

SITE = """
from sipnode.routing import RoutingScript

class Site(RoutingScript):
    def address_complete(self, r):
        return r.reply({status})
"""


class FileTests(SynchronousTestCase):
    """A script in a file, as a server has it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "routing.py"
        self.write(SITE.format(status=600))
        self.world = World()
        self.versions = Versions(self.world.core, lambda: (load_script("routing.Site", self.folder), ()))
        self.alice = self.world.phone("alice")

    def write(self, text: str) -> None:
        """Change the file."""
        self.file.write_text(text, "utf-8")

    def answer(self) -> int:
        """What a request draws."""
        self.alice.send("MESSAGE", "sip:bob@example.test")
        return self.alice.statuses()[-1]

    def test_versions(self) -> None:
        """Each load has a number; a rollback brings one back as it was, whatever its file says now."""
        self.assertEqual(self.answer(), 600)
        self.write(SITE.format(status=603))
        self.assertEqual((self.versions.reload().number, self.answer()), (2, 603))
        self.write("")
        self.assertEqual((self.versions.rollback().number, self.answer()), (1, 600))
        self.assertEqual((self.versions.rollback(2).number, self.answer()), (2, 603))
        self.assertRaises(ConfigError, self.versions.rollback, 3)
        self.assertEqual([version.number for version in self.versions.list()], [1, 2])
        self.write(SITE.format(status=604))
        self.assertEqual((self.versions.reload().number, self.answer()), (3, 604))

    def test_first(self) -> None:
        """There is nothing before the first."""
        self.assertIn("no earlier version", str(self.assertRaises(ConfigError, self.versions.rollback)))

    def test_bound(self) -> None:
        """So many are kept; the current one always is."""
        for _ in range(MOST_KEPT + 5):
            self.versions.reload()
        kept = [version.number for version in self.versions.list()]
        self.assertEqual((len(kept), kept[-1], self.versions.current.number), (MOST_KEPT, MOST_KEPT + 6, MOST_KEPT + 6))

    def test_all_or_nothing(self) -> None:
        """A file with a fault is refused with file, line and reason; what routed routes on, also what it keeps."""
        head = "from sipnode.routing import RoutingScript, on\n"
        for text, line, word in (
            ("def (:\n", 1, "SyntaxError"),
            (head + "\n1 / 0\n", 3, "ZeroDivisionError"),
            (head + "def f():\n    raise KeyError('x')\nf()\n", 3, "KeyError"),
            (head + "import nothing_of_that_name\n", 2, "ModuleNotFoundError"),
            (head + "raise SystemExit(1)\n", 2, "SystemExit"),
            (head + "class Sit(RoutingScript):\n    pass\n", 0, "class Site"),
            (head + "class Site:\n    pass\n", 0, "derives from RoutingScript"),
            (head + "class Site(RoutingScript):\n    def sipuot(self, r):\n        pass\n", 3, "sipout is meant"),
            (head + "class Site(RoutingScript):\n    REQUEST_ROUTE = ('reqinit', 'nowhere')\n", 0, "nowhere"),
            (head + "class Site(RoutingScript):\n    REQUEST_ROUTE = (on('', 'x'),)\n", 3, "on("),
            (head + "class Site(RoutingScript):\n    def __init__(self, core):\n        core.nothing()\n", 0, "can't be made"),
            (head + "class Site(RoutingScript):\n    def started(self):\n        raise ValueError('no')\n", 0, "started()"),
        ):
            self.write(text)
            script, engine = self.world.core.script, self.world.core.engine
            error = self.assertRaises(ConfigError, self.versions.reload)
            self.assertIn(word, str(error))
            self.assertEqual((text, error.line), (text, line))
            if line:
                self.assertEqual(error.file, str(self.file))
            self.assertIs(self.world.core.script, script)
            self.assertIs(self.world.core.engine, engine)
            self.assertEqual((self.answer(), self.versions.current.number), (600, 1))
        self.write(SITE.format(status=603))
        self.assertEqual((self.versions.reload().number, self.answer()), (2, 603))

    def test_no_time_stamp(self) -> None:
        """Two changes within one second are both seen."""
        for status in (601, 602, 603):
            self.write(SITE.format(status=status))
            self.versions.reload()
            self.assertEqual(self.answer(), status)


class HookTests(SynchronousTestCase):
    """started, stopped, call_ended, later."""

    def test_ten_reloads(self) -> None:
        """After ten reloads the end of a call is told once, and by the script that is loaded then."""
        told: list[str] = []

        def site(number: int) -> type[RoutingScript]:
            class Site(RoutingScript):
                def started(self) -> None:
                    told.append(f"{number} started")

                def stopped(self) -> None:
                    told.append(f"{number} stopped")

                def call_ended(self, call: Call) -> Any:
                    told.append(f"{number} {call.outcome}")
                    return self.http.post("http://192.0.2.9/ended", json={"call": call.call_id})

            return Site

        world = World(script=site(0))
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        call = world.call(alice, bob)
        for number in range(1, 11):
            world.reload(site(number))
        self.assertEqual(told, ["0 started", *(text for n in range(10) for text in (f"{n + 1} started", f"{n} stopped"))])
        del told[:]
        call.from_caller("BYE")
        self.assertEqual(told, ["10 completed"])
        self.assertEqual(world.http.requests, [("POST", "http://192.0.2.9/ended", {"call": call.invite.call_id})])
        self.assertEqual(len(world.core.dialogs._watchers["terminated"]), 1)

    def test_refused_start(self) -> None:
        """A script that doesn't want to start lets go of what it began, and the one before it stays as it was."""
        ended: list[str] = []

        class Good(RoutingScript):
            def stopped(self) -> None:
                ended.append("good")

            def call_ended(self, call: Call) -> None:
                ended.append("call")

        class Bad(RoutingScript):
            def started(self) -> None:
                self.later(5, ended.append, "never")
                raise ValueError("no licence")

            def call_ended(self, call: Call) -> None:
                ended.append("never")

        world = World(script=Good)
        before = world.core.script
        self.assertIn("no licence", str(self.assertRaises(ConfigError, world.reload, Bad)))
        self.assertIs(world.core.script, before)
        self.assertTrue(before.running)
        world.advance(10)
        alice = world.phone("alice")
        alice.send("INVITE", "sip:bob@example.test")
        self.assertEqual(ended, ["call"])

    def test_later(self) -> None:
        """What a script wants to do later it does once, and not at all when it was replaced meanwhile."""
        done: list[int] = []

        class Site(RoutingScript):
            def started(self) -> None:
                self.later(2, done.append, 2)
                self.later(20, done.append, 20)

        world = World(script=Site)
        world.advance(3)
        self.assertEqual(done, [2])
        world.reload(RoutingScript)
        world.advance(30)
        self.assertEqual(done, [2])

    def test_faults(self) -> None:
        """What a hook raises, at once or later, is logged and hurts nobody."""

        class Site(RoutingScript):
            def stopped(self) -> None:
                raise ValueError("stopped")

            async def call_ended(self, call: Call) -> None:
                raise ValueError("ended")

        class Late(RoutingScript):
            async def started(self) -> None:
                raise ValueError("started")

        world = World(script=Site)
        alice = world.phone("alice")
        alice.send("INVITE", "sip:bob@example.test")
        self.assertEqual(alice.statuses(), [404])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        world.reload(Late)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_media_state(self) -> None:
        """What is known of the media of a call outlives the script: a reload between offer and PRACK makes no second offer."""
        relay = RecordingMediaRelay()
        world = World(media=relay)
        alice, bob = world.phone("alice", "WSS"), world.phone("bob")
        bob.register()
        invite = alice.send("INVITE", bob.aor)
        received = bob.got("INVITE")
        early = bob.reply(received, 183, b"v=0\r\n", headers=[("require", "100rel"), ("rseq", "1")])
        control, policy = world.core.media_control, world.core.rtpengine
        world.reload()
        self.assertIs(world.core.media_control, control)
        self.assertIs(world.core.script.media, policy)
        alice.within("PRACK", invite, alice.response("INVITE", 183), True, b"v=0\r\n", [("rack", "1 1 INVITE")])
        self.assertEqual(relay.operations, ["offer", "answer"])
        self.assertEqual(early.status, 183)
        bob.got("PRACK")


class BadScriptTests(SynchronousTestCase):
    """One request has a bad time, the others have none."""

    def script(self, stage: Any) -> World:
        """A world whose calls for ``bad`` meet that stage."""

        class Site(RoutingScript):
            def location(self, r: Any) -> Any:
                return stage(r) if r.ruri.user == "bad" else super().location(r)

        self.world = World(script=Site)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        return self.world

    def others_are_well(self) -> None:
        """A call of somebody else is set up and ends."""
        carol = self.world.phone("carol")
        self.world.call(carol, self.bob).from_caller("BYE")
        self.bob.got("BYE")

    def test_nonsense(self) -> None:
        """A stage that gives what is no Verdict, at once or later: 500, and the log says which and what."""

        async def later(r: Any) -> Any:
            return "yes"

        for stage in (lambda r: True, lambda r: "no", lambda r: {}, lambda r: 404, later):
            self.script(stage)
            self.alice.send("INVITE", "sip:bad@example.test")
            self.assertEqual(self.alice.statuses()[-1], 500)
            self.assertIn("Verdict", str(self.flushLoggedErrors(TypeError)[0].value))
            self.others_are_well()

    def test_raises(self) -> None:
        """One that raises."""
        self.script(lambda r: r.nothing)
        self.alice.send("INVITE", "sip:bad@example.test")
        self.assertEqual(self.alice.statuses(), [500])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.others_are_well()

    def test_never(self) -> None:
        """One that never answers: that request waits alone, and its caller may give up."""
        self.script(lambda r: Deferred())
        invite = self.alice.send("INVITE", "sip:bad@example.test")
        self.assertEqual(self.alice.statuses(), [100])
        self.others_are_well()
        self.alice.cancel(invite)
        self.assertEqual(sorted(self.alice.statuses()), [200, 487])

    def test_rollback(self) -> None:
        """A load that turns out bad is taken back; what waits in it is still answered by it."""
        gates: list[Deferred[Any]] = []

        class Bad(RoutingScript):
            def location(self, r: Any) -> Any:
                gates.append(Deferred())
                return gates[-1].addCallback(lambda _: r.reply(604))

        world = World()
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        world.reload(Bad)
        alice.send("INVITE", bob.aor)
        world.scripts.rollback()
        alice.send("MESSAGE", bob.aor)
        bob.got("MESSAGE")
        gates[0].callback(None)
        self.assertEqual(alice.statuses(), [100, 604])
