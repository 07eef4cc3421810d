"""Changes that are in memory and not yet on disk, and how to take them back.

The invariant: for every binding with a write under way this room knows what the disk holds, so that a change whose write
failed (its client was told 503) leaves memory as the disk is. Several writes of one binding may be under way; only the
last to end may take back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipnode.records import Binding, LocationChange
    from sipnode.registrar.location import LocationTable


@dataclass(slots=True)
class _Underway:
    """Writes of one binding: what the disk holds (None: no row), and how many have not ended."""

    durable: Binding | None
    count: int = 1


class Commits:
    """The bindings with writes under way.

    Args:
        table: The truth in memory.
        is_live: Whether the connection of a token is still there.
    """

    def __init__(self, table: LocationTable, is_live: Callable[[str], bool]) -> None:
        self._table = table
        self._is_live = is_live
        self._underway: dict[str, _Underway] = {}

    def __len__(self) -> int:
        return len(self._underway)

    def __contains__(self, ruid: str) -> bool:
        return ruid in self._underway

    def begin(self, changes: Sequence[LocationChange], before: Sequence[Binding | None]) -> None:
        """Changes have been applied to memory and go to the disk now.

        Args:
            before: For each change what memory held, as :meth:`LocationTable.apply` gives it.
        """
        for change, old in zip(changes, before, strict=True):
            entry = self._underway.get(change.binding.ruid)
            if entry is None:
                self._underway[change.binding.ruid] = _Underway(old)
            else:
                entry.count += 1

    def forget(self, ruid: str) -> None:
        """A binding went for another reason (its connection closed, it expired): nothing brings it back."""
        self._underway.pop(ruid, None)

    def done(self, changes: Sequence[LocationChange]) -> None:
        """These changes are on disk."""
        for change in changes:
            entry = self._underway.get(change.binding.ruid)
            if entry is not None:
                entry.durable = None if change.delete else change.binding
                self._ended(change.binding.ruid, entry)

    def undo(self, changes: Sequence[LocationChange]) -> list[Binding]:
        """These changes did not get to the disk: memory goes back to what is there, unless a later write decides.

        Returns:
            Bindings that can't come back, as their connection has closed meanwhile; their rows are to be deleted.
        """
        dead: list[Binding] = []
        for change in changes:
            ruid, aor = change.binding.ruid, change.binding.aor
            entry = self._underway.get(ruid)
            if entry is None or not self._ended(ruid, entry):
                continue
            old = entry.durable
            if old is None:
                self._table.remove(aor, ruid)
            elif old.connection_id and not self._is_live(old.connection_id):
                self._table.remove(aor, ruid)
                dead.append(old)
            else:
                self._table.save(aor, old)
        return dead

    def _ended(self, ruid: str, entry: _Underway) -> bool:
        entry.count -= 1
        if entry.count:
            return False
        del self._underway[ruid]
        return True
