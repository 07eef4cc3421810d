"""What is compiled, whether it can be here, and doing it: the modules of :file:`compiled.txt` by mypyc, as one group.

Used by the build backend for wheels, by ``make run``, ``make compile``, ``make compiled`` and ``make bench``. What was made of one state of
the sources by one Python stands in ``build/native/…`` with a stamp and is taken again; no extension module ever lies in the checkout, where
it would hide what somebody edits. ``SIPNODE_COMPILE=0`` never compiles, ``1`` fails where it can't be; without it, what can't be compiled
stays pure Python, and a line says why.

``python backend/sipnode_compile.py`` makes it if need be and ends with the folder to run it from as the only line of its output (none where
it stays pure); with ``--beside`` it doesn't wait for what isn't there. ``--why-not`` only tells, by its status too, whether it could.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LIST = Path(__file__).resolve().with_name("compiled.txt")
LOCKS = ("compile.txt", "run.txt")
"""Below requirements/: the compiler, and what the sources import, for its types; in the versions that were tested."""
VARIABLE = "SIPNODE_COMPILE"
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
STAMP = "stamp"
_GROUP = "sipnode._native"
# Types are checked strictly by make lint; here they only have to be understood. Libraries that a server may lack are let be, others not:
# what comes from one that isn't found would have no type, and be slow without a word.
_SETTINGS = """
[mypy]
python_version = 3.11
plugins = mypy_zope:plugin
# What Twisted's Service says in functions without annotations: that its name is a text.
check_untyped_defs = True
[mypy-psycopg2.*,txpostgres.*]
ignore_missing_imports = True
[mypy-autobahn.*]
ignore_missing_imports = True
follow_untyped_imports = True
"""
LEAF = Path("sipnode/sip/_leaf.c")
"""The part in C, compiled with the modules."""
# -O3 takes twice as long as -O2 for the modules (100 MB of C), which are calls into the interpreter for the most part.
_SCRIPT = """
import sys
from mypyc.build import mypycify
from setuptools import Extension, setup

leaf = sys.argv.pop()

made = mypycify(["--config-file=mypyc.ini", *sys.argv.pop().split(",")], opt_level="2", debug_level="0", group_name=sys.argv.pop())
for each in made:
    # Another compiler's warnings are no reason to go without.
    each.extra_compile_args = [*each.extra_compile_args, "-Wno-error"]
made.append(Extension("sipnode.sip._leaf", [leaf], extra_compile_args=["-O3", "-g0"]))
setup(name="sipnode", packages=[], py_modules=[], ext_modules=made)
"""


class CompileError(Exception):
    """It can't be compiled; the text says why, in a line."""


def modules(top: Path = TOP, listed: Path | None = None) -> list[str]:
    """Paths of the modules to compile, relative to the top of the sources, sorted.

    Args:
        top: Of the sources.
        listed: The list, by default that of the sources.

    Raises:
        ValueError: a line of the list names nothing that is there.
    """
    package, found = top / "sipnode", set[Path]()
    for line in (listed or top / "backend" / LIST.name).read_text("utf-8").splitlines():
        pattern = line.partition("#")[0].strip()
        if not pattern:
            continue
        named = {path for path in package.glob(pattern.removeprefix("!")) if path.suffix == ".py" and path.name != "__init__.py"}
        if not named:
            raise ValueError(f"{LIST.name}: {pattern} names no module")
        found = found - named if pattern.startswith("!") else found | named
    return sorted(str(path.relative_to(top)) for path in found)


def forced() -> bool | None:
    """What :data:`VARIABLE` asks for: True, False, or None where it isn't set.

    Raises:
        CompileError: it is something else than 0 or 1.
    """
    text = os.environ.get(VARIABLE, "")
    if text not in ("", "0", "1"):
        raise CompileError(f"{VARIABLE}={text}: only 0 and 1 mean something")
    return text == "1" if text else None


