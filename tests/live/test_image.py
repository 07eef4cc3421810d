"""What the image's build steps do, in a fresh Debian of its own; there is no registry here to take a base image from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.python import log
from twisted.trial.unittest import TestCase

from .support.site import missing

TOP = Path(__file__).resolve().parent.parent.parent


class ImageTests(TestCase):
    """Containerfile."""

    timeout = 900
    skip = missing("debootstrap")

    async def test_steps(self) -> None:
        """Every step succeeds; what the image starts serves SIP and the page with settings by environment alone, isn't root, says to any
        address that it is well, and ends in time.
        """
        command = [sys.executable, str(TOP / "tools" / "image.py")]
        done = await deferToThread(lambda: subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False))
        log.msg(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("8 passed, 0 failed", done.stdout)
