"""Dialogs that have ended or failed, remembered for a while: what a route token opened is closed.

Pure. The invariant: at most twice ``most`` are remembered, and the last ``most`` always are.
"""

from __future__ import annotations


class EndedDialogs:
    """Marks of ended dialogs, in two generations: when the younger is full it becomes the older, and that is forgotten.

    Args:
        most: Of each generation.
    """

    __slots__ = ("_most", "_old", "_young")

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, call_id: str, caller_tag: str) -> None:
        """All dialogs of that INVITE have ended."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, set()
        self._young.add(hash((call_id, caller_tag)))

    def discard(self, call_id: str, caller_tag: str) -> None:
        """It is tried again: the next INVITE of a caller who was asked for a password, or to choose another way."""
        mark = hash((call_id, caller_tag))
        self._young.discard(mark)
        self._old.discard(mark)

    def __contains__(self, dialog: tuple[str, str]) -> bool:
        mark = hash(dialog)
        return mark in self._young or mark in self._old
