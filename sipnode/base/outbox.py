"""The one way out: each SIP message that leaves this server goes through here, and says why it does. Pure.

The invariant: what the tap was told of as sent has been given to its flow, and nothing else of SIP ever is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from sipnode.base.flow import Flow
from sipnode.base.tap import Tap
from sipnode.base.traffic import Traffic
from sipnode.base.why import Why
from sipnode.errors import FlowClosed
from sipnode.sip.methods import OTHER

PASSED: Final = Why("passed", False, "unsent_responses")
"""A request or response of somebody goes on."""
ACK_PASSED: Final = Why("ack", False, "unsent_acks")
"""The ACK of a 2xx goes on, without a transaction."""
STRAY: Final = Why("stray", False, "unsent_responses")
"""A 2xx goes back whose transaction is gone."""
REPLY: Final = Why("reply", True, "unsent_responses")
"""The routing script answers, or a fork whose branches have failed."""
REFUSAL: Final = Why("refusal", True, "unsent_responses")
"""A request can't be read."""
TURNED: Final = Why("turned", True, "unsent_responses")
"""A source is over its limit."""
HOP_ACK: Final = Why("hop_ack", False, "unsent_acks")
"""A refusal is acknowledged to the next hop (RFC 3261 §17.1.1.3)."""
CANCEL: Final = Why("cancel", False, "unsent_requests")
"""A branch is given up."""
UNWANTED: Final = Why("unwanted", True, "unsent_acks")
"""A 2xx that nobody takes is acknowledged and ended."""
REOFFER: Final = Why("reoffer", True, "unsent_requests")
"""An end is offered media anew, as its relay is lost."""
BYE: Final = Why("bye", True, "unsent_requests")
"""A call is ended from here."""
NOTIFY: Final = Why("notify", True, "unsent_requests")
"""A subscriber is told something."""
PING: Final = Why("ping", False, "unsent_requests")
"""The hole of an address translator is kept open."""
NODE: Final = Why("node", False, "unsent_requests")
"""Another node is asked whether it lives."""
TRUNK: Final = Why("trunk", False, "unsent_requests")
"""A trunk is registered at, or asked whether it is there."""


class Outbox:
    """Where messages leave.

    Args:
        tap: Who watches; None for one of its own.

    Attributes:
        tap: Told of each message. traffic: Counts them; the dispatcher counts those that come.
        counters: What went wrong how often, by name; ``unsent_…`` are messages without a transaction whose connection was gone, of which
            nobody else hears.
        unsent: Messages whose connection was gone, all.
    """

    __slots__ = ("counters", "tap", "traffic", "unsent")

    def __init__(self, tap: Tap | None = None) -> None:
        self.tap = Tap() if tap is None else tap
        self.traffic = Traffic()
        self.counters: dict[str, int] = defaultdict(int)
        self.unsent = 0

    def send(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int = 0, transaction: object | None = None) -> bool:
        """Send a message for the first time.

        Args:
            now: Epoch seconds.
            data: Its octets.
            flow: By which it goes.
            method: Of the request, or of the one that a response answers.
            status: Of a response; 0 for a request.
            transaction: The one that it belongs to, which hears of it when nothing was sent; None for one without state.

        Returns:
            Whether it was sent; else its flow is closed.
        """
        try:
            flow.send(data)
        except FlowClosed:
            self._lost(now, data, flow, why, transaction)
            return False
        traffic = self.traffic
        kind = method if method in traffic.requests_out else OTHER
        if not status:
            traffic.requests_out[kind] += 1
            if why.ours and transaction is not None:
                traffic.own += 1
        else:
            traffic.responses_out[kind, status] += 1
            if why.ours:
                traffic.generated += 1
        watcher = self.tap.on_sent
        if watcher is not None:
            watcher.sent(now, data, flow, why, method, status, transaction)
        return True

    def repeat(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> bool:
        """Send what a transaction has sent before; see :meth:`send`."""
        try:
            flow.send(data)
        except FlowClosed:
            self._lost(now, data, flow, why, transaction)
            return False
        watcher = self.tap.on_resent
        if watcher is not None:
            watcher.resent(now, data, flow, why, transaction)
        return True

    def _lost(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        self.unsent += 1
        if transaction is None:
            self.counters[why.lost] += 1
        watcher = self.tap.on_unsent
        if watcher is not None:
            watcher.unsent(now, data, flow, why, transaction)
