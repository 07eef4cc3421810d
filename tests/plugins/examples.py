"""The example projects of the manual, installed by pip into a folder of this run."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@functools.cache
def installed() -> Path:
    """The folder that both are installed in, by pip as an operator does it, without a network.

    Raises:
        SkipTest: this copy has no docs.
    """
    if not EXAMPLES.is_dir():
        raise SkipTest("docs aren't part of this copy")
    work = Path(tempfile.mkdtemp(prefix="sipnode-examples-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    # What a build leaves behind isn't for the checkout.
    sources = [shutil.copytree(each, work / each.name) for each in sorted(EXAMPLES.iterdir()) if (each / "pyproject.toml").is_file()]
    target = work / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", target, *sources], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return target
