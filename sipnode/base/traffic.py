"""How many messages of which kind came and went: plain numbers, counted at the two doors. Pure.

A call of a watcher for each message costs more than the number itself, so the dispatcher and the outbox count where they stand; all else
that wants to know of messages subscribes to the tap. The invariant: whatever methods and codes are sent to us, there are only so many
numbers.
"""

from __future__ import annotations

from collections import defaultdict

from sipnode.sip.methods import METHODS, OTHER


class Traffic:
    """Messages since the start.

    Attributes:
        requests_in: By method, repeats included.
        requests_out: By method, forwarded and our own, without repeats.
        responses_in: By method and status, repeats included.
        responses_out: Alike, without repeats; ours and forwarded ones.
        generated: Of these, those that were made here.
        own: Requests with a transaction that were made here: BYE and NOTIFY.
    """

    __slots__ = ("generated", "own", "requests_in", "requests_out", "responses_in", "responses_out")

    def __init__(self) -> None:
        self.requests_in = dict.fromkeys((*METHODS, OTHER), 0)
        self.requests_out = dict.fromkeys((*METHODS, OTHER), 0)
        self.generated = 0
        self.own = 0
        # The parser lets no other statuses than 100..699 in, and a method is one of the above.
        self.responses_in: dict[tuple[str, int], int] = defaultdict(int)
        self.responses_out: dict[tuple[str, int], int] = defaultdict(int)
