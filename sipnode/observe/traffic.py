"""How many messages of which kind: plain numbers that cost a dict look-up each. A watcher of the tap.

The invariant: whatever methods and codes are sent to us, there are only so many numbers, and fewer of them are shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from sipnode.base.tap import Watcher
from sipnode.errors import ParseError
from sipnode.sip.methods import METHODS, OTHER
from sipnode.sip.status import REASONS

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.base.outbox import Why
    from sipnode.sip.message import SipRequest, SipResponse

Codes = Mapping[tuple[str, int], int]


class Traffic(Watcher):
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

    never_raises: ClassVar[bool] = True

    def __init__(self) -> None:
        self.requests_in = dict.fromkeys((*METHODS, OTHER), 0)
        self.requests_out = dict.fromkeys((*METHODS, OTHER), 0)
        self.generated = 0
        self.own = 0
        # The parser lets no other statuses than 100..699 in, and a method is one of the above.
        self.responses_in: dict[tuple[str, int], int] = defaultdict(int)
        self.responses_out: dict[tuple[str, int], int] = defaultdict(int)

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """One more of them."""
        counts, method = self.requests_in, request.method
        counts[method if method in counts else OTHER] += 1

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """One more of them, unless nobody can say what it answers."""
        try:
            method = response.cseq_method
        except ParseError:
            return
        self.responses_in[method if method in self.requests_in else OTHER, response.status] += 1

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """One more of them."""
        counts = self.requests_out
        if method not in counts:
            method = OTHER
        if status:
            self.responses_out[method, status] += 1
            if why.ours:
                self.generated += 1
        else:
            counts[method] += 1
            if why.ours and transaction is not None:
                self.own += 1


def by_code(counts: Codes) -> dict[tuple[str, str], int]:
    """Responses by method and code; a status that no RFC of ours knows is one with all such of its class: ``4xx``.

    So whoever sends every number there is makes few time series in somebody's Prometheus.
    """
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (method, status), count in counts.items():
        found[method, str(status) if status in REASONS else f"{status // 100}xx"] += count
    return dict(sorted(found.items()))
