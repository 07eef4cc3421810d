"""A recorded call played once more is the same, or what differs is shown; a test made of it passes."""

from __future__ import annotations

import contextlib
import io
import json
import unittest
from pathlib import Path
from typing import Any

from sipnode import cli, config
from sipnode.errors import Reject, SipnodeError
from sipnode.replay.code import code
from sipnode.replay.play import difference, play
from sipnode.replay.scene import Scene, scene_of
from sipnode.routing.script import RoutingScript
from sipnode.testing import World
from tests.insight.kit import SDP, RecordedCase


class Closed(RoutingScript):
    """Nobody is called."""

    def location(self, r: Any) -> Any:
        """Refuse calls."""
        if r.method == "INVITE":
            raise Reject(403, "Closed")
        return super().location(r)


class ReplayCase(RecordedCase):
    """Calls, recorded and played."""

    def scene(self, call_id: str) -> Scene:
        """The scene of a call."""
        return scene_of(dict(self.insight.document(call_id)))

    def is_the_same(self, call_id: str) -> Scene:
        """A call goes again as it went, and the test made of it passes; its scene."""
        scene = self.scene(call_id)
        after, faults = play(scene)
        self.assertEqual((difference(scene, after), faults), ([], []))
        self.passes(scene)
        return scene

    def passes(self, scene: Scene) -> str:
        """The test made of a scene passes; its text."""
        text = code(scene)
        names: dict[str, Any] = {}
        exec(compile(text, "made", "exec"), names)
        result = unittest.TestResult()
        names["RecordedCallTests"]("test_call").run(result)
        self.assertEqual((result.testsRun, [*result.failures, *result.errors]), (1, []), text)
        return text


class PlayTests(ReplayCase):
    """Whole calls."""

    def talk(self) -> str:
        """A call with media relay that is answered and ended by the callee."""
        invite = self.alice.send("INVITE", self.bob.aor, (("subject", "hello"),), SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.advance(3)
        answered = self.bob.reply(received, 200, SDP)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.world.advance(10)
        self.bob.within("BYE", received, answered, False)
        self.alice.reply(self.alice.got("BYE"), 200)
        return invite.call_id

    def test_talk(self) -> None:
        """A call from INVITE to BYE."""
        scene = self.is_the_same(self.talk())
        self.assertIn("INVITE sip:x2@bob.invalid, to bob with SDP", scene.wire)
        self.assertIn("BYE", " ".join(scene.wire))
        self.assertLess(len(code(scene).split("\n")), 40)

    def test_caller_hangs_up(self) -> None:
        """The same the other way round, with a re-INVITE."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call.from_caller("INVITE", SDP)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.alice.response("INVITE")
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        self.is_the_same(call.invite.call_id)

    def test_refused(self) -> None:
        """A callee who is busy, one who isn't there."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.is_the_same(invite.call_id)
        self.is_the_same(self.alice.send("INVITE", "sip:nobody@example.test", (), SDP).call_id)

    def test_another_domain(self) -> None:
        """The domain of the server that recorded it becomes that of the world, though nobody has proved anything."""
        story = dict(self.insight.document(self.alice.send("INVITE", "sip:nobody@example.test", (), SDP).call_id))
        story = json.loads(json.dumps(story).replace("example.test", "sip.example"))
        for event in story["events"]:
            if "has proved" in event["label"]:
                event["label"] = "x"
        scene = scene_of(story)
        self.assertEqual(difference(scene, play(scene)[0]), [])
        self.passes(scene)

    def test_cancelled(self) -> None:
        """A caller who gives up."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.world.advance(2)
        self.alice.cancel(invite)
        self.bob.reply(self.bob.got("CANCEL"), 200)
        self.bob.reply(received, 487)
        self.is_the_same(invite.call_id)

    def test_silent(self) -> None:
        """A phone that never answers: timers run in virtual time."""
        carol = self.world.phone("carol")
        carol.register()
        carol.take()
        invite = self.alice.send("INVITE", carol.aor, (), SDP)
        self.world.advance(40)
        scene = self.scene(invite.call_id)
        after, _ = play(scene)
        self.assertEqual(difference(scene, after), [])

    def test_challenged(self) -> None:
        """What went around a password isn't played: everybody is believed."""
        self.world = self.recorded(users={"alice": "right", "bob": "too"})
        self.insight = self.world.insight
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WS")
        self.bob.register()
        self.bob.take()
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 486)
        scene = self.is_the_same(invite.call_id)
        self.assertNotIn("407", " ".join(scene.wire))

    def test_another_script(self) -> None:
        """What a change of the script changes is shown, line by line."""
        scene = self.scene(self.talk())
        after, _ = play(scene, Closed)
        lines = difference(scene, after)
        self.assertIn("+403 to INVITE, to alice", lines)
        self.assertIn("-INVITE sip:x2@bob.invalid, to bob with SDP", lines)
        self.assertIn("-INVITE: stage location: RELAYED", lines)
        self.assertIn("+INVITE: stage location: 403", lines)

    def test_not_recorded(self) -> None:
        """What isn't there, or not whole, isn't played."""
        self.assertRaises(SipnodeError, self.scene, "nobody")
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.ring.forget(call.invite.call_id)
        call.from_caller("BYE")
        self.assertIn("begin", str(self.assertRaises(SipnodeError, self.scene, call.invite.call_id)))


