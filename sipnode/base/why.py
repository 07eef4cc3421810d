"""For what a message is sent: the kinds stand in :mod:`sipnode.base.outbox`. Pure."""

from __future__ import annotations


class Why:
    """For what a message is sent.

    Attributes:
        name: One word.
        ours: It was made here, and isn't somebody's that goes on.
        lost: Counter of those without a transaction whose connection was gone.
    """

    __slots__ = ("lost", "name", "ours")

    def __init__(self, name: str, ours: bool, lost: str) -> None:
        self.name = name
        self.ours = ours
        self.lost = lost

    def __repr__(self) -> str:
        return f"<Why {self.name}>"
