"""A real Asterisk of one test: a PBX of a few numbers, each of which has a password and may register."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.demo import ports, probes

from .waiting import until

ROOT = Path(__file__).parents[3] / ".work" / "asterisk" / "root"
"""Where ``tools/asterisk.sh`` unpacked it."""

_ACCOUNT = """
[{user}](account)
auth = {user}
aors = {user}

[{user}]
type = auth
auth_type = userpass
username = {user}
password = {password}
realm = {domain}

[{user}]
type = aor
max_contacts = 2
remove_existing = yes
support_path = yes
"""


def missing() -> str | None:
    """Why tests with it can't run here, or None. With CI set they run and fail."""
    return None if ROOT.parent.joinpath("complete").exists() or os.environ.get("CI") else "tools/asterisk.sh has not run"


class Asterisk:
    """One that isn't running yet.

    Args:
        host: Its address of loopback. port: Its UDP port there.
        domain: Whose phones it has, and the realm that it asks for.
        accounts: Its numbers, with their passwords.
    """

    def __init__(self, case: TestCase, domain: str, host: str, port: int, accounts: dict[str, str]) -> None:
        self.case = case
        self.host, self.port = host, port
        # As short as the name of a UNIX socket has to be.
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-a-"))
        case.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.log = self.folder / "log"
        first, last = ports.free_range(27000, 100)
        words = {"FOLDER": self.folder, "ROOT": ROOT, "HOST": host, "PORT": port, "DOMAIN": domain, "FIRST": first, "LAST": last}
        for conf in Path(__file__).with_name("asterisk_conf").iterdir():
            text = conf.read_text()
            for word, value in words.items():
                text = text.replace(word, str(value))
            (self.folder / conf.name).write_text(text)
        with (self.folder / "pjsip.conf").open("a") as pjsip:
            for user, password in accounts.items():
                pjsip.write(_ACCOUNT.format(user=user, password=password, domain=domain))

    async def start(self) -> Asterisk:
        """Up and answering."""
        # With the C library that it was built for.
        library = next((ROOT / "lib").glob("*/ld-linux*"))
        paths = [f"{ROOT}/usr/lib/{library.parent.name}", str(library.parent), f"{ROOT}/usr/lib"]
        command = [str(library.resolve()), "--library-path", ":".join(paths), f"{ROOT}/usr/sbin/asterisk"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [*command, "-f", "-C", str(self.folder / "asterisk.conf")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

        def stop() -> None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

        self.case.addCleanup(deferToThread, stop)

        async def answers() -> bool:
            return bool(await deferToThread(probes.sip_server, self.host, self.port))

        await until(answers, self.log.read_text)
        return self


def free_port() -> int:
    """A UDP port that is free on each address of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
