"""Records of calls that failed outlive the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.settings import RecorderSettings

from .support.site import DOMAIN, HOST, Site, missing
from .support.waiting import until

PROGRAM = (sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())")


class HandshakeTests(TestCase):
    """A browser whose page comes from elsewhere."""

    timeout = 60
    skip = missing("rtpengine")

    async def test_origin(self) -> None:
        """Its WebSocket is refused, and the command says why and what to write."""
        site = await Site(self, recorder=RecorderSettings(enabled=True)).start()

        def knock() -> bytes:
            with socket.create_connection((HOST, site.http), 10) as browser:
                head = (
                    f"GET / HTTP/1.1\r\nHost: {HOST}:{site.http}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\nOrigin: https://app.example.org\r\n\r\n"
                )
                browser.sendall(head.encode())
                return browser.recv(4096)

        self.assertTrue((await deferToThread(knock)).startswith(b"HTTP/1.1 403 "))
        command = [*PROGRAM, "explain", f"websocket:{HOST}", "-c", str(site.folder)]
        done = await deferToThread(subprocess.run, command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("comes from the Origin https://app.example.org", done.stdout)
        self.assertIn("[transport] origins = ['self', 'https://app.example.org']", done.stdout)


class RecordsTests(TestCase):
    """A server that is killed."""

    timeout = 60
    skip = missing("rtpengine")

    async def test_killed(self) -> None:
        """After kill -9 the call is explained without a server, by the next one too, and no password is on the disk."""
        site = await Site(self, recorder=RecorderSettings(enabled=True, folder="failed")).start()
        alice = await site.registered("alice")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 404)

        async def kept() -> bool:
            return bool((await site.rpc("recorder.state"))["kept"])

        await until(kept, "the call is on the disk")
        why = await site.rpc("sipnode.explain", (await site.rpc("recorder.list", 1, "problems"))[0]["call_id"])
        await site.kill()
        command = [*PROGRAM, "explain", why["call_id"], "-c", str(site.folder)]
        done = await deferToThread(subprocess.run, command, capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout.split("\n")[0]), (0, why["sentence"]), done.stderr)
        await site.start_again()

        async def found() -> bool:
            return bool((await site.rpc("recorder.state"))["kept"])

        await until(found, "the next server has listed the folder")
        self.assertEqual(await site.rpc("sipnode.explain", why["call_id"]), why)
        (name,) = os.listdir(site.folder / "failed")
        self.assertNotRegex((site.folder / "failed" / name).read_text(), r"response=\\?\"?[0-9a-f]{32}")
