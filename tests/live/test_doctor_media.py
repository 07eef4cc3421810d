"""``sipnode doctor media`` on a real rtpengine that is wrongly set up: each trouble has words of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode.check.relay import Node, Silent
from sipnode.demo.parts import rtpengine_command
from sipnode.media import ng
from sipnode.records import MediaKey

from .support.site import HOST, free_port, missing
from .test_rtpengine import free_range

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
NOT_HERE = "198.51.100.7"
"""Of a network for documentation (RFC 5737)."""


class DoctorCase(SynchronousTestCase):
    """A daemon, a configuration, and the command."""

    skip = missing("rtpengine")
    timeout = 60

    def setUp(self) -> None:
        self.ng = free_port(socket.SOCK_DGRAM)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def daemon(self, interface: str = HOST, count: int = 200, *more: str) -> subprocess.Popen[bytes]:
        """An rtpengine that answers."""
        self.first = free_range(count)
        command = rtpengine_command(interface, f"{HOST}:{self.ng}", (self.first, self.first + count - 1))
        log = (self.folder / "rtpengine.log").open("wb")
        self.addCleanup(log.close)
        running = subprocess.Popen([*command, *more], stdout=log, stderr=log)
        self.addCleanup(self.end, running)
        node = Node(HOST, self.ng)
        for _ in range(100):
            try:
                node.ask(ng.ping(), (0.1,))
                return running
            except Silent:
                if running.poll() is not None:
                    break
                time.sleep(0.05)  # Nothing else tells when a process listens.
        raise AssertionError((self.folder / "rtpengine.log").read_text("utf-8", "replace")[-2000:])

    def end(self, running: subprocess.Popen[bytes]) -> None:
        if running.poll() is None:
            running.send_signal(signal.SIGCONT)
            running.terminate()
        running.wait()

    def doctor(self, *lines: str, port: int = 0, stale: str = "180", exit_status: int = 1) -> str:
        """What the command prints."""
        text = ("[core]", 'domains = ["doctor.test"]', "[media]", f'nodes = ["{HOST}:{port or self.ng}"]', *lines)
        (self.folder / "sipnode.toml").write_text("\n".join(text) + "\n")
        command = [sys.executable, "-m", "sipnode", "doctor", "media", "-c", str(self.folder), "--stale", stale]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        asked = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, check=False)
        self.assertEqual((asked.returncode, asked.stderr), (exit_status, ""), asked.stdout)
        return asked.stdout

    def only(self, said: str, *words: str) -> None:
        """One trouble, with these words."""
        wrong = [line for line in said.splitlines() if "WRONG:" in line]
        self.assertEqual(len(wrong), 1, said)
        for word in words:
            self.assertIn(word, said)


class TroubleTests(DoctorCase):
    """One each."""

    def test_nothing(self) -> None:
        """A daemon that is right: its version, ports and calls, and that nothing is wrong."""
        running = self.daemon()
        said = self.doctor(exit_status=0)
        self.assertIn("nothing is wrong", said)
        self.assertRegex(said, rf"rtpengine [0-9.]+ \(pid {running.pid}\) answers, 0 calls")
        self.assertIn(f"ports {self.first} to {self.first + 199}, 200 of 200 free", said)
        self.assertEqual(Node(HOST, self.ng).ask(ng.list_calls())[b"calls"], [])

    def test_interface_not_here(self) -> None:
        """An address that the machine doesn't have: named as such, and not as a range without ports."""
        self.daemon(NOT_HERE)
        said = self.doctor()
        self.only(said, f"interface {NOT_HERE} is none of this machine's addresses", f"--interface=PRIVATE!{NOT_HERE}")
        self.assertIn("an offer was refused: Ran out of ports", said)

    def test_swapped(self) -> None:
        """The pair of addresses the wrong way about: the right one is written out."""
        self.daemon(f"{NOT_HERE}!{HOST}")
        self.only(self.doctor(), "is the wrong way about", f"--interface={HOST}!{NOT_HERE}")

    def test_small_range(self) -> None:
        """Eight ports: how many calls that is."""
        self.daemon(count=8)
        self.only(self.doctor(), "are 8, enough for 2 calls", "--port-min")

    def test_range_of_another(self) -> None:
        """A range that another process has ports of: who, and how many."""
        self.daemon()
        taken = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for number, each in enumerate(taken):
            self.addCleanup(each.close)
            each.bind((HOST, self.first + 2 * number))
        self.only(self.doctor(), f"(pid {os.getpid()}) has 3 ports of the range {self.first} to")

    def test_never_deleted(self) -> None:
        """Calls that were offered and neither answered nor deleted: how many ports they hold, and their Call-IDs."""
        self.daemon()
        node = Node(HOST, self.ng)
        for name in ("left@pbx", "other@pbx"):
            node.ask(ng.offer(MediaKey(name, "a"), SDP, {}))
        node.ask(ng.answer(MediaKey("other@pbx", "a", "b"), SDP, {}))
        said = self.doctor(stale="0")
        self.only(said, "1 call without an answer hold 4 ports: left@pbx", "rtpengine-ctl terminate")
        self.assertIn("nothing is wrong", self.doctor(exit_status=0))

    def test_no_recording_directory(self) -> None:
        """Recording is asked for, by setting or by word, and nowhere to record to: known before the first call."""
        self.daemon()
        for line in ("record_call = true", 'flags = "record-call=on"'):
            self.only(self.doctor(line), "without --recording-dir: calls go on unrecorded")

    def test_recording_directory(self) -> None:
        """With a folder nothing is said."""
        there = self.folder / "spool"
        there.mkdir()
        self.daemon(HOST, 200, f"--recording-dir={there}", "--recording-method=pcap")
        self.assertIn("nothing is wrong", self.doctor("record_call = true", exit_status=0))

    def test_wrong_port(self) -> None:
        """Another port than the daemon listens at: where it does."""
        running = self.daemon()
        said = self.doctor(port=free_port(socket.SOCK_DGRAM))
        self.assertIn(f"rtpengine (pid {running.pid}) runs on this machine and has {HOST}:{self.ng}", said)

    def test_port_of_another(self) -> None:
        """A port that another program has, which is silent: who it is."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, 0))
            port = other.getsockname()[1]
            self.only(self.doctor(port=port), f"port {port} is that of ", f"(pid {os.getpid()}), which isn't rtpengine")

    def test_stopped(self) -> None:
        """A daemon that is frozen."""
        running = self.daemon()
        running.send_signal(signal.SIGSTOP)
        self.only(self.doctor(), f"rtpengine (pid {running.pid}) is stopped", f"kill -CONT {running.pid}")

    def test_older_than_a_flag(self) -> None:
        """A word that this daemon is too old for, in the configuration or in a script."""
        self.daemon()
        self.only(self.doctor('flags = "early-media"'), "doesn't know the flag 'early-media' and leaves it out: 11.3")
        (self.folder / "site.py").write_text('class Script: pass\ndef x(b): b.rtpengine_manage("no-tls-id")\n')
        self.only(self.doctor("[routing]", 'script = "site.Script"'), "'no-tls-id'", "26.0")

    def test_interface_name(self) -> None:
        """An interface that the configuration names and the daemon doesn't have."""
        self.daemon(f"internal/{HOST}")
        said = self.doctor('interfaces = ["external ws wss", "internal all"]')
        self.only(said, "[media] interfaces has external, and rtpengine has internal")
