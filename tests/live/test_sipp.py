"""SIPp, which knows nothing of this project, registers and calls through the server, over UDP and over TCP."""

from __future__ import annotations

import csv
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from sipnode.demo import ports

from .support.site import DOMAIN, HOST, Site, free_port, missing, passwords
from .support.waiting import until

reactor: Any = _reactor
SCENARIOS = Path(__file__).parent / "sipp"
MODES = {"udp": "u1", "tcp": "t1"}
BOTH = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


class Sipp(ProcessProtocol):
    """One run of SIPp with a scenario of ours.

    Args:
        keys: What the scenario's ``[key]`` stand for.
        options: Further options.
    """

    def __init__(self, case: TestCase, site: Site, scenario: str, transport: str, port: int, options: tuple[str, ...], **keys: str) -> None:
        self.folder = Path(case.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        accounts = self.folder / "accounts.csv"
        accounts.write_text(f"SEQUENTIAL\nalice;[authentication username=alice password={passwords()['alice']}]\n")
        self.statistics = self.folder / "statistics.csv"
        command = ["sipp", f"{HOST}:{site.sip}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-t", MODES[transport]]
        command += ["-i", HOST, "-p", str(port), "-mp", str(free_port(socket.SOCK_DGRAM))]
        command += ["-inf", str(accounts), "-key", "domain", DOMAIN, "-nostdin", "-trace_err", "-trace_stat", "-stf", str(self.statistics)]
        command += ["-error_file", str(self.folder / "errors.log"), *options]
        for key, value in keys.items():
            command += ["-key", key, value]
        self.done: Deferred[int] = Deferred()
        self._ended = False
        environment = {**os.environ, "TERM": "dumb"}
        reactor.spawnProcess(self, shutil.which("sipp"), command, env=environment, path=str(self.folder))
        case.addCleanup(self.stop)

    def processEnded(self, reason: Any) -> None:
        self._ended = True
        self.done.callback(reason.value.exitCode)

    def stop(self) -> Any:
        """End it, if it hasn't ended."""
        if self._ended:
            return None
        self.transport.signalProcess("KILL")
        return self.done

    def figures(self) -> dict[str, int]:
        """Calls that succeeded and failed, and whatever else it counts."""
        with self.statistics.open() as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        return {name: int(last[name]) for name in ("SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)")}

    def errors(self) -> str:
        """What it wrote about its troubles."""
        file = self.folder / "errors.log"
        return file.read_text("utf-8", "replace")[:1500] if file.exists() else ""


class SippTests(TestCase):
    """0 failed."""

    timeout = 90
    skip = missing("rtpengine", "sipp")

    async def finished(self, run: Sipp, calls: int) -> None:
        """Wait for its end, and see that every call was good."""
        status = await run.done
        figures = run.figures()
        self.assertEqual((figures["SuccessfulCall(C)"], figures["FailedCall(C)"]), (calls, 0), run.errors())
        self.assertEqual(status, 0, run.errors())

    def load(self, calls: int, rate: int, digest_uri: str) -> tuple[str, ...]:
        """SIPp puts the server's address into its digest unless it is told which URI it asks for."""
        return ("-m", str(calls), "-r", str(rate), "-auth_uri", digest_uri)

    async def test_register(self) -> None:
        """REGISTER with MD5 digest, over UDP and TCP at once, each by a dialog of its own: two contacts are bound at the end."""
        site = await Site(self).start()
        runs = []
        for transport in MODES:
            port, load = free_port(*BOTH), self.load(200, 200, DOMAIN)
            runs.append(Sipp(self, site, "register", transport, port, load, contact_port=str(port)))
        for run in runs:
            await self.finished(run, 200)
        self.assertEqual(len(await site.phone("alice").bindings()), len(MODES))

    async def test_calls(self) -> None:
        """50 calls at 25 a second over UDP and as many over TCP: none fails, and the relay holds nothing afterwards."""
        site = await Site(self).start()
        runs = []
        for transport, callee in zip(MODES, ("bob", "carol"), strict=True):
            port = free_port(*BOTH)
            phone = site.phone(callee)
            phone.contact = f"sip:{callee}@{HOST}:{port};transport={transport}"
            self.assertEqual((await phone.register()).status, 200)
            Sipp(self, site, "uas", transport, port, ())
            await until(lambda transport=transport, port=port: not ports.is_free(transport, HOST, port), "SIPp listens")
            runs.append(Sipp(self, site, "uac", transport, free_port(*BOTH), self.load(50, 25, f"{callee}@{DOMAIN}"), callee=callee))
        for run in runs:
            await self.finished(run, 50)
        await site.no_calls()
