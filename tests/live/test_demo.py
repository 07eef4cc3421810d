"""Tests of ``sipnode demo``, which is what ``make run`` runs: the real server and a real rtpengine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.demo import probes

RTPENGINE = shutil.which("rtpengine") or shutil.which("rtpengine", path="/usr/sbin:/usr/bin")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class DemoTests(SynchronousTestCase):
    """One command up, and all of it down again."""

    if RTPENGINE is None:
        skip = "rtpengine isn't installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.sip, self.http = free_port(socket.SOCK_DGRAM), free_port()

    def start(self) -> subprocess.Popen[str]:
        """Run it on ports of its own."""
        command = [sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())", "demo", "--folder", str(self.folder)]
        command += ["--sip-port", str(self.sip), "--http-port", str(self.http)]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(demo.communicate)
        self.addCleanup(demo.kill)
        return demo

    def welcome(self, demo: subprocess.Popen[str]) -> str:
        """What it says when everything answers."""
        assert demo.stdout is not None and demo.stderr is not None
        said = ""
        for line in demo.stdout:
            said += line
            if "Ctrl-C" in line:
                return said
        self.fail(f"it ended: {demo.stderr.read()}")
        raise AssertionError

    def ng(self) -> tuple[str, int]:
        """Where its rtpengine is driven."""
        host, port = config.load(str(self.folder)).media.nodes[0].split(":")
        return host, int(port)

    def test_up_and_down(self) -> None:
        """It prints an address and an account for each user once all answers; SIGTERM or Ctrl-C ends every part, with status 0."""
        accounts = []
        for ending in (signal.SIGTERM, signal.SIGINT):
            demo = self.start()
            said = self.welcome(demo)
            accounts.append(re.findall(rf"http://127\.0\.0\.1:{self.http}/#user=(\w+)&password=(\w+)&remember=1", said))
            self.assertEqual([name for name, _password in accounts[-1]], ["alice", "john"])
            for name, password in accounts[-1]:
                self.assertRegex(said, rf"user {name} +password {password}")
            self.assertTrue(probes.sip_server("127.0.0.1", self.sip))
            self.assertTrue(probes.web_page("127.0.0.1", self.http))
            self.assertTrue(probes.media_relay(*self.ng()))
            demo.send_signal(ending)
            self.assertEqual(demo.wait(20), 0)
            self.assertFalse(probes.sip_server("127.0.0.1", self.sip))
            self.assertFalse(probes.media_relay(*self.ng()))
        self.assertEqual(accounts[0], accounts[1], "the accounts stay the same")

    def test_taken_port(self) -> None:
        """A port that is taken is named, with who has it, before anything is started."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", self.sip))
            demo = self.start()
            _out, err = demo.communicate(timeout=20)
        self.assertEqual(demo.returncode, 1)
        self.assertIn(f"UDP port {self.sip} is taken by", err)
        self.assertIn(f"(process {os.getpid()})", err)
        self.assertNotIn("Traceback", err)

    def test_lost_part(self) -> None:
        """When the server dies, the demo ends too, says so, and leaves nothing behind."""
        demo = self.start()
        self.welcome(demo)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        names = {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in children}
        server = next(pid for name, pid in names.items() if not name.startswith("rtpengine"))
        os.kill(server, signal.SIGKILL)
        _out, err = demo.communicate(timeout=20)
        self.assertEqual(demo.returncode, 1)
        self.assertIn("sipnode has ended by itself", err)
        self.assertFalse(probes.media_relay(*self.ng()))