def no_compiler() -> str:
    """Why C can't be compiled for this Python, "" where it can."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} isn't CPython"
    words = os.environ.get("CC", "") or str(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(words.split()[0]) is None:
        return f"no C compiler ({words.split()[0]})"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "no Python.h (on Debian: python3-dev)"
    return ""


def why_not() -> str:
    """Why nothing can be compiled here and now, "" where it can."""
    reason = no_compiler()
    if not reason:
        missing = [name for name in ("mypyc", "mypy_zope", "setuptools", "twisted") if importlib.util.find_spec(name) is None]
        reason = f"not installed: {', '.join(missing)} (requirements/compile.txt)" if missing else ""
    return reason


def requirements(top: Path = TOP) -> list[str]:
    """What has to be installed beside setuptools, each as ``name==version``, with its marker where it has one."""
    found = set[str]()
    for name in LOCKS:
        text = (top / "requirements" / name).read_text("utf-8").replace("\\\n", "")
        found.update(line.partition("--hash=")[0].strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return sorted(found)


def fingerprint(top: Path = TOP) -> str:
    """One number for everything that the result depends on (SHA-256, hexadecimal)."""
    digest = hashlib.sha256(f"{sys.version}\0{SUFFIX}\0{importlib.metadata.version('mypy')}\0{os.environ.get('CFLAGS', '')}\0".encode())
    sources = (path for path in (top / "sipnode").rglob("*") if path.suffix in (".py", ".pyi", ".c"))
    files = sorted(path for path in sources if "node_modules" not in path.parts)
    for path in (*files, top / "backend" / LIST.name, Path(__file__)):
        digest.update(str(path.relative_to(top) if path.is_relative_to(top) else path.name).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def place(top: Path = TOP) -> Path:
    """The folder of what this Python has compiled; ``lib`` below it can be put on the path."""
    # Two Pythons of one version may take each other's modules, and are compiled for each all the same: which is measured would be luck.
    build = hashlib.sha256(sys.version.encode()).hexdigest()[:8]
    return top / "build" / "native" / f"{SUFFIX.strip('.').removesuffix('.so')}-{build}"


def current(top: Path = TOP) -> Path | None:
    """The folder to run from, where the sources as they are now have been compiled; else None."""
    stamp = place(top) / STAMP
    if importlib.util.find_spec("mypy") is None or not stamp.is_file() or stamp.read_text() != fingerprint(top):
        return None
    return place(top) / "lib"


def make(top: Path = TOP) -> Path:
    """Compile what hasn't been yet; the folder to run from.

    Raises:
        CompileError: with the last lines that mypyc or the C compiler said.
    """
    reason = why_not()
    if reason:
        raise CompileError(reason)
    target = place(top)
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        # Two goals at once would write into each other's files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = current(top)
        if found is not None:
            return found
        wanted, names = fingerprint(top), modules(top)
        (target / STAMP).unlink(missing_ok=True)
        work = target / "work"
        _copy(top, work)
        _compile(work, names)
        lib = target / "lib"
        shutil.rmtree(lib, ignore_errors=True)
        _copy(work, lib)
        for path in binaries(work):
            shutil.copy(work / path, lib / path)
        for path in _others(top):
            (lib / path).parent.mkdir(parents=True, exist_ok=True)
            (lib / path).symlink_to(top / path)
        (target / STAMP).write_text(wanted)
    return lib


def leaf(folder: Path, *options: str) -> Path:
    """Compile the leaf alone, for its tests.

    Args:
        folder: Where to.
        options: For the C compiler.

    Raises:
        CompileError: it can't be.
    """
    reason = no_compiler()
    if reason:
        raise CompileError(reason)
    made = folder / f"_leaf{SUFFIX}"
    compiler = (os.environ.get("CC", "") or str(sysconfig.get_config_var("CC") or "cc")).split()
    command = [*compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", *options]
    command += [f"-I{sysconfig.get_path('include')}", str(TOP / LEAF), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr[-2000:])
    return made


def binaries(lib: Path) -> list[Path]:
    """The extension modules in a folder, relative to it."""
    return sorted(path.relative_to(lib) for path in (lib / "sipnode").rglob(f"*{SUFFIX}"))


def _copy(top: Path, target: Path) -> None:
    """The modules alone, in place of those that are there; what hasn't changed keeps its time, so that mypy's cache serves."""
    left_out = ("node_modules", "__pycache__", "static", "*.so", "dropin.cache")
    shutil.rmtree(target / "sipnode", ignore_errors=True)
    shutil.copytree(top / "sipnode", target / "sipnode", ignore=shutil.ignore_patterns(*left_out, "softphone"))


def _others(top: Path) -> list[Path]:
    """What isn't a module and is made or fetched: the page. It may change without anything being compiled anew."""
    return [Path("sipnode/web/static")] if (top / "sipnode/web/static").is_dir() else []


