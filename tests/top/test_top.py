"""Promises of ``sipnode top``: keys in, lines out; the recorder behind it is a real one, in memory."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from sipnode.rpc import client
from sipnode.rpc.registry import Registry
from sipnode.top import session as session_module
from sipnode.top.model import CALLS, DIFF, HELP, LADDER, MESSAGE, WHY, Model, moved
from sipnode.top.session import Session
from sipnode.top.view import BAD, CHOSEN, GOOD, cells, difference, fit, lines, window_start, wrapped
from sipnode.wiring.rpc import parts_of, registry_of
from tests.insight.kit import SDP, RecordedCase

HOSTILE = "x\x1b]0;pwned\x07\x1b[2J\u202ey\x9b31m"


class TopCase(RecordedCase):
    """A terminal whose server is in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.registry: Registry = registry_of(parts_of(self.world.core, self.world.settings, insight=self.insight))
        self.gone = False
        self.asked: list[str] = []
        case = self

        class Caller:
            """Calls the registry."""

            def __init__(self, path: str) -> None:
                if case.gone:
                    raise client.Refused("no server answers on the socket: Connection refused")

            def __exit__(self, *_: object) -> None:
                return None

            def call(self, method: str, params: list[Any]) -> Any:
                """As over the wire."""
                if case.gone:
                    raise client.Refused("the server closed the connection")
                case.asked.append(method)
                found = case.registry.get(method)
                return json.loads(json.dumps(found.call(*found.bind(params))))

        self.patch(session_module.client, "Caller", Caller)
        self.model = Model()
        self.model.resize(100, 30)
        self.session = Session(self.model, "the socket")

    def press(self, *names: str) -> None:
        """Keys, each with what it makes the terminal do."""
        for name in names:
            self.model.key(name)
            self.session.work()

    def type(self, text: str) -> None:
        """A line and Enter."""
        self.press(*("space" if each == " " else each for each in text), "enter")

    def screen(self) -> list[str]:
        """The lines, which have to fit."""
        found = lines(self.model)
        self.assertEqual(len(found), self.model.height)
        texts = ["".join(piece.text for piece in line) for line in found]
        for text in texts:
            self.assertEqual(sum(map(cells, text)), self.model.width, text)
            self.assertTrue(text.isprintable(), text)
        return texts

    def style(self, word: str) -> str:
        """The style of the first line with a word, behind the title."""
        return next(line[0].style for line in lines(self.model)[1:] if any(word in piece.text for piece in line))

    def failed(self, subject: str = "x") -> str:
        """A call that fails; its Call-ID."""
        invite = self.alice.send("INVITE", self.bob.aor, (("subject", subject),), SDP)
        self.bob.reply(self.bob.got("INVITE"), 500, headers=(("reason", 'Q.850;cause=16;text="Card failed"'),))
        return invite.call_id

    def opened(self) -> str:
        """A call that failed, its ladder open."""
        call_id = self.failed()
        self.session.tick()
        self.press("enter")
        return call_id


