"""The lines of a diagnosis. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple


class Line(NamedTuple):
    """One thing that was looked at.

    Attributes:
        matter: What kind of thing: ``dns``, ``certificate``.
        value: What was found, with its name.
        remedy: What to type against it; "" where nothing is wrong.
    """

    matter: str
    value: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.remedy


Check = Callable[[], Iterable[Line]]


def edit(key: str, conf: str) -> str:
    """The command that opens the file of a setting."""
    section, _, name = key.partition(".")
    return f"editor {conf}  # [{section}] {name}"


def shown(text: object) -> str:
    """Words of others, with nothing in them that steers a terminal, and not too many."""
    return "".join(char if char.isprintable() else "?" for char in str(text))[:300]


def clean(lines: Iterable[Line]) -> Iterator[Line]:
    """The same, fit to be printed."""
    for line in lines:
        yield Line(line.matter, shown(line.value), shown(line.remedy))
