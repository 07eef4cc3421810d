"""A Kamailio and the store on one database: each reads what the other writes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from sipnode.records import Binding, LocationChange
from sipnode.storage.factory import open_storage
from sipnode.storage.initialize import init_database

from .support import postgres
from .support.waiting import until
from .test_postgres import Feed

reactor: Any = _reactor
_SCRIPT = Path(__file__).parent / "support" / "kamailio.cfg"


def _missing() -> str | None:
    if shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin:/usr/bin") or os.environ.get("CI"):
        return postgres.missing()
    return "Kamailio is not installed"


class KamailioTests(TestCase):
    """Kamailio with db_postgres in db_mode 3, which looks into the table for each message."""

    timeout = 120
    skip = _missing()

    async def setUp(self) -> None:
        self.cluster = postgres.shared()
        await self.cluster.ready()
        self.database = self.cluster.create()
        url = self.cluster.url(self.database)
        init_database(url, "")
        self.store = open_storage(url, "", reactor)
        await self.store.open()
        self.addCleanup(self.store.close)
        self.feed = Feed()
        self.store.location.watch(self.feed)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.free()
        self.run_kamailio(self.cluster.url(self.database, tls=True).partition("?")[0].replace("localhost", "127.0.0.1"))
        await until(lambda: self.ask("OPTIONS", "nobody", "probe"), lambda: self.log.read_text())

    def free(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    def run_kamailio(self, url: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="sipnode-k-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.log = folder / "log"
        script = folder / "kamailio.cfg"
        script.write_text(_SCRIPT.read_text().replace("DBURL", f'"{url}"'))
        program = shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert program is not None, "Kamailio is not installed"
        command = [program, "-DD", "-E", "-f", str(script), "-Y", str(folder), "-m", "32", "-M", "8", "-l", f"udp:127.0.0.1:{self.port}"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.terminate)

    def ask(self, method: str, user: str, call: str, *headers: str) -> str:
        """Send a request and take what has come so far; "" while there is nothing."""
        me = f"127.0.0.1:{self.socket.getsockname()[1]}"
        target = "sip:example.test" if method == "REGISTER" else f"sip:{user}@example.test"
        lines = [
            f"{method} {target} SIP/2.0", "Max-Forwards: 10", f"Via: SIP/2.0/UDP {me};branch=z9hG4bK{call}",
            f"From: <sip:{user}@example.test>;tag=1",
            f"To: <sip:{user}@example.test>", f"Call-ID: {call}", f"CSeq: 1 {method}", *headers, "Content-Length: 0", "", "",
        ]  # fmt: skip
        self.socket.sendto("\r\n".join(lines).encode(), ("127.0.0.1", self.port))
        try:
            while True:
                answer = self.socket.recv(65536).decode()
                if f"Call-ID: {call}" in answer:
                    return answer.split("\r\n", 1)[0]
        except (BlockingIOError, ConnectionRefusedError):
            return ""

    async def test_its_rows_are_ours(self) -> None:
        """Who registers with Kamailio is heard of at once, by its contact and until its expiry."""
        contact = "Contact: <sip:kim@192.0.2.77:5070;ob>;expires=600;q=0.5"
        await until(lambda: self.ask("REGISTER", "kim", "k1", contact, "User-Agent: Desk"), "Kamailio's 200")
        await until(lambda: self.feed.rows, "word of Kamailio's row")
        (row,) = await self.store.location.fetch("kim@example.test")
        self.assertEqual((row.contact, row.q, row.user_agent, row.call_id), ("sip:kim@192.0.2.77:5070;ob", 0.5, "Desk", "k1"))
        # Its time means the same moment to both, whatever the zone of this machine is.
        self.assertTrue(500 < row.expires - reactor.seconds() < 700, row.expires - reactor.seconds())
        await until(lambda: self.ask("REGISTER", "kim", "k2", contact.replace("600", "0")), "Kamailio's 200")
        await until(lambda: self.feed.gone == [("kim@example.test", row.ruid)], "word that it is gone")

    async def test_our_rows_are_its(self) -> None:
        """Who is registered with the store is found by Kamailio, and isn't when it is gone."""
        now = reactor.seconds()
        mine = Binding("sue@example.test", "sip:sue@192.0.2.88:5080", now + 600, "uloc-x-1", "c", 3, last_modified=now, connection_id="tok")
        await self.store.location.write([LocationChange(mine)])
        answer = await until(lambda: self.ask("OPTIONS", "sue", "s1"), "Kamailio's answer")
        self.assertEqual(answer, "SIP/2.0 200 sip:sue@192.0.2.88:5080")
        await self.store.location.write([LocationChange(mine, delete=True)])
        answer = await until(lambda: self.ask("OPTIONS", "sue", "s2"), "Kamailio's answer")
        self.assertEqual(answer, "SIP/2.0 404 Nobody")
