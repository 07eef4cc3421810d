"""Making the page, with stand-ins for npm and the bundler."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import TestCase

from sipnode.web import build as builder
from sipnode.web.build import COPIED, BuildError, build, licences, source_files

ESBUILD = """#!/bin/sh
for word in "$@"; do case $word in
  --outdir=*) out=${word#--outdir=} ;;
  --metafile=*) meta=${word#--metafile=} ;;
esac; done
if grep -q FAULT app.js; then echo 'app.js:1: fault' >&2; exit 1; fi
cp app.js style.css "$out"
echo '{"inputs": {"app.js": {}, "node_modules/one/lib/one.js": {}, "node_modules/@two/deep/x.css": {}}}' > "$meta"
"""
NPM = """#!/bin/sh
echo "$@" >> @LOG@
mkdir -p node_modules/@esbuild/this-one/bin node_modules/one/lib node_modules/@two/deep
cp @TOOLS@/esbuild node_modules/@esbuild/this-one/bin/esbuild
echo '{"name": "one", "version": "1.0.0", "license": "MIT"}' > node_modules/one/package.json
echo 'Terms of one' > node_modules/one/LICENSE.md
echo '{"name": "@two/deep", "version": "2.0.0", "license": "ISC"}' > node_modules/@two/deep/package.json
"""


class BuildTests(TestCase):
    """build."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.sources = self.top / "softphone"
        self.sources.mkdir(parents=True)
        for name in ("app.js", "style.css", *COPIED, "package.json", "package-lock.json"):
            (self.sources / name).write_text(f"{name} of now")
        self.output = self.top / "static" / "build"
        self.log = self.top / "npm.log"
        tools = self.top / "tools"
        tools.mkdir()
        for name, text in (("npm", NPM), ("esbuild", ESBUILD)):
            (tools / name).write_text(text.replace("@LOG@", str(self.log)).replace("@TOOLS@", str(tools)))
            (tools / name).chmod(0o755)
        self.patch(shutil, "which", lambda name: str(tools / name))

    def installs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def test_builds_once(self) -> None:
        """The first build makes the whole page; with nothing changed there's nothing to do."""
        self.assertTrue(build(self.sources, self.output))
        names = {path.name for path in self.output.iterdir() if not path.name.startswith(".")}
        self.assertEqual({"app.js", "style.css", *COPIED, "licences.txt"}, names)
        self.assertFalse(build(self.sources, self.output))
        self.assertEqual(["ci --ignore-scripts --no-audit --no-fund --loglevel=error"], self.installs())
        self.assertEqual([self.output], list(self.output.parent.iterdir()))

    def test_changed_source(self) -> None:
        """A changed source is built again, without asking npm again."""
        build(self.sources, self.output)
        (self.sources / "app.js").write_text("newer")
        self.assertTrue(build(self.sources, self.output))
        self.assertEqual("newer", (self.output / "app.js").read_text())
        self.assertEqual(1, len(self.installs()))

    def test_changed_lock(self) -> None:
        """Another lock file brings other libraries."""
        build(self.sources, self.output)
        (self.sources / "package-lock.json").write_text("other versions")
        self.assertTrue(build(self.sources, self.output))
        self.assertEqual(2, len(self.installs()))

    def test_fault_leaves_what_was_there(self) -> None:
        """A source with a fault is told with the bundler's words, the page before stays whole, and nothing is left lying about."""
        build(self.sources, self.output)
        (self.sources / "app.js").write_text("FAULT")
        error = self.assertRaises(BuildError, build, self.sources, self.output)
        self.assertIn("app.js:1: fault", str(error))
        self.assertEqual("app.js of now", (self.output / "app.js").read_text())
        self.assertEqual([self.output], list(self.output.parent.iterdir()))

    def test_no_npm(self) -> None:
        """Without npm the message says how to get it."""
        self.patch(shutil, "which", lambda _: None)
        self.patch(builder.importlib.util, "find_spec", lambda _: None)
        error = self.assertRaises(BuildError, build, self.sources, self.output)
        self.assertIn("apt-get install npm", str(error))
        self.assertFalse(self.output.exists())

    def test_no_bundler_for_this_machine(self) -> None:
        """npm without a bundler that runs here is told as that."""
        (self.top / "tools" / "npm").write_text("#!/bin/sh\nmkdir -p node_modules\n")
        self.assertIn("no esbuild", str(self.assertRaises(BuildError, build, self.sources, self.output)))

    def test_sources_leave_libraries_out(self) -> None:
        """What npm installs isn't a source."""
        build(self.sources, self.output)
        self.assertEqual([], [path for path in source_files(self.sources) if "node_modules" in path.parts])

    def test_licences(self) -> None:
        """Each library of the bundle is named once, with its licence text, or its licence's name where it ships no text."""
        build(self.sources, self.output)
        text = licences(self.sources, ["node_modules/one/a.js", "node_modules/one/b.js", "node_modules/@two/deep/x.css", "app.js"])
        self.assertEqual(1, text.count("one 1.0.0"))
        self.assertIn("Terms of one", text)
        self.assertIn("@two/deep 2.0.0\n\nLicence: ISC", text)