class CallsTests(TopCase):
    """The list."""

    def test_list(self) -> None:
        """Each call has a line, the newest first, with who, where and how it ended; those that failed are red, those that are up green."""
        self.model.resize(140, 30)
        self.failed()
        self.alice.take()
        self.bob.take()
        self.world.call(self.alice, self.bob, SDP, SDP)
        self.session.tick()
        screen = self.screen()
        self.assertIn("2 calls, 1 failed", screen[0])
        self.assertRegex(screen[2], r"INVITE +alice@example.test +bob@example.test +\d+ udp:192\.0\.2\.\d+:5060 +live")
        self.assertRegex(screen[3], r"INVITE .* failed")
        self.assertEqual(self.style(" live"), f"{CHOSEN} {GOOD}")
        self.press("down")
        self.assertEqual((self.style(" live"), self.style(" failed")), (GOOD, f"{CHOSEN} {BAD}"))

    def test_cursor_stays(self) -> None:
        """The cursor stays on its call when others come, and goes nowhere beyond the ends."""
        first = self.failed()
        self.session.tick()
        second = self.failed()
        self.session.tick()
        self.assertEqual((self.model.chosen, self.model.rows[0]["call_id"]), (first, second))
        self.press("down", "down", "pagedown")
        self.assertEqual(self.model.chosen, first)
        self.press("home", "up", "k")
        self.assertEqual(self.model.chosen, second)

    def test_search(self) -> None:
        """Words that are typed choose among the calls; Escape leaves it as it was."""
        self.failed()
        self.session.tick()
        self.press("/")
        self.type("problems bob")
        self.assertIn("search: problems bob", self.screen()[0])
        self.assertEqual(len(self.model.rows), 1)
        self.press("f3", *["backspace"] * 20)
        self.type("carol")
        self.assertIn("no call fits", self.screen()[2])
        self.press("/", "x", "escape")
        self.assertEqual((self.model.search, self.model.over), ("carol", False))

    def test_pause(self) -> None:
        """What is paused stays; then it goes on."""
        self.session.tick()
        self.press("p")
        self.failed()
        self.session.tick()
        self.assertEqual((self.model.rows, "paused" in self.screen()[0]), ([], True))
        self.press("p")
        self.session.tick()
        self.assertEqual(len(self.model.rows), 1)

    def test_nothing(self) -> None:
        """Without calls every key does no harm, and q ends it."""
        self.session.tick()
        self.assertIn("no call is recorded", self.screen()[2])
        self.press("enter", "down", "end", "e", "s", "space", "d", "left", "escape" if self.model.prompt else "x")
        self.assertEqual(self.model.view, CALLS)
        self.press("q")
        self.assertTrue(self.model.over)

    def test_help(self) -> None:
        """The keys are told by F1, and Escape comes back."""
        self.press("f1")
        self.assertEqual((self.model.view, "keys" in self.screen()[0]), (HELP, True))
        self.press("escape")
        self.assertEqual(self.model.view, CALLS)


