"""Rewriting of a number on its way to a trunk. Pure."""

from __future__ import annotations

from collections.abc import Iterable


class Rewriting:
    """Rules about the beginnings of numbers.

    Args:
        rules: ``BEGINNING>INSTEAD``, either may be empty. Of those that fit the one with the longest beginning counts, and no other.
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[str]) -> None:
        pairs = [rule.partition(">")[::2] for rule in rules]
        self._rules = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def __call__(self, number: str) -> str:
        """The number as the trunk wants it; what would leave nothing leaves it as it was."""
        for before, after in self._rules:
            if number.startswith(before):
                return after + number[len(before) :] or number
        return number
