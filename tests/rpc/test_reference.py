"""The page with every method and what it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

SCRIPT = Path(__file__).parents[2] / "docs" / "rpc_reference.py"


class ReferenceTests(SynchronousTestCase):
    """``docs/reference/rpc_reference.rst``."""

    def test_up_to_date(self) -> None:
        """The page shows every method, with the answer that it gives today, which is of the shape that it promises."""
        if not SCRIPT.is_file():
            raise SkipTest("docs aren't part of this copy")
        # A process of its own: names that are made at random are the same only in one that has made none yet.
        done = subprocess.run([sys.executable, str(SCRIPT), "--check"], cwd=SCRIPT.parents[1], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.returncode), ("up to date\n", 0), done.stderr[-2000:])
