"""The branch of an ACK to a 2xx: end to end, without a transaction (RFC 3261 §16.11, §17.1)."""

from __future__ import annotations

from sipnode.errors import FlowClosed
from sipnode.proxy.branch import Branch
from sipnode.proxy.forward import forwarded_request


class AckBranch(Branch):
    """Sent, and forgotten; whatever goes wrong with it is silent, as nobody may answer an ACK."""

    __slots__ = ()

    def _send(self) -> None:
        core = self.fork.ctx.core
        data = forwarded_request(self).to_bytes()
        core.traffic.sent("ACK")
        if core.trace is not None:
            core.trace.sent(data, self.flow)
        try:
            self.flow.send(data)
        except FlowClosed:
            core.counters["unsent_acks"] += 1

    def fail(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = (), blame: str = "") -> None:
        """No answer; counted."""
        self.ended = True
        self.fork.ctx.core.counters["unsent_acks"] += 1
