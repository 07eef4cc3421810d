"""``make compiled``: the unit and flow tests against the modules that are compiled, in a copy of the tree.

The copy is ``build/compiled``; no extension module ever lies in the checkout. What is compiled and how: ``backend/sipnode_compile.py``.
``--keep`` only makes the copy. The last line is ``N passed, N failed``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from harness import TOP, fresh
from run_tests import main as run_tests

sys.path.insert(0, str(TOP / "backend"))
import sipnode_compile  # the build backend's, and in no package

COPY = TOP / "build" / "compiled"
# What starts real peers, and what asks for files that the copy doesn't have: nothing of it is about code that is compiled.
LEFT_OUT = ("live", "__pycache__", "test_packaging", "test_supply", "test_deployment")
COPIED = ("sipnode", "tests", "tools", "bench", "docs", "conf", "tls", "twisted", "backend", "setup.cfg")


def build() -> None:
    """Compile what hasn't been yet, and put it into a copy of the tree."""
    try:
        lib = sipnode_compile.attempt()
    except (sipnode_compile.CompileError, ValueError) as error:
        sys.exit(f"it can't be compiled: {error}\n0 passed, 1 failed")
    if lib is None:
        sys.exit("0 passed, 1 failed")
    fresh(COPY)
    for name in COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, COPY / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "*.so", "dropin.cache"))
        else:
            shutil.copy(TOP / name, COPY)
    for path in sipnode_compile.binaries(lib):
        shutil.copy(lib / path, COPY / path)
    wanted = [name.removesuffix(".py").replace("/", ".") for name in sipnode_compile.modules()]
    where = f"import sys, importlib; [print(importlib.import_module(name).__file__) for name in {wanted!r}]"
    files = subprocess.run([sys.executable, "-c", where], cwd=COPY, capture_output=True, text=True, check=True).stdout.split()
    wrong = [name for name in files if not (name.startswith(str(COPY)) and name.endswith(".so"))]
    if wrong or len(files) != len(wanted):
        sys.exit(f"the compiled modules aren't the ones imported: {wrong}\n0 passed, 1 failed")
    print(f"{len(files)} modules are compiled", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="only make the copy")
    options = parser.parse_args()
    build()
    if options.keep:
        return 0
    names = [path.stem for path in sorted((COPY / "tests").iterdir()) if path.is_dir() or path.stem.startswith("test_")]
    names = [f"tests.{name}" for name in names if name not in LEFT_OUT]
    return run_tests(names, COPY)


if __name__ == "__main__":
    sys.exit(main())
