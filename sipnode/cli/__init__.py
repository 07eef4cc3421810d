"""The console script ``sipnode``: a room for each group of commands, put together in :mod:`sipnode.cli.commands`.

Exit status: 0 done, 1 refused with a reason on stderr, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    from sipnode.cli.commands import run

    return run(arguments)
