"""The tables of :mod:`sipnode.transaction.states` as drawings: ``python -m sipnode.transaction.drawings`` writes
``docs/states/*.dot``, which Graphviz draws (``dot -Tsvg``).

The invariant: a drawing says what its table says, nothing more; a test compares them with the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sipnode.transaction.states import ACTION_NAMES, EVENT_NAMES, MACHINES, STATE_NAMES, STATES, TERMINATED, Row

FOLDER: Final = "docs/states"


def drawing(name: str, rows: tuple[Row, ...]) -> str:
    """One machine in the DOT language.

    Args:
        name: A key of :data:`sipnode.transaction.states.MACHINES`.
    """
    lines = [
        f'digraph "{name}" {{',
        f'  label="{name} transaction"; labelloc=t; fontname="sans-serif";',
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
        "  start [shape=point];",
    ]
    lines += [f'  "{STATE_NAMES[state]}";' for state in (*STATES[name], TERMINATED)]
    lines.append(f'  start -> "{STATE_NAMES[STATES[name][0]]}";')
    for row in rows:
        done = ", ".join(ACTION_NAMES[action] for action in row.actions)
        label = f"{EVENT_NAMES[row.event]}\\n{done}" if done else EVENT_NAMES[row.event]
        lines.append(f'  "{STATE_NAMES[row.state]}" -> "{STATE_NAMES[row.to]}" [label="{label}", tooltip="{row.rfc}"];')
    return "\n".join([*lines, "}", ""])


def drawings() -> dict[str, str]:
    """All of them by file name."""
    return {f"{name.lower().replace(' ', '-')}.dot": drawing(name, rows) for name, rows in MACHINES.items()}


def main(folder: str = FOLDER) -> None:
    """Write them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in drawings().items():
        (Path(folder) / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
