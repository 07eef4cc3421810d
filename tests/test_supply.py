"""Where the parts come from: every package that a goal of the Makefile installs is fixed by version and hash."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from sipnode.web.build import NPM_CI

TOP = Path(__file__).resolve().parents[1]
LOCKS = sorted((TOP / "requirements").glob("*.txt"))


def tool() -> ModuleType:
    """``tools/lock.py``."""
    spec = importlib.util.spec_from_file_location("lock", TOP / "tools" / "lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LockTests(SynchronousTestCase):
    """``requirements/*.txt``, ``package-lock.json`` and who reads them."""

    def test_fresh(self) -> None:
        """The lock files are of the requirements as they stand; a requirement that changes makes them stale."""
        lock = tool()
        self.assertEqual(lock.stale(), [], "type make lock")
        self.assertEqual([file.stem for file in LOCKS], sorted(lock.LOCKS))
        folder = Path(self.mktemp())
        (folder / "requirements").mkdir(parents=True)
        for name in ("setup.cfg", "pyproject.toml", *(f"requirements/{file.name}" for file in LOCKS)):
            (folder / name).write_bytes((TOP / name).read_bytes())
        self.assertEqual(lock.stale(folder), [])
        setup = folder / "setup.cfg"
        setup.write_text(setup.read_text().replace("    hypothesis>=6\n", "    hypothesis>=6.1\n"))
        self.assertEqual(lock.stale(folder), ["dev.txt"])
        setup.write_text(setup.read_text().replace("    autobahn>=", "    one-more\n    autobahn>="))
        self.assertEqual(lock.stale(folder), ["dev.txt", "server.txt", "run.txt"])

    def test_fixed(self) -> None:
        """Each line of a lock file names one version and has the hashes of its files, and no address to fetch from."""
        for file in LOCKS:
            entries = [line for line in file.read_text().replace("\\\n", "").splitlines() if line and not line.startswith("#")]
            self.assertTrue(entries, file.name)
            for entry in entries:
                self.assertRegex(entry, r"^[\w.-]+==[\w.+!]+( ; [^\\#]+?)?( +--hash=sha256:[0-9a-f]{64})+$", file.name)

    def test_installed_by_hash(self) -> None:
        """What installs packages for a goal takes them by hash, or is our own folder; nothing is built in a folder of its own."""
        calls = re.findall(r"^\t(?:SIPNODE_COMPILE=0 )?pip (.*)$", (TOP / "tools" / "setup.sh").read_text(), re.MULTILINE)
        self.assertEqual(len(calls), 3)
        for call in calls:
            self.assertTrue("--require-hashes" in call or call.endswith("--no-deps --no-build-isolation -e ."), call)
            self.assertTrue("--no-build-isolation" in call or "--only-binary :all:" in call, call)
        for text in ((TOP / "Makefile").read_text(), (TOP / ".ci" / "run").read_text()):
            self.assertNotIn("pip install", text)

    def test_node_packages(self) -> None:
        """The page's libraries have a hash each, come from no other place than the registry, and run no scripts when they are installed."""
        lock = json.loads((TOP / "sipnode" / "web" / "softphone" / "package-lock.json").read_text())
        packages = {name: entry for name, entry in lock["packages"].items() if name}
        self.assertTrue(packages)
        for name, entry in packages.items():
            self.assertRegex(entry.get("resolved", "https://registry.npmjs.org/"), r"^https://registry\.npmjs\.org/", name)
            self.assertRegex(entry["integrity"], r"^sha512-[A-Za-z0-9+/]{86}==$", name)
        self.assertEqual(NPM_CI[:2], ("ci", "--ignore-scripts"))
