"""``sipnode top`` in a pseudo terminal, beside a server with calls."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import struct
import sys
import termios
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from sipnode.settings import RecorderSettings

from .support.site import DOMAIN, HOST, Site, missing
from .support.waiting import until

reactor: Any = _reactor
ROWS, COLUMNS = 40, 140
PROGRAM = (sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())")
_CONTROLS = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78M])")


class Terminal(ProcessProtocol):
    """A program in a terminal of its own.

    Attributes:
        raw: All that it has written. ended: Fires with its exit status.
    """

    def __init__(self) -> None:
        self.raw = b""
        self.ended: Deferred[int] = Deferred()
        self._since = 0

    def outReceived(self, data: bytes) -> None:
        """It has written something."""
        self.raw += data

    def processEnded(self, reason: Any) -> None:
        """It has ended."""
        self.ended.callback(reason.value.exitCode)

    @property
    def text(self) -> str:
        """What it has written since the last keys, without what moves and colours."""
        return _CONTROLS.sub(b" ", self.raw[self._since :]).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Type."""
        self._since = len(self.raw)
        self.transport.write(keys.encode())

    async def shows(self, *words: str) -> None:
        """Wait until all these words have been drawn since the last keys; what stands there already is drawn again by Ctrl-L alone."""

        def drawn() -> bool:
            found = all(word in self.text for word in words)
            if not found:
                self.transport.write(b"\x0c")
            return found

        await until(drawn, lambda: f"{words} in {self.text[-3000:]!r}")


class TopTests(TestCase):
    """One operator."""

    timeout = 60
    skip = missing("rtpengine")

    def terminal(self, site: Site) -> Terminal:
        """``sipnode top`` of a site."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        made = Terminal()
        arguments = [*PROGRAM, "top", "-c", str(site.folder)]
        process = reactor.spawnProcess(made, PROGRAM[0], arguments, environment, usePTY=(master, slave, os.ttyname(slave)))

        def end() -> Deferred[int] | None:
            if made.ended.called:
                return None
            process.signalProcess("KILL")
            return made.ended

        self.addCleanup(end)
        return made

    async def test_a_call(self) -> None:
        """It has the call, its ladder, a message, what was changed in it and why it failed, and saves it; q ends it with status 0."""
        site = await Site(self, recorder=RecorderSettings(enabled=True)).start()
        alice = await site.registered("alice")
        terminal = self.terminal(site)
        await terminal.shows("calls, 0 failed")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        await call.outcome
        await terminal.shows(f"alice@{DOMAIN}", f"bob@{DOMAIN}", "1 failed")
        terminal.press("\r")
        await terminal.shows("alice", "sipnode", f"INVITE sip:bob@{DOMAIN}", "|--", "404")
        terminal.press("\r")
        await terminal.shows("Max-Forwards")
        terminal.press("e")
        await terminal.shows(f"bob@{DOMAIN} isn't registered")
        path = Path(self.mktemp()).absolute().with_suffix(".txt")
        terminal.press("s")
        await terminal.shows("save as")
        terminal.press("\x7f" * 80 + f"{path}\r")
        await terminal.shows("saved:")
        self.assertIn("404", path.read_text("utf-8"))
        terminal.press("qqqq")
        self.assertEqual(await terminal.ended, 0)

    async def test_escapes(self) -> None:
        """What a stranger writes into a message commands no terminal: neither a title nor a bell comes through."""
        site = await Site(self, recorder=RecorderSettings(enabled=True)).start()
        await site.registered("bob")
        evil = "\x1b]0;pwned\x07\x1b[8m"
        invite = (
            f"INVITE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
            f"From: \"{evil}\" <sip:eve{evil}@elsewhere.test>;tag=1\r\nTo: <sip:bob@{DOMAIN}>\r\nCall-ID: evil{evil}\r\n"
            f"CSeq: 1 INVITE\r\nSubject: {evil}\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(invite.encode(), (HOST, site.sip))
        terminal = self.terminal(site)
        await terminal.shows("pwned")
        for keys in ("\r", "\r", "e"):
            terminal.press(keys)
            await terminal.shows("pwned")
        for command in (b"\x1b]", b"\x07", b"\x1b[8m"):
            self.assertNotIn(command, terminal.raw)
        terminal.press("qqqq")
        self.assertEqual(await terminal.ended, 0)
