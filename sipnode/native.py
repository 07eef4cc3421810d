"""Which parts of this installation run as native code: the modules that mypyc compiles. How they come: ``backend/sipnode_compile.py``."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec


def is_compiled(module: str = "sipnode.sip.parser") -> bool:
    """Whether a module of ours is an extension module here; all of the group are, or none."""
    spec = find_spec(module)
    return spec is not None and (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))


def kind() -> str:
    """``compiled`` or ``pure``, for the version and the line of the start."""
    return "compiled" if is_compiled() else "pure"
