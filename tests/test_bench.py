"""Tests of ``bench/``: the replay that instructions are counted of, and what is made of the figures. Valgrind isn't needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import ends
import instructions
import interpreter

import replay
from sipnode.sip.parser import parse_message


class ReplayTests(TestCase):
    """Calls and REGISTERs of a whole server in memory."""

    def made(self, auth: bool, recorded: bool = False, media: bool = False) -> replay.Replay:
        """One server with its phones."""
        folder = Path(self.mktemp())
        folder.mkdir()
        one = replay.Replay(auth, folder, recorded, media)
        self.addCleanup(one.stop)
        return one

    def test_every_section_works(self) -> None:
        """With and without passwords, calls come up and end, REGISTERs get 200, and nothing is left behind them."""
        for kind in set(replay.SECTIONS.values()):
            one = self.made(kind.auth, kind.recorded, kind.media)
            names = [name for name, wants in replay.SECTIONS.items() if wants == kind]
            wanted = [word for name in names for word in ("", name + instructions.IDLE, "", name)]
            self.assertEqual(list(replay.sections({kind: one}, names, 3, 2)), wanted)
            self.assertEqual(one.server.calls.outcomes["completed"], 5)

    def test_the_same_again(self) -> None:
        """What the phones send doesn't depend on when it is, or on what was before."""
        first, second = self.made(False), self.made(False)
        sent: list[list[bytes]] = []
        for one in (first, second):
            received, noted = one._datagram, []

            def take(data: bytes, address: Any, received: Any = received, noted: list[bytes] = noted) -> None:
                noted.append(data if data[:4] in (b"INVI", b"REGI") else data[:4])
                received(data, address)

            one._datagram = take
            one.call()
            one.register()
            sent.append(noted)
        self.assertEqual(sent[0], sent[1])
        self.assertEqual([data[:4] for data in sent[0]], [b"INVI", b"SIP/", b"SIP/", b"ACK ", b"BYE ", b"SIP/", b"REGI"])

    def test_a_server_that_is_silent_is_no_fast_one(self) -> None:
        """Answers that don't come end the replay."""
        one = self.made(False)
        one._datagram = lambda data, address: None
        self.assertRaises(replay.Wrong, one.call)
        self.assertRaises(replay.Wrong, one.register)

    def test_a_server_that_refuses_is_no_fast_one(self) -> None:
        """Nor do other answers than the wanted ones count."""
        one = self.made(True)
        self.assertTrue(one.server.core.authenticator._enabled)
        for phone in (*one.callers, *one.callees):
            phone.user += b"x"
        self.assertRaises(replay.Wrong, one.call)
        self.assertRaises(replay.Wrong, one.register)

    def test_calls_that_the_server_knows_nothing_of(self) -> None:
        """Each call has its outcome in the server's own books."""
        one = self.made(False)
        one.call()
        one.settle()
        one.check()
        one.server.calls.outcomes.clear()
        self.assertRaises(replay.Wrong, one.check)


FILE = '["cpython 3.11.7 x86_64 pure"]\ncall = { instructions = 2_000_000, reason = "the first" }\n'


class FiguresTests(SynchronousTestCase):
    """The file of figures and the verdict."""

    def test_round_trip(self) -> None:
        """What is written is read again, quotes and all."""
        figures = {"one": {"call": instructions.Known(12_345, 'it is "safer" \\ now')}, "two": {"register": instructions.Known(7, "new")}}
        self.assertEqual(instructions.read_figures(instructions.render(figures)), figures)

    def test_the_file_of_the_project(self) -> None:
        """It can be read, and has every section of the replay."""
        figures = instructions.read_figures(instructions.FILE.read_text("utf-8"))
        self.assertTrue(figures)
        for build, sections in figures.items():
            self.assertEqual(set(sections), set(replay.SECTIONS), build)
        self.assertEqual(set(instructions.SECTIONS), set(replay.SECTIONS))

    def test_a_figure_needs_a_reason(self) -> None:
        """An empty one is none."""
        self.assertRaises(ValueError, instructions.read_figures, FILE.replace("the first", " "))
        self.assertRaises(KeyError, instructions.read_figures, FILE.replace(', reason = "the first"', ""))

    def test_growth(self) -> None:
        """More than 3 % is a failure, less isn't, and a fall is pointed out."""
        known = instructions.Known(1000, "was so")
        self.assertTrue(instructions.judge("call", 1031, known).grown)
        self.assertFalse(instructions.judge("call", 1029, known).grown)
        self.assertFalse(instructions.judge("call", 900, known).grown)
        self.assertIn("--accept", instructions.judge("call", 900, known).line)
        self.assertNotIn("--accept", instructions.judge("call", 990, known).line)

    def test_another_interpreter(self) -> None:
        """It is measured, and fails at nothing."""
        verdict = instructions.judge("call", 10**9, None)
        self.assertFalse(verdict.grown)
        self.assertIn("no figure for this interpreter", verdict.line)

    def test_accepting(self) -> None:
        """What has moved gets the reason, what hasn't keeps its own."""
        known = {"call": instructions.Known(1000, "old"), "register": instructions.Known(1000, "old")}
        kept = instructions.accepted(known, {"call": 1200, "register": 1004, "call_auth": 5}, "why")
        self.assertEqual(kept["call"], instructions.Known(1200, "why"))
        self.assertEqual(kept["register"], instructions.Known(1000, "old"))
        self.assertEqual(kept["call_auth"], instructions.Known(5, "why"))

    def test_dumps(self) -> None:
        """The totals of valgrind's files are found by the names that the replay gives them."""
        folder = Path(self.mktemp())
        folder.mkdir()
        lines = "# callgrind format\n\ndesc: Trigger: Client Request: call\n\nevents: Ir\nsummary: 1\n" + "1 2\n" * 5000 + "totals: 4711\n"
        (folder / "dump.1").write_text(lines)
        (folder / "dump.2").write_text(lines.replace("Client Request: call", "Client Request: register").replace("4711", "12"))
        (folder / "dump.3").write_text(lines.replace("Client Request: call", "Program termination"))
        self.assertEqual(instructions.totals(folder), {"call": 4711, "register": 12})
        self.assertEqual(instructions.dump_of(folder, "register").name, "dump.2")


