"""What the doctor says where no real daemon can be brought to it: other machines, firewalls, very old daemons, what isn't rtpengine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sipnode import machine
from sipnode.check import doctor, relay
from sipnode.check.doctor import Report, examine
from sipnode.errors import ConfigError
from sipnode.machine import Process
from sipnode.media import ng
from sipnode.media.bencode import decode_dictionary, encode
from sipnode.media.daemon import LocalInterface, is_older, read_file, read_interface, read_options
from sipnode.settings import MediaSettings, RoutingSettings, Settings
from tests.check.test_asking import HOST, AskingCase
from tests.media.test_ports import statistics

GONE = 1
"""A port of loopback that nobody has."""


class DoctorCase(AskingCase):
    """A node of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(relay, "WAITS", (0.2,))
        self.patch(relay.Node.ask, "__defaults__", ((0.2,),))

    def examined(self, port: int, script: str = "", **media: Any) -> Report:
        """What is said of it."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "site.py").write_text(script)
        settings = Settings(media=MediaSettings(nodes=(f"{HOST}:{port}",), **media), routing=RoutingSettings(script="site.Script"))
        (report,) = examine(settings, folder, 180, 1000.0)
        return report

    def only(self, report: Report) -> str:
        """Its one trouble."""
        self.assertEqual(len(report.troubles), 1, report)
        return report.troubles[0].what

    def node(self, **replies: dict[str, Any]) -> int:
        """A peer that answers commands (``_`` stands for a blank) so, and all others with ok."""

        def answer(data: bytes) -> bytes:
            cookie, body = ng.split_reply(data)
            command = decode_dictionary(body)[b"command"]
            assert isinstance(command, bytes)
            said = replies.get(command.decode().replace(" ", "_"), {"result": "ok", "sdp": "v=0\r\nc=IN IP4 192.0.2.1\r\n", "calls": []})
            return cookie + b" " + encode(said)

        return self.peer(answer)


class SilenceTests(DoctorCase):
    """No answer."""

    def test_nobody_here(self) -> None:
        """Nobody has the port, and no rtpengine runs here."""
        self.patch(machine, "processes", lambda command: [])
        self.assertEqual(self.only(self.examined(GONE)), "no rtpengine runs on this machine")

    def test_firewall_here(self) -> None:
        """rtpengine has the port and is silent: a firewall, or it hangs."""
        port = self.peer(lambda data: b"")
        self.patch(machine, "owner_of", lambda port: Process(4711, "rtpengine", False))
        report = self.examined(port)
        self.assertEqual(self.only(report), "rtpengine (pid 4711) has the port and doesn't answer")
        self.assertIn("a firewall of this machine", report.troubles[0].remedy)

    def test_elsewhere(self) -> None:
        """On another machine a closed port is told from silence; of its processes nothing is said."""
        self.patch(machine, "is_local", lambda host: False)
        self.assertEqual(self.only(self.examined(GONE)), "nobody listens at that port of a machine that is there")
        self.assertEqual(self.only(self.examined(self.peer(lambda data: b""))), "no answer")

    def test_no_name(self) -> None:
        """A name without an address."""
        settings = Settings(media=MediaSettings(nodes=("no-such-name.invalid:2223",)))
        (report,) = examine(settings, Path(), 180, 0.0)
        self.assertIn("no-such-name.invalid has no address", self.only(report))

    def test_another_protocol(self) -> None:
        """What answers isn't the ng port."""
        self.patch(machine, "owner_of", lambda port: None)
        self.assertIn("isn't rtpengine's ng port", self.only(self.examined(self.peer(lambda data: b"SIP/2.0 400 Bad Request\r\n\r\n"))))


