"""File and line of a stage of the routing script, also where it is compiled."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class SourceLines:
    """Where stages are written.

    Args:
        script: Gives the class in force.
    """

    def __init__(self, script: Callable[[], type[Any]]) -> None:
        self._script = script
        self._known: dict[tuple[type[Any], str], str] = {}

    def of(self, stage: str) -> str:
        """``routing.py:42``, "" where that can't be found."""
        kind = self._script()
        key = (kind, stage)
        if key not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[key] = _find(kind, stage)
        return self._known[key]


def _find(kind: type[Any], stage: str) -> str:
    owner = next((each for each in kind.__mro__ if stage in vars(each)), None)
    if owner is None:
        return ""
    code = getattr(vars(owner)[stage], "__code__", None)
    if code is not None:
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    # Compiled: its source lies beside it.
    path = Path(getattr(sys.modules.get(owner.__module__), "__file__", "") or "")
    source = path.with_name(f"{path.name.partition('.')[0]}.py")
    try:
        tree = ast.parse(source.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == stage:
                    return f"{source.name}:{method.lineno}"
    return ""
