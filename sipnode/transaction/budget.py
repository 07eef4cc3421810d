"""Octets that may go to an address where nobody has proved to be. Pure.

A stranger names the addresses that a request and its answers go to; whoever is there may never have heard of us. What one message
draws there is bounded by its own size (as RFC 9000 §8 bounds it for QUIC): as soon as somebody there proves to be there, the bound
is gone.
"""

from __future__ import annotations

from typing import Final

FACTOR: Final = 5
"""Octets that may be sent for each that was received."""


class Budget:
    """The rest for one address and one message.

    Args:
        received: Octets of the message.

    Attributes:
        left: Octets that may still be sent.
        kept: Of these, those that provisional responses can't have: the final one has to find room.
    """

    __slots__ = ("kept", "left")

    def __init__(self, received: int) -> None:
        self.left = FACTOR * received
        self.kept = self.left // 2

    def take(self, octets: int, early: bool = False) -> bool:
        """Whether so many may be sent; then they are taken off.

        Args:
            early: It is a provisional response.
        """
        if octets > (self.left - self.kept if early else self.left):
            return False
        self.left -= octets
        return True

    def more(self, received: int) -> None:
        """The message came once more."""
        self.left += FACTOR * received
