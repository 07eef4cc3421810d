"""The Python that a measured server runs on, with an environment of its own, and sipnode compiled for it.

Kamailio comes from the distribution, built with its optimisations; a Python that somebody built by hand without profile-guided
optimisation costs a third more. So the distribution's is taken where it does, and always named.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
SYSTEM = "/usr/bin/python3"


class Interpreter(NamedTuple):
    """A Python with what sipnode needs."""

    python: str
    name: str
    """For people."""

    def path(self, compiled: bool) -> str:
        """PYTHONPATH of a server on it.

        Raises:
            SystemExit: it is to be compiled and can't be.
        """
        if not compiled:
            return str(TOP)
        environment = {**os.environ, "SIPNODE_COMPILE": "1"}
        command = [self.python, str(TOP / "backend" / "sipnode_compile.py")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(f"{self.name}: sipnode can't be compiled; PURE=1 measures it as it is")
        return f"{done.stdout.strip()}:{TOP}"


def usable(python: str) -> str:
    """Its version, or "" where sipnode can't run on it in an environment of its own."""
    ask = "import sys, ensurepip, venv; print(sys.version.split()[0] if sys.version_info >= (3, 11) else '')"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def choose(wanted: str, work: Path) -> Interpreter:
    """The Python that was asked for, else the system's, else this one; with what sipnode needs installed, by hash.

    Raises:
        SystemExit: the one that was asked for doesn't do, or something can't be installed.
    """
    python = wanted or SYSTEM
    version = usable(python)
    if not version:
        if wanted:
            sys.exit(f"{wanted} isn't a Python of 3.11 or later with venv")
        return Interpreter(sys.executable, f"CPython {sys.version.split()[0]} ({sys.executable})")
    locks = [TOP / "requirements" / f"{name}.txt" for name in ("build", "run", "compile")]
    home = work / f"python-{version}-{hashlib.sha256(python.encode()).hexdigest()[:6]}"
    stamp, mark = home / "installed", hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    if not stamp.is_file() or stamp.read_text() != mark:
        print(f"-- an environment of {python} {version}", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        for lock in locks:
            subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--use-pep517", "-r", str(lock)], check=True)
        stamp.write_text(mark)
    return Interpreter(str(home / "bin" / "python"), f"CPython {version} ({python})")
