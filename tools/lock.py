"""``make lock``: fix the version and the hashes of every Python package that a goal of the Makefile installs, in ``requirements/*.txt``.

One resolution for all Pythons and machines that are supported (markers tell them apart), with the hashes of every file that the index has
for a version. It is done by uv, in an environment of its own; whoever installs needs nothing but pip. ``--check`` says whether the lock
files are of the requirements as setup.cfg and pyproject.toml have them, without network.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = TOP / "requirements"
OLDEST: Final = "3.11"
# Later ones don't take the name of txpostgres' archive.
UV: Final = "uv==0.11.0"
LOCKS: Final[dict[str, tuple[str, ...]]] = {
    # The widest first: the others take their versions from it.
    "dev": ("dev",),
    "server": ("postgres", "manhole"),
    "run": (),
    "web": ("web",),
    "compile": ("compile",),
    "build": (),
    "lock": (),
}
"""Lock files, with the extras that they cover beside what always is needed. ``build`` has what builds the package instead, ``lock`` uv."""


def wanted(name: str, top: Path = TOP) -> str:
    """What a lock file has to fulfil, as requirement lines."""
    if name == "build":
        return "\n".join(tomllib.loads((top / "pyproject.toml").read_text())["build-system"]["requires"])
    if name == "lock":
        return UV
    parser = configparser.ConfigParser()
    parser.read(top / "setup.cfg", "utf-8")
    base = "" if name in ("web", "compile") else parser["options"]["install_requires"]
    return "\n".join([base, *(parser["options.extras_require"][extra] for extra in LOCKS[name])]).strip()


def mark(name: str, top: Path = TOP) -> str:
    """The first line of a lock file: it changes with the requirements."""
    lines = sorted(set(filter(None, map(str.strip, wanted(name, top).splitlines()))))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return f"# Made by 'make lock' of requirements {digest}; not to be edited."


def stale(top: Path = TOP) -> list[str]:
    """Lock files that are absent or of other requirements."""
    found = []
    for name in LOCKS:
        file = top / "requirements" / f"{name}.txt"
        if not file.is_file() or file.read_text().partition("\n")[0] != mark(name, top):
            found.append(file.name)
    return found


def lock(keep: bool) -> None:
    """Resolve and write all files; ``keep`` leaves the versions that are there as far as they fulfil what is wanted."""
    work = TOP / ".work" / "lock"
    uv = work / "venv" / "bin" / "uv"
    if not uv.exists():
        venv.create(work / "venv", clear=True, with_pip=True)
        known = FOLDER / "lock.txt"
        what = ["--require-hashes", "-r", str(known)] if known.name not in stale() else [UV]
        subprocess.run([uv.with_name("python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *what], check=True)
    FOLDER.mkdir(exist_ok=True)
    for name in LOCKS:
        source, target = work / f"{name}.in", FOLDER / f"{name}.txt"
        source.write_text(wanted(name) + "\n")
        command = [str(uv), "pip", "compile", str(source), "--universal", "--python-version", OLDEST, "--generate-hashes", "--no-header"]
        command += ["--no-annotate", "--quiet", "--output-file", str(target)]
        if not keep:
            command.append("--upgrade")
        if name in ("server", "run", "compile", "build"):
            command += ["--constraints", str(FOLDER / "dev.txt")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "UV_NATIVE_TLS": "1"})
        target.write_text(f"{mark(name)}\n{target.read_text()}")
        print(f"requirements/{target.name}: {target.read_text().count('==')} packages")


def main() -> int:
    """0 when the lock files are fresh now."""
    parser = argparse.ArgumentParser(description="Lock files of Python packages.")
    parser.add_argument("--check", action="store_true", help="only say which are stale")
    parser.add_argument("--keep", action="store_true", help="keep versions that still do")
    given = parser.parse_args()
    if not given.check:
        lock(given.keep)
    old = stale()
    if old:
        print(f"stale: {', '.join(old)}; type make lock", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
