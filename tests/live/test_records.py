"""Records of calls that failed outlive the server."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.settings import RecorderSettings

from .support.site import DOMAIN, Site, missing
from .support.waiting import until

PROGRAM = (sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())")


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