class LadderTests(TopCase):
    """A call that is open."""

    def test_ladder(self) -> None:
        """Lanes have names, each message an arrow that goes the right way, and refusals are red."""
        self.opened()
        screen = self.screen()
        self.assertEqual(screen[1].split(), ["alice", "sipnode", "bob", "rtpengine"])
        invite = next(line for line in screen if "INVITE sip:bob@example.test" in line)
        self.assertRegex(invite, r"^ +0\.000 +\|-+>\|")
        answer = next(line for line in screen if "500" in line and "INVITE" in line and "<" in line)
        self.assertIn("<", answer)
        self.press("end")
        self.assertEqual(self.style("500 "), BAD)

    def test_grows(self) -> None:
        """A call that goes on grows while one looks, and the cursor stays at its end where it was there."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.session.tick()
        self.press("enter", "end")
        before = len(self.model.events)
        self.session.tick()
        self.assertEqual(self.asked.count("recorder.get"), 1)
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.session.tick()
        self.assertGreater(len(self.model.events), before)
        self.assertEqual(self.model.event, len(self.model.events) - 1)
        self.press("home")
        self.bob.reply(received, 486)
        self.session.tick()
        self.assertEqual((self.model.event, self.model.open_call), (0, invite.call_id))

    def test_message(self) -> None:
        """Enter shows the message under the cursor, with n the next; beside the ladder, where there is room."""
        self.opened()
        self.press("enter")
        screen = "\n".join(self.screen())
        self.assertEqual(self.model.view, MESSAGE)
        self.assertIn("INVITE sip:bob@example.test SIP/2.0", screen)
        self.assertIn("m=audio", screen)
        self.press("n")
        self.assertEqual(self.model.event, 1)
        self.press("end", "escape", "home")
        self.model.resize(160, 40)
        self.assertRegex("\n".join(self.screen()), r"\| Call-ID: ")

    def test_compare(self) -> None:
        """A marked message and another one: lines that are gone are red, new ones green."""
        self.opened()
        places = [place for place, event in enumerate(self.model.events) if event["method"] == "INVITE" and not event["status"]]
        self.press("space", *["down"] * (places[1] - places[0]), "space")
        self.assertEqual(self.model.view, DIFF)
        self.assertEqual((self.style("-INVITE sip:bob@example.test"), self.style("+Record-Route:")), (BAD, GOOD))
        self.press("escape")
        self.assertEqual((self.model.view, self.model.marked), (LADDER, -1))

    def test_changes(self) -> None:
        """What sipnode changed in a message that it passed on, and the line of the script that decided it."""
        self.opened()
        passed = next(place for place, event in enumerate(self.model.events) if event["of"] >= 0)
        self.press(*["down"] * passed, "d")
        self.assertEqual(self.model.view, DIFF)
        self.assertRegex(self.screen()[0], r"stage location: RELAYED \(script\.py:\d+\)")
        self.assertEqual(self.style("+Record-Route:"), GOOD)
        self.press("q", "home", "d")
        self.assertEqual((self.model.view, self.model.said), (LADDER, "sipnode didn't pass this on"))

    def test_only_messages(self) -> None:
        """What is no message can be left out, and the cursor stays near; times can be since the line before."""
        self.opened()
        everything = len(self.model.events)
        self.press("end", "o")
        self.assertTrue(0 < len(self.model.events) < everything)
        self.assertTrue(all(event["text"] for event in self.model.events))
        self.press("o", "t")
        self.screen()

    def test_why(self) -> None:
        """e says why it failed, from the list as from the ladder."""
        self.opened()
        self.press("e")
        self.assertEqual(self.model.view, WHY)
        self.assertIn("Card failed", "\n".join(self.screen()))
        self.press("escape", "escape", "e")
        self.assertIn("Card failed", "\n".join(self.screen()))

    def test_forgotten(self) -> None:
        """A call that had to make room meanwhile is said to be gone."""
        call_id = self.failed()
        self.session.tick()
        self.ring.forget(call_id)
        self.press("enter")
        self.assertEqual(self.model.view, CALLS)
        self.assertIn("not recorded", self.model.said)


class SaveTests(TopCase):
    """Files."""

    def save(self, name: str) -> Path:
        """Save the call under a name."""
        path = Path(self.mktemp()).absolute().with_suffix(name)
        self.press("f2", *["backspace"] * 200)
        self.type(str(path)[:200])
        return path

    def test_forms(self) -> None:
        """The end of the name says as what; the file is the user's alone."""
        self.opened()
        for suffix, begin in ((".pcap", b"\xd4\xc3\xb2\xa1"), (".json", b"{"), (".mmd", b"sequenceDiagram"), (".svg", b"<"), (".txt", b"")):
            path = self.save(suffix)
            self.assertEqual(self.model.said, f"saved: {path}")
            self.assertTrue(path.read_bytes().startswith(begin), suffix)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_refusals(self) -> None:
        """A file that is there stays, an unknown form is asked for again, and a folder that isn't there is said."""
        self.opened()
        path = self.save(".txt")
        before = path.read_bytes()
        self.press("s", *["backspace"] * 200)
        self.type(str(path))
        self.assertIn("File exists", self.model.said)
        self.assertEqual(path.read_bytes(), before)
        self.press("s", *["backspace"] * 200)
        self.type("call.doc")
        self.assertIsNotNone(self.model.prompt)
        self.press("escape", "s", *["backspace"] * 200)
        self.type("/nowhere/x.txt")
        self.assertIn("/nowhere/x.txt", self.model.said)

    def test_name(self) -> None:
        """The name that is offered is made of the Call-ID, and can't lead out of the folder."""
        self.opened()
        assert self.model.story is not None
        self.model.story["call_id"] = "../../etc/pass wd\x1b"
        self.press("s")
        assert self.model.prompt is not None
        self.assertEqual(self.model.prompt.text, "_.._etc_pass_wd_.pcap")


