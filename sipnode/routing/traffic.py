"""How many messages of which kind: plain numbers that cost a dict look-up each.

The invariant: whatever methods and codes are sent to us, there are only so many numbers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

METHODS: Final = (
    "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY",
    "PUBLISH", "MESSAGE", "PRACK", "UPDATE", "REFER", "INFO",
)  # fmt: skip
OTHER: Final = "other"


class Traffic:
    """Messages since the start.

    Attributes:
        requests_in: By method, repeats included. requests_out: By method, what was forwarded.
        responses_in: By method and status. responses_out: Alike; ours and forwarded ones.
    """

    __slots__ = ("requests_in", "requests_out", "responses_in", "responses_out")

    def __init__(self) -> None:
        self.requests_in = dict.fromkeys((*METHODS, OTHER), 0)
        self.requests_out = dict.fromkeys((*METHODS, OTHER), 0)
        # A status has three digits and a method is one of the above.
        self.responses_in: dict[tuple[str, int], int] = defaultdict(int)
        self.responses_out: dict[tuple[str, int], int] = defaultdict(int)
