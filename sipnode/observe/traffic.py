"""How many messages of which kind: plain numbers that cost a dict look-up each.

The invariant: whatever methods and codes are sent to us, there are only so many numbers, and fewer of them are shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sipnode.sip.methods import METHODS, OTHER
from sipnode.sip.status import REASONS

Codes = Mapping[tuple[str, int], int]


class Traffic:
    """Messages since the start.

    Args:
        requests_out: Those of the transaction layer.

    Attributes:
        requests_in: By method, repeats included.
        requests_out: By method, forwarded and our own, without repeats.
        responses_in: By method and status, repeats included.
        responses_out: Alike; ours and forwarded ones.
        generated: Of these, those that were made here.
        own: Requests with a transaction that were made here: BYE and NOTIFY.
    """

    __slots__ = ("generated", "own", "requests_in", "requests_out", "responses_in", "responses_out")

    def __init__(self, requests_out: dict[str, int]) -> None:
        self.requests_in = dict.fromkeys((*METHODS, OTHER), 0)
        self.requests_out = requests_out
        self.generated = 0
        self.own = 0
        # The parser lets no other statuses than 100..699 in, and a method is one of the above.
        self.responses_in: dict[tuple[str, int], int] = defaultdict(int)
        self.responses_out: dict[tuple[str, int], int] = defaultdict(int)

    def sent(self, method: str) -> None:
        """A request went out without a transaction."""
        counts = self.requests_out
        counts[method if method in counts else OTHER] += 1

    def answered(self, method: str, status: int) -> None:
        """A response went out."""
        self.responses_out[method if method in self.requests_out else OTHER, status] += 1


def by_code(counts: Codes) -> dict[tuple[str, str], int]:
    """Responses by method and code; a status that no RFC of ours knows is one with all such of its class: ``4xx``.

    So whoever sends every number there is makes few time series in somebody's Prometheus.
    """
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (method, status), count in counts.items():
        found[method, str(status) if status in REASONS else f"{status // 100}xx"] += count
    return dict(sorted(found.items()))
