"""A record as a line of a list. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from sipnode.errors import ParseError
from sipnode.insight.recorder import GOOD
from sipnode.insight.ring import HANDSHAKE, MESSAGES
from sipnode.insight.story import message_of
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.ring import Record


class Row(TypedDict):
    call_id: str
    method: str
    caller: str
    callee: str
    began: float
    last: float
    state: str
    outcome: str
    transport: str
    place: str
    events: int
    octets: int
    whole: bool


def row_of(record: Record) -> Row:
    """A record in a line."""
    first = next((event for event in record.events if event[1] in MESSAGES), None)
    message = message_of(first[2]) if first is not None else None
    caller = callee = method = ""
    whole = False
    if first is None and record.events and record.events[0][1] == HANDSHAKE:
        # Its parts stand where those of a message stand.
        first = (record.events[-1][0], HANDSHAKE, b"", *record.events[-1][2:5])
        method, callee = "WEBSOCKET", record.events[-1][5]
    if message is not None:
        try:
            caller, callee = message.from_.uri.aor, message.to.uri.aor
            method = message.cseq_method
            whole = not record.left_out and hasattr(message, "method") and not message.to.tag
        except ParseError:
            pass
    failed = record.outcome != "" and record.outcome not in GOOD
    state = "live" if record.live else "failed" if failed else "ended" if record.outcome else "seen"
    host, port = first[5] if first is not None else ("", 0)
    return Row(
        call_id=clean(record.call_id), method=clean(method), caller=clean(caller), callee=clean(callee),
        began=record.events[0][0] if record.events else record.last, last=record.last, state=state, outcome=record.outcome,
        transport=first[3].lower() if first is not None else "", place=f"{host}:{port}" if host else "", events=len(record.events),
        octets=record.size, whole=whole,
    )  # fmt: skip
