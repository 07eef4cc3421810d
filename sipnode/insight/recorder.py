"""The recorder: a watcher of the tap that keeps what happened to each call in a ring, octets as they were. Pure.

The invariant: an event costs no more than to find its Call-ID and to append a tuple; nothing is read, copied, masked or worded before
somebody asks. No event raises, so the tap calls it without a net; those who are told of events have one.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipnode.acc.quality import quality_of
from sipnode.base.tap import BRANCHED, MEDIA, PROVED, Watcher
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
    HANDSHAKE,
    KNOWN,
    MEASURED,
    OVERHEAD,
    RECEIVED,
    RESENT,
    SENT,
    UNSENT,
    Ring,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
HANDSHAKES: Final = "websocket:"
"""Before the address of whoever was refused a WebSocket: what stands in the place of a Call-ID."""
REFUSED: Final = "refused"
"""Outcome of such a record."""
MOST_OF_A_HEADER: Final = 200
MOST_NAMES: Final = 4096
MOST_CLOSINGS: Final = 4096
_LINE: Final = b"\r\nCall-ID: "
_END: Final = b"\r\n"
_ANY: Final = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$")


class Recorder(Watcher):
    """Keeps events of calls.

    What is sent while a message is looked at is nearly always of the same call: whether that is so takes one search for octets.

    Args:
        ring: Where.
        everything: REGISTER, SUBSCRIBE, OPTIONS and the like too, not only calls.

    Attributes:
        closings: Connections that were closed last, by their token.
        told: Called with the record that has a new event; None while nobody wants that. untold: Times that it has raised.
        finished: Called with the record of a call that has ended, which a few events may follow; None while nobody wants that.
    """

    never_raises: ClassVar[bool] = True

    __slots__ = ("_everything", "_names", "_record", "_records", "_request", "closings", "finished", "ring", "told", "untold")

    def __init__(self, ring: Ring, everything: bool) -> None:
        self.ring = ring
        self._records = ring.records
        self.untold = 0
        self.finished: Callable[[Record], None] | None = None
        self.closings: OrderedDict[str, Event] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        self.told: Callable[[Record], None] | None = None
        self._everything = everything
        # What is looked at now.
        self._record: Record | None = None
        self._request: SipRequest | None = None

    def _full(self, record: Record) -> None:
        """A record has more events than room, or somebody wants to know of each."""
        if record.size > record.room:
            self.ring.grow(record)
        if self.told is not None:
            try:
                self.told(record)
            except Exception:
                # Whoever looks on is told of the next one; a message must not fail for it.
                self.untold += 1

    def _begin(self, call_id: str, data: bytes, now: float) -> Record | None:
        if not call_id:
            return None
        return self.ring.begin(call_id, mark_of(data), now)

    def _note(self, record: Record, event: Event) -> None:
        """Add what is no message."""
        record.events.append(event)
        record.size += OVERHEAD
        if record.size > record.room or self.told is not None:
            self._full(record)

    # -- messages

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """A request that came."""
        call_id = request.get("call-id") or ""
        record = self._records.get(call_id)
        if record is None:
            self._record = self._request = None
            if request.method not in CALL_METHODS and not self._everything:
                return
            if not call_id:
                return
            mark = f"\r\n{request.lines[request.index()['call-id']]}\r\n".encode("utf-8", "surrogateescape")
            record = self.ring.begin(call_id, mark, now)
        self._record, self._request = record, request
        record.events.append((now, RECEIVED, data, flow.transport, flow.here, flow.there, flow.token))
        record.size += OVERHEAD + len(data)
        if record.size > record.room or self.told is not None:
            self._full(record)

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """A response that came; those of calls are to requests that are known."""
        call_id = response.get("call-id") or ""
        record = self._records.get(call_id)
        self._record, self._request = record, None
        if record is None:
            return
        record.events.append((now, RECEIVED, data, flow.transport, flow.here, flow.there, flow.token))
        record.size += OVERHEAD + len(data)
        if record.size > record.room or self.told is not None:
            self._full(record)

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        """Something came that can't be read; it may have a Call-ID."""
        call_id = call_id_of(data)
        record = self._records.get(call_id) or self._begin(call_id, data, now)
        if record is not None:
            self._message(record, (now, BROKEN, data, flow.transport, flow.here, flow.there, flow.token), len(data))

    def _message(self, record: Record, event: Event, octets: int) -> None:
        record.events.append(event)
        record.size += OVERHEAD + octets
        if record.size > record.room or self.told is not None:
            self._full(record)

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """A message that left."""
        record = self._record
        if record is None or record.mark not in data:
            if method not in CALL_METHODS and (not self._everything or why.name in _UNTOLD):
                return
            call_id = call_id_of(data)
            record = self._records.get(call_id) or self._begin(call_id, data, now)
            if record is None:
                return
        record.events.append((now, SENT, data, flow.transport, flow.here, flow.there, flow.token, why.name))
        record.size += OVERHEAD + len(data)
        if record.size > record.room or self.told is not None:
            self._full(record)

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        """One that left once more."""
        self._again(now, RESENT, data, flow, why)

    def unsent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        """One that couldn't leave."""
        self._again(now, UNSENT, data, flow, why)

    def _again(self, now: float, kind: str, data: bytes, flow: Flow, why: Why) -> None:
        record = self._records.get(call_id_of(data))
        if record is not None:
            self._message(record, (now, kind, data, flow.transport, flow.here, flow.there, flow.token, why.name), len(data))

    # -- what it thought

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        """The stage of the script that decided."""
        record = self._record if request is self._request else self._records.get(request.get("call-id") or "")
        if record is not None:
            self._note(record, (now, DECIDED, request.method, stage, verdict))

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[Any, ...]) -> None:
        """A fact. A user's call, and one that goes on to somebody, is kept before those of strangers."""
        record = self._records.get(call_id)
        if record is not None:
            self._note(record, (now, FACT, fact, parts))
            if record.queue == FRESH and fact in (BRANCHED, PROVED):
                self.ring.promote(record, KNOWN)
                record.live = True

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        """A question."""
        record = self._records.get(call_id)
        if record is not None:
            self._note(record, (now, ASKED, whom, what))

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """Its answer."""
        record = self._records.get(call_id)
        if record is not None:
            self._note(record, (now, ANSWERED, whom, what, fault, parts))
            if whom == MEDIA and not fault and len(parts) > 1 and parts[1] != call_id:
                names = self._names
                names[parts[1]] = call_id
                if len(names) > MOST_NAMES:
                    names.popitem(last=False)

    def measured(self, now: float, name: str, reply: Mapping[bytes, Any]) -> None:
        """Numbers of a call that the media relay has ended.

        Args:
            name: Of the call, as the relay knows it.
            reply: As it came.
        """
        record = self._records.get(self._names.get(name, name))
        legs = tuple(quality_of(reply)) if record is not None else ()
        if record is not None and legs:
            self._note(record, (now, MEASURED, legs))

    def handshake_refused(
        self,
        now: float,
        transport: str,
        local: tuple[str, int],
        remote: tuple[str, int],
        host: str,
        origin: str | None,
        status: int,
        reason: str,
    ) -> None:
        """Somebody wanted a WebSocket and got none; all of an address are one record.

        Args:
            host: Of the Host header, "" for none. origin: None for no such header.
            status: The answer's. reason: The answer's text.
        """
        call_id = HANDSHAKES + remote[0]
        record = self._records.get(call_id)
        if record is None:
            record = self.ring.begin(call_id, b"\r\n\r\n\r\n\r\n", now)
            record.outcome = REFUSED
        name = None if origin is None else origin[:MOST_OF_A_HEADER]
        host = host[:MOST_OF_A_HEADER]
        self._message(record, (now, HANDSHAKE, transport, local, remote, host, name, status, reason), len(host) + len(name or ""))

    def closed(self, now: float, flow: Flow, reason: str) -> None:
        """A connection is gone; which calls went by it is found out when somebody asks."""
        token = flow.token
        if token:
            closings = self.closings
            closings[token] = (now, CLOSED, flow.transport, flow.here, flow.there, token, reason)
            if len(closings) > MOST_CLOSINGS:
                closings.popitem(last=False)

    def ended(self, call: Any) -> None:
        """A call has ended; one that failed is kept longer."""
        record = self._records.get(call.call_id)
        if record is None:
            return
        outcome = call.outcome
        record.live = False
        record.outcome = outcome
        event = (call.ended, ENDED, outcome, call.status, call.ended_by, call.rule, call.started, call.answered, call.media_place)
        self._note(record, event)
        if outcome not in GOOD and record.queue == KNOWN:
            self.ring.promote(record, FAILED)
        if self.finished is not None:
            try:
                self.finished(record)
            except Exception:
                self.untold += 1


def mark_of(data: bytes) -> bytes:
    """The line of a message with its Call-ID, with the line ends around it, as the next messages will have it, too."""
    start = data.find(_LINE)
    end = data.find(_END, start + 11) if start > 0 else -1
    if end > 0 and data.find(b"\r\n\r\n", 0, start + 2) < 0:
        return data[start : end + 2]
    found = _ANY.search(data)
    return b"\r\n" + found[0].rstrip(b"\r") + b"\r\n" if found is not None else b"\r\n\r\n\r\n\r\n"


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
