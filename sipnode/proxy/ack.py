"""The branch of an ACK to a 2xx: end to end, without a transaction (RFC 3261 §16.11, §17.1)."""

from __future__ import annotations

from sipnode.base.outbox import ACK_PASSED
from sipnode.proxy.branch import LiveBranch
from sipnode.proxy.forward import forwarded_request


class AckBranch(LiveBranch):
    """Sent, and forgotten; whatever goes wrong with it is silent, as nobody may answer an ACK."""

    __slots__ = ()

    def _send(self) -> None:
        core = self.core
        core.outbox.send(core.clock(), forwarded_request(self).to_bytes(), self.flow, ACK_PASSED, "ACK")

    def fail(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = (), blame: str = "") -> None:
        """No answer; counted."""
        self.ended = True
        self.core.counters["unsent_acks"] += 1
