"""The manhole with OpenSSH's client: who gets in, a scripted session, and what can't be done to the server by typing."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.python import log
from twisted.trial.unittest import TestCase

from sipnode.demo.probes import sip_server
from sipnode.manhole.keys import HOST_KEY
from sipnode.settings import ManholeSettings

from .support.site import DOMAIN, HOST, Site, free_port, missing

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[A-Za-z]|\r")


class ManholeTests(TestCase):
    """One server with a manhole."""

    timeout = 120
    skip = missing("rtpengine", "ssh", "ssh-keygen")

    async def setUp(self) -> None:
        self.port = free_port(socket.SOCK_STREAM)
        self.site = Site(self, manhole=ManholeSettings(listen=f"{HOST}:{self.port}"))
        self.folder: Path = self.site.folder
        for name in ("mine", "strange"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)], check=True)
        self.list_keys("mine")
        await self.site.start()

    def list_keys(self, *names: str) -> None:
        """Write authorized_keys."""
        file = self.folder / "authorized_keys"
        file.write_text("".join((self.folder / f"{name}.pub").read_text() for name in names))
        file.chmod(0o600)

    def ssh(self, *arguments: str, key: str = "mine", typed: str = "", options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """Exit status, output and complaints of the client; blocks."""
        command = ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / key), "-o", "IdentitiesOnly=yes"]
        for option in ("StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={self.folder}/known", "LogLevel=ERROR", *options):
            command += ["-o", option]
        # No agent of who runs the tests has a say.
        environment = {name: value for name, value in os.environ.items() if name not in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "DISPLAY")}
        flags = ["-tt"] if typed else []
        done = subprocess.run(
            [*command, *flags, f"operator@{HOST}", *arguments], input=typed.encode(), capture_output=True, timeout=60, env=environment
        )
        return done.returncode, _CONTROLS.sub("", done.stdout.decode()), done.stderr.decode()

    async def asked(self, source: str, **more: str) -> tuple[int, str, str]:
        """``ssh host 'source'``."""
        answer: tuple[int, str, str] = await deferToThread(lambda: self.ssh(source, **more))
        return answer

    async def test_session(self) -> None:
        """A scripted session at the prompt: the banner says what is there, and it is there, with the call that is up."""
        bob = await self.site.registered("bob")
        alice = await self.site.registered("alice")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        await call.outcome
        typed = "calls\nregistrations\ntransactions\nmedia\nservices\nlen(flows)\nhelp(reload)\n1/0\ncalls[0].caller\nexit()\n"
        status, text, complaints = await deferToThread(lambda: self.ssh(typed=typed))
        log.msg(text)
        self.assertEqual((status, complaints), (0, ""))
        for name in ("calls", "registrations", "flows", "transactions", "media", "services", "reload"):
            self.assertRegex(text, rf"(?m)^  {name} +\S", "the banner")
        self.assertRegex(text, rf"{call.call_id} +alice@{DOMAIN} +bob@{DOMAIN} +confirmed ")
        self.assertRegex(text, rf"(?m)^bob@{DOMAIN} +{re.escape(bob.contact)} ")
        self.assertRegex(text, r"(?m)^location +yes$")
        self.assertRegex(text, r"(?m)^n\w+ +yes +no +1 +127\.0\.0\.1$")
        self.assertIn("Read configuration, certificates and script anew", text)
        self.assertIn("ZeroDivisionError", text)
        self.assertIn(f"'alice@{DOMAIN}'", text)
        said = self.site.server.log.read_text()
        self.assertRegex(said, rf"operator from {HOST}:\d+: calls\n")
        await call.hang_up()

    async def test_commands(self) -> None:
        """``ssh host 'command'`` runs one and gives its output and an exit status; a Deferred is waited for."""
        self.assertEqual((await self.asked("calls"))[:2], (0, "no calls\n"))
        status, text, _ = await self.asked("rpc('rtpengine.ping', 'all')")
        self.assertEqual((status, text), (0, "url: all\nstatus: success\n"))
        status, text, _ = await self.asked("undefined_name")
        self.assertEqual((status, "NameError" in text), (1, True))
        status, text, _ = await self.asked("reload()")
        self.assertIn("read anew: ", text)
        await self.site.registered("alice")
        status, text, _ = await self.asked("print(registrations[0].aor)")
        self.assertEqual((status, text), (0, f"alice@{DOMAIN}\n"))

    async def test_strangers(self) -> None:
        """A key that isn't listed, or not any more, and a password: refused, and the log has no command of theirs."""
        self.assertEqual((await self.asked("calls", key="strange"))[0], 255)
        options = ("PubkeyAuthentication=no", "PreferredAuthentications=password,keyboard-interactive", "NumberOfPasswordPrompts=1")
        status, _, complaints = await deferToThread(lambda: self.ssh("calls", options=options))
        self.assertEqual((status, "Permission denied (publickey)" in complaints), (255, True), complaints)
        self.list_keys("strange")
        self.assertEqual((await self.asked("calls", key="strange"))[0], 0)
        self.assertEqual((await self.asked("calls", key="mine"))[0], 255)
        self.assertEqual(self.site.server.log.read_text().count(": calls\n"), 1)
        # Nothing but a session: no forwarding to what listens on this machine.
        forward = ("-o", "ExitOnForwardFailure=yes", "-R", f"{HOST}:0:{HOST}:{self.site.sip}")
        status, _, complaints = await deferToThread(lambda: self.ssh("calls", key="strange", options=()))
        self.assertEqual(status, 0)
        done = await deferToThread(
            subprocess.run,
            ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.folder / "strange"), "-o", "IdentitiesOnly=yes", "-o",
             f"UserKnownHostsFile={self.folder}/known", *forward, f"operator@{HOST}", "calls"],
            capture_output=True, timeout=60,
        )  # fmt: skip
        self.assertNotEqual(done.returncode, 0)

    async def test_what_is_typed_ends(self) -> None:
        """Endless loops, endless output and exceptions of every kind end where they were typed; the server goes on."""
        for source, words in (
            ("while True: pass", "TooLong"),
            ("while True: print('x' * 100)", "TooLong"),
            ("def f(): return f()\nf()", "RecursionError"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("input()", "not here"),
        ):
            status, text, _ = await self.asked(source)
            self.assertEqual((status, words in text), (1, True), source)
        self.assertEqual((await self.asked("raise SystemExit"))[0], 0)
        typed = "while True: print(1)\n\nraise SystemExit\n"
        self.assertEqual((await deferToThread(lambda: self.ssh(typed=typed)))[0], 0)
        self.assertTrue(await deferToThread(sip_server, HOST, self.site.sip, 5.0))

    async def test_host_key(self) -> None:
        """It is made at the first start for the server's user alone, and the next start has the same."""
        file = self.folder / HOST_KEY
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual((await self.asked("calls"))[0], 0)
        before = file.read_bytes()
        await deferToThread(self.site.server.stop)
        await self.site.start_again()
        # The client would refuse another key.
        self.assertEqual(((await self.asked("calls"))[0], file.read_bytes()), (0, before))
