"""``make compiled``: the modules of backend/compiled.txt by mypyc, in a copy of the tree, and the tests against it.

The copy is ``build/compiled``; no extension module ever lies in the checkout. ``--keep`` builds without testing; a server that runs with
that folder first on its path (PYTHONPATH=build/compiled) is a compiled one. The last line is ``N passed, N failed``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness import TOP, fresh
from run_tests import main as run_tests

sys.path.insert(0, str(TOP / "backend"))
import sipnode_compile  # the build backend's, and in no package

COPY = TOP / "build" / "compiled"
COPIED = ("sipnode", "tests", "tools", "bench", "docs", "conf", "tls", "twisted", "backend", "setup.cfg")
BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup
setup(name="core", ext_modules=mypycify(["--config-file=setup.cfg", *sys.argv.pop().split(",")], opt_level="3"), packages=[], py_modules=[])
"""


def build() -> None:
    """Copy the tree and compile the core in the copy."""
    fresh(COPY)
    for name in COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, COPY / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "*.so", "dropin.cache"))
        else:
            shutil.copy(TOP / name, COPY)
    sources = sipnode_compile.modules(COPY)
    began = time.monotonic()
    command = [sys.executable, "-c", BUILD, "-q", "build_ext", "--inplace", ",".join(sources)]
    done = subprocess.run(command, cwd=COPY, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout[-6000:]}{done.stderr[-6000:]}\nmypyc refused the core\n0 passed, 1 failed")
    print(f"{len(sources)} modules compiled in {time.monotonic() - began:.0f} s")
    where = "import sipnode.sip.parser as one, sipnode.transaction.layer as two; print(one.__file__, two.__file__)"
    files = subprocess.run([sys.executable, "-c", where], cwd=COPY, capture_output=True, text=True, check=True).stdout.split()
    if not all(name.startswith(str(COPY)) and name.endswith(".so") for name in files):
        sys.exit(f"the compiled modules aren't the ones imported: {files}\n0 passed, 1 failed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="only build")
    options = parser.parse_args()
    build()
    if options.keep:
        return 0
    tests = Path(COPY / "tests")
    left_out = {"live", "__pycache__"}
    names = [f"tests.{path.stem}" for path in sorted(tests.iterdir()) if (path.is_dir() or path.stem.startswith("test_"))]
    names = [name for name in names if name.removeprefix("tests.") not in left_out | {"test_packaging"}]
    return run_tests(names, COPY)


if __name__ == "__main__":
    sys.exit(main())
