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
        self._young: dict[int, bool] = {}
        self._old: dict[int, bool] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, call_id: str, caller_tag: str, was_up: bool) -> None:
        """All dialogs of that INVITE have ended.

        Args:
            was_up: One of them came about.
        """
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[hash((call_id, caller_tag))] = was_up

    def discard(self, call_id: str, caller_tag: str) -> None:
        """It is tried again: the next INVITE of a caller who was asked for a password, or to choose another way."""
        mark = hash((call_id, caller_tag))
        self._young.pop(mark, None)
        self._old.pop(mark, None)

    def get(self, call_id: str, caller_tag: str) -> bool | None:
        """None for one that isn't known to have ended; else whether it had come about."""
        mark = hash((call_id, caller_tag))
        found = self._young.get(mark)
        return self._old.get(mark) if found is None else found