def _compile(work: Path, names: list[str]) -> None:
    """Have extension modules made beside the modules of a folder."""
    (work / "mypyc.ini").write_text(_SETTINGS)
    shutil.rmtree(work / "build", ignore_errors=True)
    (work / "failed.log").unlink(missing_ok=True)
    command = [sys.executable, "-c", _SCRIPT, "-q", "build_ext", "--inplace", _GROUP, ",".join(names), str(LEAF)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode or not binaries(work):
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        faults = [line for line in said if re.search(r"error:|Error: |fatal", line)]
        (work / "failed.log").write_text("\n".join(said))
        raise CompileError(f"{(faults or said or ['it ended without a word'])[0]} (all of it: {work / 'failed.log'})")


def attempt(top: Path = TOP, reason: str = "") -> Path | None:
    """What the variable asks for: the folder to run from, or None for pure Python, with a line on stderr that says why.

    Args:
        reason: Why this one isn't to be compiled whatever is here.

    Raises:
        CompileError: it was to be compiled by all means, and can't be.
    """
    asked, found = forced(), None
    if asked is False:
        say(f"pure Python: {VARIABLE}=0")
        return None
    try:
        if reason:
            raise CompileError(reason)
        found = None if why_not() else current(top)
        if found is not None:
            return found
        if not why_not():
            say(f"compiling {len(modules(top))} modules by mypyc, once for these sources: some minutes ({VARIABLE}=0 goes without)")
        began = time.monotonic()
        found = make(top)
        say(f"compiled in {time.monotonic() - began:.0f} s")
    except CompileError as error:
        if asked:
            raise
        say(f"pure Python: {error}")
    return found


def beside(top: Path = TOP) -> Path | None:
    """The folder to run from where it is there; else None, and it is compiled meanwhile at the lowest priority, for the next start.

    Raises:
        CompileError: as :func:`attempt`, which does it where ``SIPNODE_COMPILE`` is 1.
    """
    if forced() is not None or why_not():
        return attempt(top)
    found = current(top)
    if found is None:
        place(top).mkdir(parents=True, exist_ok=True)
        say(f"starts in pure Python and is compiled meanwhile, for the next start ({VARIABLE}=1: before this one, 0: not at all)")
        with (place(top) / "log").open("wb") as log:
            command = ["nice", "-n", "19", sys.executable, str(Path(__file__).resolve())]
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    return found


def say(text: str) -> None:
    """A line for people."""
    print(f"sipnode: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """0, or 1 where it can't be and was asked for."""
    parser = argparse.ArgumentParser(description="Compiles sipnode, where that can be.")
    parser.add_argument("--why-not", action="store_true", help="only say why it can't be, status 1; nothing and 0 where it can")
    parser.add_argument("--beside", action="store_true", help="don't wait: what isn't there yet is compiled in the background")
    options = parser.parse_args()
    if options.why_not:
        reason = no_compiler() if forced() is not False else f"{VARIABLE}=0"
        print(reason or "", end="\n" if reason else "")
        return 1 if reason else 0
    try:
        found = beside() if options.beside else attempt()
    except CompileError as error:
        say(f"it can't be compiled: {error}")
        return 1
    if found is not None:
        print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
