"""What setup.cfg can't say: which files the build backend has compiled on this machine, and that the wheel is for its like.

Everything else stands in setup.cfg. Run by the backend (backend/sipnode_backend.py) alone; without it, nothing is compiled.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

LIB: Path | None = getattr(sys.modules.get("sipnode_backend"), "LIB", None)
"""The folder of what was compiled, None for a pure wheel."""


class WithCompiled(build_py):
    """The modules, and beside them what was made of them."""

    def run(self) -> None:
        super().run()
        if LIB is not None and not self.editable_mode:
            for path in sorted(LIB.rglob("*.so")):
                target = Path(self.build_lib, path.relative_to(LIB))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)


class ForThisMachine(Distribution):
    """A distribution whose wheel says for which Python and machine it is, where anything was compiled."""

    def has_ext_modules(self) -> bool:
        return LIB is not None


setup(distclass=ForThisMachine, cmdclass={"build_py": WithCompiled})
