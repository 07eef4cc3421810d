"""Distributions that a test makes up: modules and metadata in a folder on the path."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ADDS = "from zope.interface import implementer\nfrom sipnode.interfaces import *\n"
STAGE = f"""{ADDS}
@implementer(IRequestStage)
class Stage:
    name = "guard"
    after = ("auth",)
    before = ()
    methods = None
    def process(self, ctx):
        return None

stage = Stage()
"""


class InstalledCase(SynchronousTestCase):
    """A test with a folder of its own on the path."""

    def setUp(self) -> None:
        self.site = Path(self.mktemp()).absolute()
        self.site.mkdir(parents=True)
        self.patch(sys, "path", [str(self.site), *sys.path])
        self.addCleanup(importlib.invalidate_caches)
        before = set(sys.modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - before])

    def module(self, name: str, text: str) -> None:
        """A module."""
        (self.site / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    def distribution(self, name: str, points: str, metadata: bool = True, version: str = "1.2") -> None:
        """Installed metadata; ``points`` is the text of entry_points.txt."""
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        if metadata:
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(points)
        importlib.invalidate_caches()

    def install(self, text: str, module: str, point: str, name: str = "acme-sip") -> None:
        """A module and its distribution with one entry point, ``GROUP NAME OBJECT``."""
        group, called, thing = point.split()
        self.module(module, text)
        self.distribution(name, f"[sipnode.{group}]\n{called} = {module}:{thing}\n")