class AnswerTests(DoctorCase):
    """A node whose process can't be looked at."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(machine, "is_local", lambda host: False)

    def test_tells_nothing(self) -> None:
        """An old daemon without statistics and list: what it does tell is enough."""
        refused = {"result": "error", "error-reason": "Unrecognized command"}
        report = self.examined(self.node(statistics=refused, list=refused))
        self.assertEqual((report.troubles, report.about[-1]), ([], "an offer was taken, media goes to 192.0.2.1"))

    def test_hostile_names(self) -> None:
        """A Call-ID is whatever a caller wrote: none of its octets steers a terminal, and those that are no text don't stop the report."""
        old = {"result": "ok", "created": 0, "tags": {"a": {"tag": "a"}}}
        report = self.examined(self.node(list={"result": "ok", "calls": [b"\x1b[2Jx", b"\xff\xfe"]}, query=old))
        self.assertIn("?[2Jx (1000 s), ?? (1000 s)", self.only(report))

    def test_call_that_went(self) -> None:
        """A call that ended between the list and the question is left out, and the others are looked at all the same."""
        port, asked = self.node(), []

        def ask(node: Any, command: dict[str, Any], waits: Any = ()) -> Any:
            if command["command"] == "list":
                return {b"calls": [b"gone", b"old"]}
            if command["command"] == "query":
                asked.append(command["call-id"])
                if command["call-id"] == "gone":
                    raise ng.UnknownCall("Unknown call-id", 500)
                return {b"created": 0, b"tags": {}}
            return {b"result": b"ok", b"sdp": b""}

        self.patch(relay.Node, "ask", ask)
        self.assertIn("old (1000 s)", self.only(self.examined(port)))
        self.assertEqual(asked, ["gone", "old"])

    def test_few_left(self) -> None:
        """Less than a fifth of its ports is free."""
        port = self.node(statistics={key.decode(): value for key, value in statistics(50, 1000).items()})
        self.assertEqual(self.only(self.examined(port)), "only 50 of 1000 ports of 192.0.2.1 are free")

    def test_refused_there(self) -> None:
        """It counts free ports and opens none: its log has the cause, of which both are named."""
        refused = {"result": "error", "error-reason": "Ran out of ports"}
        report = self.examined(self.node(offer=refused))
        self.assertEqual(self.only(report), "an offer was refused: Ran out of ports")
        self.assertIn("Cannot assign requested address", report.troubles[0].remedy)

    def test_cannot_be_seen(self) -> None:
        """Of recording and versions it is said that they can't be seen from here: no trouble, and no all clear."""
        report = self.examined(self.node(), 'def x(b): b.rtpengine_manage("record-call=on bundle=strict")')
        self.assertEqual(report.troubles, [])
        self.assertIn("recording is asked for; whether it has a --recording-dir can't be seen from here", report.about)
        self.assertIn("flags in use need a version that can't be seen from here: bundle (14.0)", report.about)

    def test_wrong_words(self) -> None:
        """Words that are none stop it as they stop a start."""
        self.assertRaises(ConfigError, self.examined, GONE, 'def x(b): b.rtpengine_manage("trust-adress")')
        self.assertRaises(ConfigError, self.examined, GONE, "def x(:")


class OptionTests(AskingCase):
    """What an rtpengine was started with."""

    def test_command_line(self) -> None:
        """Long and short, with and without an equals sign, several times."""
        said = "-i a/192.0.2.1 --interface=b/192.0.2.2!198.51.100.1 -n2223 --port-min 30000 -f --table=-1"
        found = read_options(said.split())
        self.assertEqual(found, {"interface": ["a/192.0.2.1", "b/192.0.2.2!198.51.100.1"], "listen-ng": ["2223"], "port-min": ["30000"]})

    def test_file(self) -> None:
        """Its section of a configuration file; one that can't be read says nothing."""
        file = Path(self.mktemp())
        file.write_text("[rtpengine]\ninterface = a/192.0.2.1;b/192.0.2.2\nlisten-ng = 2223\ntable = -1\n[other]\nlisten-ng = 1\n")
        self.assertEqual(read_file(str(file), "rtpengine"), {"interface": ["a/192.0.2.1;b/192.0.2.2"], "listen-ng": ["2223"]})
        self.assertEqual((read_file(str(file), "gone"), read_file("/gone", "x")), ({}, {}))

    def test_interfaces(self) -> None:
        """Name, address and what others see."""
        self.assertEqual(read_interface("192.0.2.1"), LocalInterface("default", "192.0.2.1", ""))
        self.assertEqual(read_interface("x/[2001:db8::1]!2001:db8::2"), LocalInterface("x", "2001:db8::1", "2001:db8::2"))

    def test_versions(self) -> None:
        """By number, not by letter."""
        self.assertTrue(is_older("9.5.0", "10.5") and is_older("10.5.3.5", "11.3"))
        self.assertFalse(is_older("11.3.1", "11.3"))

    def test_stopped(self) -> None:
        """The state of this process."""
        self.assertFalse(machine.process(1).stopped)
        self.assertIsNone(machine.owner_of(GONE))
        self.assertEqual(doctor.PORTS_A_CALL, 4)