class CommandTests(ReplayCase):
    """``sipnode replay`` and ``sipnode test-from`` of a file."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / config.FILE_NAME).write_text(config.render())
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.file = self.folder / "call.json"
        self.file.write_text(self.insight.export(invite.call_id, "json")["text"])

    def run_command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, what is printed, and what is said to be wrong."""
        out, wrong = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
            status = cli.main([*arguments, "-c", str(self.folder)])
        return status, out.getvalue(), wrong.getvalue()

    def test_replay(self) -> None:
        """The same script gives the same; another one, a difference, and exit status 1."""
        self.assertEqual(self.run_command("replay", str(self.file)), (0, "what was sent is the same\n", ""))
        script = self.folder / "closed.py"
        script.write_text(
            "from sipnode.errors import Reject\nfrom sipnode.routing.script import RoutingScript\n\n\nclass Closed(RoutingScript):\n"
            "    def location(self, r):\n        raise Reject(403, 'Closed')\n"
        )
        for named in (str(script), f"{script}:Closed"):
            status, out, _ = self.run_command("replay", str(self.file), "--with", named)
            self.assertEqual(status, 1)
            self.assertIn("+INVITE: stage location: 403", out)

    def test_refused(self) -> None:
        """A file that is no call, a script that isn't there."""
        other = self.folder / "other.json"
        nearly = '{"story": {"recorded": 1, "whole": 1, "events": [1], "lanes": [], "call_id": "", "why_not": ""}}'
        for text in ("", "[]", "{}", '{"story": {}}', '{"story": 5}', nearly):
            other.write_text(text)
            status, _, wrong = self.run_command("replay", str(other))
            self.assertEqual((status, "is no call" in wrong or "recorder.get" in wrong), (1, True), text)
        status, _, wrong = self.run_command("replay", str(self.file), "--with", "gone.py")
        self.assertEqual((status, "gone.py" in wrong), (1, True))

    def test_test_from(self) -> None:
        """The test, printed or written."""
        status, out, _ = self.run_command("test-from", str(self.file))
        self.assertEqual((status, "self.assertEqual(alice.statuses(), [100, 486])" in out), (0, True))
        path = self.folder / "test_it.py"
        self.assertEqual(self.run_command("test-from", str(self.file), "--output", str(path)), (0, "", ""))
        self.assertEqual(path.read_text("utf-8"), out)


class HostileTests(ReplayCase):
    """Names and bodies made to get into the test as code."""

    def test_code(self) -> None:
        """They stand in it as literals."""
        world = World(self.world.settings)
        self.world, self.insight = world, world.insight
        eve = world.phone("class", contact="sip:x@192.0.2.99")
        body = b"v=0\r\ns=\"\"\"\r\n'''); raise SystemExit(1) #\r\n"
        invite = eve.send("INVITE", "sip:%22%5c%27%29@example.test", (("subject", '""" + __import__(\'os\')'),), body, call_id='x"""\\')
        text = self.passes(self.scene(invite.call_id))
        self.assertIn("phone_class = world.phone('class'", text)
