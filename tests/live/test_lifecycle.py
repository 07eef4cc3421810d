"""TERM and HUP under 50 calls a second; a service manager that keeps the sockets and waits for READY=1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python import log
from twisted.trial.unittest import TestCase

from sipnode import config
from sipnode.demo import ports
from sipnode.demo.parts import Part, server_command

from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until
from .test_sipp import BOTH, Sipp

reactor: Any = _reactor
RATE, CALLS = 50, 300
PORTS = 4 * CALLS
"""Enough for all at once, as it is on a machine that others keep busy."""


class UnderLoadTests(TestCase):
    """No call is lost: each is completed, or refused with 503 and Retry-After before it began."""

    timeout = 120
    skip = missing("rtpengine", "sipp")

    async def load(self, site: Site) -> Sipp:
        """50 calls a second, each half a second long, for six seconds."""
        port = free_port(*BOTH)
        phone = site.phone("bob")
        phone.contact = f"sip:bob@{HOST}:{port};transport=udp"
        self.assertEqual((await phone.register()).status, 200)
        Sipp(self, site, "uas", "udp", port, ())
        await until(lambda: not ports.is_free("udp", HOST, port), "SIPp listens")
        options = ("-m", str(CALLS), "-r", str(RATE), "-auth_uri", f"bob@{DOMAIN}", "-trace_logs", "-log_file", "refused.log")
        return Sipp(self, site, "uac_stop", "udp", free_port(*BOTH), options, callee="bob")

    async def finished(self, run: Sipp, what: str) -> int:
        """Nothing failed; gives how many were refused, and says it all in the test log."""
        status = await run.done
        figures = run.figures()
        file = run.folder / "refused.log"
        refused = file.read_text("utf-8", "replace").count("refused ") if file.exists() else 0
        log.msg(
            f"{what} under {RATE} calls/s: {CALLS} calls, {figures['SuccessfulCall(C)'] - refused} completed, {refused} refused with 503,"
            f" {figures['Retransmissions(C)']} messages repeated, calls lost {figures['FailedCall(C)']}"
        )
        self.assertEqual((figures["SuccessfulCall(C)"], figures["FailedCall(C)"]), (CALLS, 0), run.errors())
        self.assertEqual(status, 0, run.errors())
        return refused

    async def test_term(self) -> None:
        """kill -TERM, and the same command line as soon as it has ended: calls lost 0; it ended by itself, with status 0."""
        site = await Site(self, media_ports=PORTS).start()
        run = await self.load(site)
        await deferLater(reactor, 2.0)
        process = site.server.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        self.assertEqual(await deferToThread(process.wait, 30), 0)
        said = site.server.log.read_text()
        self.assertIn("calls and", said)
        self.assertIn("all has ended", said)
        await site.start_again()
        refused = await self.finished(run, "kill -TERM and a new start")
        self.assertGreater(refused, 0)
        await site.no_calls()

    async def test_hup(self) -> None:
        """kill -HUP three times, with another level and other limits each time: calls lost 0, none refused."""
        site = await Site(self, media_ports=PORTS).start()
        run = await self.load(site)
        file = site.folder / config.FILE_NAME
        process = site.server.process
        assert process is not None
        for level in ("debug", "warn", "info"):
            await deferLater(reactor, 1.2)
            file.write_text(file.read_text().replace("\nlevel = ", f'\nlevel = "{level}" # was '))
            process.send_signal(signal.SIGHUP)
        self.assertEqual(await self.finished(run, "kill -HUP three times"), 0)
        said = site.server.log.read_text()
        self.assertIn("read anew: log: debug", said)
        self.assertIn("read anew: log: info", said)
        await site.no_calls()

    async def test_broken_file(self) -> None:
        """HUP with a fault in the file changes nothing and says file, line, key and reason."""
        site = await Site(self).start()
        file = site.folder / config.FILE_NAME
        whole = file.read_text()
        file.write_text(whole.replace("\nlevel = ", '\nlevel = "loud" # was '))
        process = site.server.process
        assert process is not None
        process.send_signal(signal.SIGHUP)
        await until(lambda: "not taken: " in site.server.log.read_text(), "it says what is wrong")
        self.assertRegex(site.server.log.read_text(), r"sipnode\.toml:\d+: log\.level: has to be one of")
        file.write_text(whole)
        self.assertEqual((await site.phone("alice").register()).status, 200)


class ManagedPart(Part):
    """A process that gets sockets and a place to report to, as systemd gives them.

    Args:
        sockets: Become descriptors 3, 4, ...
        notify: Path of the socket for reports.
    """

    def __init__(self, command: list[str], log_file: Path, sockets: list[socket.socket], notify: str) -> None:
        # LISTEN_PID has to be the server's own, which only the process itself knows.
        super().__init__("sipnode", ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *command], log_file)
        self._sockets = sockets
        self._notify = notify

    def start(self) -> None:
        """As the service manager would."""
        count = len(self._sockets)
        copies = [os.dup(sock.fileno()) for sock in self._sockets]
        high = [os.dup2(copy, 200 + index) for index, copy in enumerate(copies)]
        environment = {**os.environ, "LISTEN_FDS": str(count), "NOTIFY_SOCKET": self._notify, "WATCHDOG_USEC": "400000"}

        def place() -> None:
            for index, number in enumerate(high):
                os.dup2(number, 3 + index)

        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment,
                preexec_fn=place, pass_fds=range(3, 3 + count),
            )  # fmt: skip
        for number in (*copies, *high):
            os.close(number)


class ManagedSite(Site):
    """A site whose sockets and reports are the test's."""

    def _new_server(self) -> Part:
        if not hasattr(self, "manager"):
            path = f"/tmp/sipnode-notify-{os.getpid()}-{self.sip}"
            self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.manager.bind(path)
            self.manager.setblocking(False)
            self.said: list[str] = []
            ports = ((socket.SOCK_DGRAM, self.sip), (socket.SOCK_STREAM, self.sip), (socket.SOCK_STREAM, self.http))
            self.sockets = [self._bound(kind, port) for kind, port in ports]
            for sock in (self.manager, *self.sockets):
                self.case.addCleanup(sock.close)
            self.case.addCleanup(os.unlink, path)
            self.path = path
        self._starts += 1
        return ManagedPart(server_command(self.folder), self.folder / f"sipnode-{self._starts}.log", self.sockets, self.path)

    def _bound(self, kind: int, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind((HOST, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(100)
        return sock

    def reports(self) -> list[str]:
        """Everything that was reported so far."""
        while True:
            try:
                self.said += self.manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.said


class ManagedTests(TestCase):
    """systemd's protocols: sd_listen_fds(3) and sd_notify(3)."""

    timeout = 90
    skip = missing("rtpengine")

    async def test_sockets_and_reports(self) -> None:
        """It serves on the sockets it was given, reports READY, RELOADING, READY, STOPPING and signs of life; and a REGISTER that is
        sent while no process is there gets its answer from the next one.
        """
        site = ManagedSite(self)
        await site.start()
        await until(lambda: "READY=1" in site.reports(), "READY=1")
        await until(lambda: site.reports().count("WATCHDOG=1") >= 2, "signs of life")
        process = site.server.process
        assert process is not None
        listing = [os.readlink(f"/proc/{process.pid}/fd/{name}") for name in os.listdir(f"/proc/{process.pid}/fd")]
        for sock in site.sockets:
            self.assertIn(f"socket:[{os.fstat(sock.fileno()).st_ino}]", listing)
        site.said.clear()
        process.send_signal(signal.SIGHUP)
        await until(lambda: "READY=1" in site.reports(), "READY=1 after RELOADING=1")
        words = [word.partition("=")[0] for word in site.said if not word.startswith("WATCHDOG")]
        self.assertEqual(words, ["RELOADING", "MONOTONIC_USEC", "READY", "STATUS"])
        site.said.clear()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(await deferToThread(process.wait, 20), 0)
        self.assertIn("STOPPING=1", site.reports())
        waiting = site.phone("alice").register()
        await deferLater(reactor, 0.3)
        await site.start_again()
        self.assertEqual((await waiting).status, 200)
        self.assertNotIn("no listener", site.server.log.read_text())