class InterpreterTests(SynchronousTestCase):
    """The Python that ``make bench`` runs our server on."""

    def python(self, answer: str) -> str:
        """A program that answers so for a Python."""
        file = Path(self.mktemp()).absolute()
        file.write_text(f"#!/bin/sh\n{answer}\n")
        file.chmod(0o755)
        return str(file)

    def test_usable(self) -> None:
        """One of 3.11 or later that can make an environment is; no other, and nothing that isn't there."""
        self.assertEqual(interpreter.usable(sys.executable), sys.version.split()[0])
        self.assertEqual(interpreter.usable(self.python("echo 3.99.1")), "3.99.1")
        for other in (self.python("echo"), self.python("exit 1"), "/nowhere/python3"):
            self.assertEqual(interpreter.usable(other), "")

    def test_choice(self) -> None:
        """One that was asked for and doesn't do is an error; where the system's doesn't, it is this one, and named."""
        self.assertIn("isn't a Python", str(self.assertRaises(SystemExit, interpreter.choose, "/nowhere/python3", Path("work"))))
        self.patch(interpreter, "SYSTEM", "/nowhere/python3")
        chosen = interpreter.choose("", Path("work"))
        self.assertEqual(chosen.python, sys.executable)
        self.assertIn(sys.version.split()[0], chosen.name)

    def test_path(self) -> None:
        """Pure Python is the checkout; where it is to be compiled and can't be, that is an error."""
        self.assertEqual(interpreter.Interpreter(sys.executable, "this").path(False), str(interpreter.TOP))
        ended = self.assertRaises(SystemExit, interpreter.Interpreter(self.python("exit 1"), "that").path, True)
        self.assertIn("that: sipnode can't be compiled", str(ended))


class EndsTests(SynchronousTestCase):
    """The callers of ``make bench-media``."""

    def setUp(self) -> None:
        self.ends = ends.Ends()
        self.addCleanup(self.ends.close)
        self.sent: list[tuple[str, ends.Message]] = []
        self.patch(self.ends, "_send", lambda record, method, cseq, body="", branch="": self.sent.append((method, cseq)))
        self.ends._invite(10)
        ((self.call_id, self.record),) = self.ends.records.items()

    def answer(self, status: int, cseq: str = "1 INVITE", body: str = "") -> None:
        """A response comes to the caller."""
        text = (
            f"SIP/2.0 {status} X\r\nTo: <sip:bob@bench.test>;tag=b\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq}\r\n"
            f"Record-Route: <sip:a;lr>, <sip:b;lr>\r\nContact: <sip:bob@127.0.0.1:1>\r\n\r\n{body}"
        )
        self.ends._to_caller(ends.read(text.encode()))

    def test_answered(self) -> None:
        """An answer is acknowledged and makes a dialog; a second offer and a BYE that comes are noted."""
        self.answer(180)
        self.answer(200, body="v=0\r\nm=audio 30002 RTP/AVP 8\r\n")
        record = self.record
        self.assertEqual((record.up, record.port, record.target), (True, 30002, "sip:bob@127.0.0.1:1"))
        self.assertEqual(record.routes, ["<sip:b;lr>", "<sip:a;lr>"])
        self.answer(200, "2 INVITE", "m=audio 35002 RTP/AVP 8\r\n")
        self.assertEqual((record.again, record.again_port), (200, 35002))
        bye = f"BYE sip:x SIP/2.0\r\nVia: y\r\nTo: z;tag=c\r\nCall-ID: {self.call_id}\r\nReason: SIP;cause=503\r\n\r\n"
        self.patch(ends, "SERVER", ("127.0.0.1", 9))
        self.ends._to_caller(ends.read(bye.encode()))
        self.assertEqual((record.up, record.reason), (False, "SIP;cause=503"))
        self.assertEqual(self.sent, [("INVITE", 1), ("ACK", 1), ("ACK", 2)])

    def test_refused(self) -> None:
        """A refusal is acknowledged and isn't a dialog."""
        self.answer(503)
        self.assertEqual((self.record.status, self.record.up, self.record.target, self.record.to), (503, False, "", ""))
        self.assertEqual(self.sent, [("INVITE", 1), ("ACK", 1)])

    def test_requests_are_sip(self) -> None:
        """What probes send is read by our own parser."""
        for make, method in ((ends.register, "REGISTER"), (ends.options, "OPTIONS")):
            request = parse_message(make("probe", "127.0.0.1:5070", "x", 7))
            self.assertEqual((request.method, request.cseq), (method, 7))