class HostileTests(TopCase):
    """Strangers, small terminals, a server that goes."""

    def test_escapes(self) -> None:
        """Whatever was in a message, no view has a control character, or is wider or longer than the terminal."""
        self.failed("界" * 80)
        invite = b"INVITE sip:%s@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
        invite += b"From: \"%s\" <sip:%s@example.test>;tag=1\r\nTo: <sip:bob@example.test>\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n\r\n"
        evil = HOSTILE.encode()
        self.world.sink.received(invite % (evil, evil, evil, b"evil\x1b[2J"), self.alice.flow)
        for width, height in ((20, 6), (80, 24), (200, 60), (47, 13)):
            self.model.resize(width, height)
            self.session.tick()
            for row in range(len(self.model.rows)):
                self.press("home", *["down"] * row)
                for keys in ("enter", "enter enter", "enter end d", "enter space down enter", "e", "f1", "s", "/"):
                    self.press(*keys.split())
                    self.screen()
                    while self.model.view != CALLS or self.model.prompt is not None:
                        self.press("escape")

    def test_junk_keys(self) -> None:
        """Every key in every view does no harm."""
        keys = ("up", "down", "pageup", "pagedown", "home", "end", "enter", "space", *"dotnNpüx", "f5", "f12", "\t")
        for view in ("", "enter", "e", "f1"):
            self.failed()
            self.session.tick()
            for key in keys:
                self.press(*([view] if view else []), key)
                self.screen()
                while self.model.view != CALLS or self.model.prompt is not None:
                    self.press("escape")
        self.assertFalse(self.model.over)

    def test_server_gone(self) -> None:
        """A server that stops is said to be gone, and found again when it is back."""
        self.opened()
        self.gone = True
        self.session.tick()
        self.assertIn("server", self.model.said)
        self.press("e")
        self.screen()
        self.gone = False
        self.press("escape")
        self.session.tick()
        self.assertEqual(self.model.view, LADDER)

    def test_off(self) -> None:
        """Where nothing is recorded it is said."""
        self.assertEqual(self.session.check(), "")
        self.insight.keeper = None
        self.assertIn("[recorder] enabled", self.session.check())


class PieceTests(TopCase):
    """Text in cells."""

    def test_fit(self) -> None:
        """Exactly so many cells, wide characters taking two."""
        for text in ("", "a", "abcdef", "界界界", "a\u0301" * 50, "x\x1by", "é" * 10):
            for width in range(1, 12):
                self.assertEqual(sum(map(cells, fit(text, width))), width, (text, width))

    def test_wrapped(self) -> None:
        """A long line loses nothing."""
        for text in ("abc" * 50, "界" * 31, "\tx", ""):
            self.assertEqual(re.sub(" ", "", "".join(wrapped(text, 7))), text.strip())

    def test_difference(self) -> None:
        """Lines that are gone, new and the same; two long messages don't take for ever."""
        self.assertEqual(difference("a\nb\nc\n", "a\nx\nc\n"), [(" ", "a"), ("-", "b"), ("+", "x"), (" ", "c")])
        self.assertLessEqual(len(difference("a\nb\n" * 20_000, "b\na\n" * 20_000)), 1200)

    def test_moved(self) -> None:
        """A cursor stays among the lines."""
        self.assertEqual([moved(key, 5, 10, 4) for key in ("up", "j", "pageup", "pagedown", "home", "G", "x")], [4, 6, 1, 9, 0, 9, 5])
        self.assertEqual(moved("down", 0, 0, 4), 0)
        self.assertEqual([window_start(100, place, 10) for place in (0, 50, 99)], [0, 45, 90])
        self.assertEqual(window_start(3, 2, 10), 0)
