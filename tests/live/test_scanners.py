"""SIPVicious against a server as it comes, from an address that nobody listed: what it finds, and when it is shut out."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from sipnode import config
from sipnode.demo.parts import Part, server_command
from sipnode.settings import CoreSettings, DefenceSettings, Settings, TLSSettings

from .support.site import DOMAIN, accounts, missing, passwords

reactor: Any = _reactor
SERVER = "127.0.0.50"
"""Not the address that the tools send from (127.0.0.1): what a server listens on is its own, and trusted."""
NEIGHBOUR = "127.0.0.3"
SCANNERS = DefenceSettings().scanners


class ScannerTests(TestCase):
    """The three tools one after another would do the same to a server on the open internet."""

    skip = missing("svmap", "svwar", "svcrack")
    timeout = 120

    async def serve(self, scanners: tuple[str, ...] = SCANNERS) -> None:
        """A server with the settings that it comes with, but that loopback is no friend."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((SERVER, 0))
            self.port = free.getsockname()[1]
        core = CoreSettings(domains=(DOMAIN,), listen=(f"udp:{SERVER}:{self.port}",))
        settings = Settings(core=core, defence=DefenceSettings(trusted=(), scanners=scanners), tls=TLSSettings(config="none"))
        (self.folder / config.FILE_NAME).write_text(config.render(settings))
        (self.folder / "sipnode.sqlite").write_bytes(accounts())
        self.log = self.folder / "sipnode.log"
        part = Part("sipnode", server_command(self.folder), self.log)
        part.start()
        self.addCleanup(deferToThread, part.stop)
        self.assertTrue(await deferToThread(part.wait_ready, lambda: self.answers(NEIGHBOUR), 30), part.last_words(20))

    def answers(self, source: str) -> bool:
        """Whether the server answers OPTIONS from an address of loopback."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind((source, 0))
            asker.settimeout(0.5)
            here = f"{source}:{asker.getsockname()[1]}"
            lines = [
                f"OPTIONS sip:{DOMAIN} SIP/2.0",
                f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{os.urandom(6).hex()}",
                f"From: <sip:asker@{DOMAIN}>;tag=1",
                f"To: <sip:{DOMAIN}>",
                f"Call-ID: {os.urandom(6).hex()}",
                "CSeq: 1 OPTIONS",
                "Max-Forwards: 70",
                "Content-Length: 0",
                "",
                "",
            ]
            asker.sendto("\r\n".join(lines).encode(), (SERVER, self.port))
            try:
                return asker.recv(65535).startswith(b"SIP/2.0 200 ")
            except OSError:
                return False

    async def run_tool(self, name: str, *options: str) -> str:
        """One of the tools to its end; what it said."""
        program = shutil.which(name)
        assert program is not None
        out, err, _ = await getProcessOutputAndValue(
            program, ["-p", str(self.port), *options, SERVER], env=os.environ, path=str(self.folder)
        )
        said: str = (out + err).decode("utf-8", "replace")
        return said

    def shut_out(self) -> list[str]:
        """Reasons, in the order of the log."""
        return re.findall(r"127\.0\.0\.1 is shut out for 600 s: (.*)", self.log.read_text("utf-8"))

    async def test_as_it_comes(self) -> None:
        """By the name that the tools bear they are shut out at their first packet, and find nothing at all; others are served."""
        await self.serve()
        for tool in (("svmap",), ("svwar", "-e", "100-110", "--force", "--maximumtime=2"), ("svcrack", "-u", "alice", "-r", "1-20")):
            self.assertIn("found nothing", await self.run_tool(*tool))
        self.assertEqual(self.shut_out(), ["scanner friendly-scanner"])
        self.assertEqual((self.answers("127.0.0.1"), self.answers(NEIGHBOUR)), (False, True))

    async def test_by_another_name(self) -> None:
        """A scanner that hides its name finds the server, learns of no user, and is shut out before it has guessed ten passwords; the
        right one, further down its list, is never tried."""
        await self.serve(())
        self.assertIn("sipnode", await self.run_tool("svmap"))
        said = await self.run_tool(
            "svwar", "-d", str(self.words("users.txt", ["100", "alice", "bob", "zoe"])), "--force", "--domain", DOMAIN
        )
        self.assertIn("found nothing", said)
        self.assertEqual(self.shut_out(), [])
        words = [f"guess{number}" for number in range(50)] + [passwords()["alice"]]
        options = ("-u", "alice", "-d", str(self.words("words.txt", words)), "--domain", DOMAIN, "--maximumtime=2")
        self.assertIn("found nothing", await self.run_tool("svcrack", *options))
        self.assertEqual(self.shut_out(), ["failed digests"])
        self.assertEqual((self.answers("127.0.0.1"), self.answers(NEIGHBOUR)), (False, True))

    def words(self, name: str, words: list[str]) -> Path:
        """A dictionary for a tool."""
        path = self.folder / name
        path.write_text("".join(f"{word}\n" for word in words))
        return path
