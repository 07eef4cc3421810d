"""Policy of a fork towards the replies of its branches: a pure decision.

Implements: RFC 3261 §16.7 (5)-(7), RFC 3261 §16.8, §8.1.3.4; RFC 4320 §4.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LOCAL: Final = 0
RECEIVED: Final = 1

_PREFERRED: Final = {401: 0, 407: 1, 415: 2, 420: 3, 484: 4}
"""4xx that tell the caller how to do better come before the others (§16.7 (6))."""

CHALLENGES: Final = frozenset((401, 407))


def best(responses: Iterable[tuple[int, int]]) -> int:
    """Which final response goes to the caller when all branches have ended.

    Args:
        responses: ``(status, LOCAL or RECEIVED)`` of each branch, in the order of the branches.

    Returns:
        Position of the best one: any 6xx first, else the lowest class, within 4xx the ones that tell how to do better;
        a 408 or 430 of our own only where nobody said anything, a 503 only where there's nothing else.
    """
    ranked = []
    for position, (status, source) in enumerate(responses):
        kind = status // 100
        if kind == 6:
            rank = (0, 0, 0)
        elif source == LOCAL and status in (408, 430, 480):
            rank = (8, 0, 0)
        elif status == 503:
            rank = (9 if source == LOCAL else 7, 0, 0)
        elif status in (408, 430):
            rank = (6, 0, 0)
        else:
            rank = (kind - 2, _PREFERRED.get(status, 9), 0)
        ranked.append((rank, position))
    return min(ranked)[1]


def upstream_status(status: int, alone: bool) -> int:
    """The status as the caller gets it: a 503 becomes 500 unless it is all that is known (§16.7 (6)); a 430 is between an edge and us, and
    a caller is told who isn't there (RFC 5626 §5.3).
    """
    if status == 430:
        return 480
    return 500 if status == 503 and not alone else status


def cancels_others(status: int) -> bool:
    """Whether this final response ends the search (§16.7 (5), (10))."""
    return 200 <= status < 300 or status >= 600
