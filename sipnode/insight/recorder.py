"""The recorder: a watcher of the tap that keeps what happened to each call in a ring, octets as they were. Pure.

The invariant: an event costs no more than to find its Call-ID and to append a tuple; nothing is read, copied, masked or worded before
somebody asks.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sipnode.base.tap import BRANCHED, PROVED, Watcher
from sipnode.insight.ring import (
    ANSWERED,
    ASKED,
    BROKEN,
    CLOSED,
    DECIDED,
    ENDED,
    FACT,
    FAILED,
    FRESH,
    KNOWN,
    RECEIVED,
    RESENT,
    SENT,
    UNSENT,
    Ring,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.base.why import Why
    from sipnode.insight.ring import Event, Record
    from sipnode.sip.message import SipRequest, SipResponse

CALL_METHODS: Final = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "REFER", "INFO"))
"""Methods that belong to calls; others are recorded where everything is, or in a dialog of a call that is."""
GOOD: Final = frozenset(("completed", "cancelled", "busy", "declined", "ended"))
"""Outcomes of calls that nothing went wrong with."""
_UNTOLD: Final = frozenset(("ping", "node"))
"""Messages that keep something alive, and tell nothing else."""
MOST_CLOSINGS: Final = 4096
_LINE: Final = b"\r\nCall-ID: "
_END: Final = b"\r\n"
_ANY: Final = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$")


class Recorder(Watcher):
    """Keeps events of calls.

    Args:
        ring: Where.
        everything: REGISTER, SUBSCRIBE, OPTIONS and the like too, not only calls.

    Attributes:
        closings: Connections that were closed last, by their token.
        told: Called with the record that has a new event; None while nobody wants that.
    """

    __slots__ = ("_everything", "closings", "ring", "told")

    def __init__(self, ring: Ring, everything: bool) -> None:
        self.ring = ring
        self.closings: OrderedDict[str, Event] = OrderedDict()
        self.told: Callable[[Record], None] | None = None
        self._everything = everything

    def _note(self, call_id: str, event: Event, now: float, octets: int) -> None:
        record = self.ring.note(call_id, event, now, octets)
        if self.told is not None:
            self.told(record)

    def _wants(self, method: str, call_id: str) -> bool:
        return call_id != "" and (method in CALL_METHODS or self._everything or call_id in self.ring.records)

    # -- messages

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """A request that came."""
        call_id = request.get("call-id") or ""
        if self._wants(request.method, call_id):
            self._note(call_id, (now, RECEIVED, data, flow.transport, flow.local, flow.remote, flow.token), now, len(data))

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """A response that came; those of calls are to requests that are known."""
        call_id = response.get("call-id") or ""
        if call_id in self.ring.records or (self._everything and call_id):
            self._note(call_id, (now, RECEIVED, data, flow.transport, flow.local, flow.remote, flow.token), now, len(data))

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        """Something came that can't be read; it may have a Call-ID."""
        call_id = call_id_of(data)
        if call_id:
            self._note(call_id, (now, BROKEN, data, flow.transport, flow.local, flow.remote, flow.token), now, len(data))

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """A message that left."""
        if method in CALL_METHODS or (self._everything and why.name not in _UNTOLD):
            self._left(now, SENT, data, flow, why)

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        """One that left once more."""
        self._left(now, RESENT, data, flow, why)

    def unsent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        """One that couldn't leave."""
        self._left(now, UNSENT, data, flow, why)

    def _left(self, now: float, kind: str, data: bytes, flow: Flow, why: Why) -> None:
        call_id = call_id_of(data)
        if call_id and (kind == SENT or self._everything or call_id in self.ring.records):
            self._note(call_id, (now, kind, data, flow.transport, flow.local, flow.remote, flow.token, why.name), now, len(data))

    # -- what it thought

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        """The stage of the script that decided."""
        call_id = request.get("call-id") or ""
        if self._wants(request.method, call_id):
            self._note(call_id, (now, DECIDED, request.method, stage, verdict), now, 0)

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[Any, ...]) -> None:
        """A fact. A user's call, and one that goes on to somebody, is kept before those of strangers."""
        record = self.ring.records.get(call_id)
        if record is None:
            return
        self._note(call_id, (now, FACT, fact, parts), now, 0)
        if record.queue == FRESH and fact in (BRANCHED, PROVED):
            self.ring.promote(record, KNOWN)
            record.live = True

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        """A question."""
        if call_id in self.ring.records:
            self._note(call_id, (now, ASKED, whom, what), now, 0)

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """Its answer."""
        if call_id in self.ring.records:
            self._note(call_id, (now, ANSWERED, whom, what, fault, parts), now, 0)

    def closed(self, now: float, flow: Flow, reason: str) -> None:
        """A connection is gone; which calls went by it is found out when somebody asks."""
        token = flow.token
        if token:
            closings = self.closings
            closings[token] = (now, CLOSED, flow.transport, flow.local, flow.remote, token, reason)
            if len(closings) > MOST_CLOSINGS:
                closings.popitem(last=False)

    def ended(self, call: Any) -> None:
        """A call has ended; one that failed is kept longer."""
        record = self.ring.records.get(call.call_id)
        if record is None:
            return
        now, outcome = call.ended, call.outcome
        record.live = False
        record.outcome = outcome
        event = (now, ENDED, outcome, call.status, call.ended_by, call.rule, call.started, call.answered, call.media_place)
        self._note(call.call_id, event, now, 0)
        if outcome not in GOOD and record.queue == KNOWN:
            self.ring.promote(record, FAILED)


def call_id_of(data: bytes) -> str:
    """The Call-ID in octets, "" for none."""
    start = data.find(_LINE)
    if start > 0 and data.find(b"\r\n\r\n", 0, start + 2) < 0:
        start += 11
        end = data.find(_END, start)
        if end > 0:
            return data[start:end].strip().decode("utf-8", "surrogateescape")
    head = data[: data.find(b"\r\n\r\n") + 2] if b"\r\n\r\n" in data else data[:65536]
    found = _ANY.search(head)
    return found[1].decode("utf-8", "surrogateescape") if found else ""
