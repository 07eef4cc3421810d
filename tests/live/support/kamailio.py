"""A real Kamailio of one test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.demo import probes

from . import postgres
from .site import HOST
from .waiting import until

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin"


def missing() -> str | None:
    """Why tests with it can't run here, or None. With CI set they run and fail."""
    if shutil.which("kamailio", path=_PATH) or os.environ.get("CI"):
        return postgres.missing()
    return "Kamailio is not installed"


class Kamailio:
    """One that isn't running yet.

    Args:
        script: Its configuration in this folder; ``DBURL`` in it becomes the database's.
        url: Of the database, as Kamailio writes it.
        port: Its UDP port on loopback. host: Another address of loopback.
        words: What else is to be replaced in the configuration, and by what.
    """

    def __init__(self, case: TestCase, script: str, url: str, port: int, host: str = HOST, **words: object) -> None:
        self.case = case
        self.port = port
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-k-"))
        case.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.log = self.folder / "log"
        self._conf = self.folder / "kamailio.cfg"
        text = (Path(__file__).parent / script).read_text().replace("DBURL", f'"{url}"')
        for word, value in words.items():
            text = text.replace(word, str(value))
        self._conf.write_text(text)

    async def start(self) -> Kamailio:
        """Up and answering."""
        program = shutil.which("kamailio", path=_PATH)
        assert program is not None, "Kamailio is not installed"
        command = [program, "-DD", "-E", "-f", str(self._conf), "-Y", str(self.folder), "-m", "32", "-M", "8"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [*command, "-l", f"udp:{self.host}:{self.port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.case.addCleanup(process.wait, 30)
        self.case.addCleanup(process.terminate)

        async def answers() -> bool:
            return bool(await deferToThread(probes.sip_server, self.host, self.port))

        await until(answers, self.log.read_text)
        return self
