"""Many rows by one prepared statement: a column of them is one argument, and a row that is there keeps its id. Pure.

Invariant: only a row that is new takes a number from the sequence of a table's ``id``. The plain ``INSERT … ON CONFLICT`` takes one for
each refresh too, and Kamailio's sequences end at two thousand million: 83 days of 300 refreshes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# Statements are planned once for any number of rows. The tables may have been empty then, so that their size is no guide.
PLANNING: Final = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"


class Saving:
    """Inserts rows into a table, or updates those that are there.

    Args:
        table: Its name.
        kinds: Columns and their types, in the order of a row's values.
        key: Columns of a unique index.
        computed: SQL for columns whose value isn't what comes.

    Attributes:
        prepare: To be run once on a connection.
        execute: With the arguments of :meth:`arguments`.
    """

    def __init__(
        self, table: str, kinds: Mapping[str, str], key: Sequence[str], computed: Mapping[str, str] | None = None
    ) -> None:
        names, values = ", ".join(kinds), ", ".join((computed or {}).get(name, f"new.{name}") for name in kinds)
        same = " AND ".join(f"old.{name} = new.{name}" for name in key)
        arrays = ", ".join(f"${number}" for number in range(1, len(kinds) + 1))
        self._kinds = tuple(kinds.values())
        self.prepare = (
            f"PREPARE sipnode_{table} ({', '.join(f'{kind}[]' for kind in self._kinds)}) AS INSERT INTO {table} (id, {names}) "
            f"SELECT coalesce((SELECT id FROM {table} AS old WHERE {same}), nextval(pg_get_serial_sequence('{table}', 'id'))), {values} "
            f"FROM unnest({arrays}) AS new({names}) "
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in kinds if name not in key)}"
        )
        self.execute = f"EXECUTE sipnode_{table}({', '.join(['%s'] * len(kinds))})"

    def arguments(self, rows: Iterable[Sequence[Any]]) -> list[str]:
        """Of ``execute``; there has to be a row. Values behind the columns are left out."""
        return [array_of(kind, column) for kind, column in zip(self._kinds, zip(*rows, strict=True), strict=False)]


def array_of(kind: str, column: Sequence[Any]) -> str:
    """An array as PostgreSQL writes it. One text costs both sides less than a value for each element.

    Args:
        kind: "text", "bytea", or a type of numbers.
    """
    if kind == "text":
        return f"{{{','.join('NULL' if text is None else _quoted(text) for text in column)}}}"
    if kind == "bytea":
        return f"{{{','.join(_hex(octets) for octets in column)}}}"
    return f"{{{','.join(map(str, column))}}}"


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _hex(octets: bytes) -> str:
    return f'"\\\\x{octets.hex()}"'
