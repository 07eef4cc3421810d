"""Tables as the page shows them: columns, rows, and what an admin may do with a row. Pure.

The invariant: a table has at most :data:`MOST_ROWS` rows, says how many more there are, and its texts are printable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypedDict

from sipnode.tables import clean

MOST_ROWS: Final = 300
MOST_LOOKED: Final = 20000
"""Rows that are looked through for a word; beyond it the table says so."""
Row = dict[str, Any]
Column = tuple[str, str, str]
"""Key, title, and kind: ``text``, ``name``, ``code``, ``time`` (epoch), ``span`` (seconds), ``mark`` (state and word) or ``list``."""


class Deed(TypedDict, total=False):
    """Something that an admin may do.

    ``method`` is of the RPC, ``params`` are its own, ``$key`` is a row's value; ``when`` is the key of what a row needs for it; ``ask`` is
    asked before it is done.
    """

    title: str
    method: str
    params: list[Any]
    when: str
    ask: str
    danger: bool


class Table(TypedDict):
    """A view."""

    title: str
    note: str
    warn: bool
    empty: str
    columns: list[Column]
    rows: list[Row]
    more: int
    acts: list[Deed]
    rowActs: list[Deed]


def table(
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    search: str = "",
    *,
    note: str = "",
    warn: bool = False,
    empty: str = "",
    acts: Sequence[Deed] = (),
    row_acts: Sequence[Deed] = (),
) -> Table:
    """A table of those rows in which each word of ``search`` stands.

    Args:
        rows: May be made one by one, and are read as far as needed.
        note: Said above it. warn: It is something to act upon. empty: Said where there are no rows.
    """
    words = search.lower().split()
    found: list[Row] = []
    more = looked = 0
    for row in islice(rows, MOST_LOOKED):
        looked += 1
        if words and not all(word in text for text in [_text(row, columns)] for word in words):
            continue
        if len(found) < MOST_ROWS:
            found.append({key: _shown(value) for key, value in row.items()})
        else:
            more += 1
    if looked == MOST_LOOKED:
        note = f"The first {MOST_LOOKED} were looked through. {note}".strip()
    return Table(
        title=title, note=note, warn=warn, empty=empty, columns=list(columns), rows=found, more=more, acts=list(acts),
        rowActs=list(row_acts),
    )  # fmt: skip


def _text(row: Row, columns: Sequence[Column]) -> str:
    return " ".join(str(row.get(key, "")) for key, _, _ in columns).lower()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value]
    return value
