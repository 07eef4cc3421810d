"""Rows of names and values as text for a terminal. Pure.

The invariant: nothing that a stranger put into a message reaches the terminal as a control character.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any


def table(rows: Sequence[dict[str, Any]], names: Iterable[str] = ()) -> str:
    """Rows under the names of their fields.

    Args:
        names: The columns; none for all that the rows have, in their order.
    """
    columns = list(names) or list(dict.fromkeys(name for row in rows for name in row))
    lines = [[clean(name) for name in columns], *([cell(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def cell(value: Any) -> str:
    """One value: yes and no for truth, ``-`` for nothing."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(value) if isinstance(value, str) else clean(json.dumps(value)) if isinstance(value, (dict, list)) else str(value)


def clean(text: str) -> str:
    """A text that can do nothing to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text)
