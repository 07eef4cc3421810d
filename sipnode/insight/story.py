"""The story of a call: what the ring has of it, read: messages parsed, secrets covered, connections that were closed put in. Pure.

Ladders, exports and rules work on it. The invariant: it holds no secret of a message, and nothing in it can fail to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sipnode.errors import ParseError
from sipnode.insight.masking import covered, masked
from sipnode.insight.ring import (
    ANSWERED,
    BROKEN,
    CLOSED,
    DECIDED,
    ENDED,
    FACT,
    HANDSHAKE,
    MESSAGES,
    RECEIVED,
    SENT,
    UNSENT,
    Event,
    Record,
)
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import BrokenMessage, Limits, parse_message

_LIMITS: Final = Limits(1048576, 10000, 65536, 1000)
Address = tuple[str, int]


@dataclass(slots=True)
class Entry:
    """One event of a story.

    Attributes:
        n: Its place in the story, from 0.
        when: Epoch seconds.
        kind: A constant of :mod:`sipnode.insight.ring`.
        data: Octets of a message, secrets covered; b"" for what is none.
        message: The same, read; None where that can't be done.
        transport, local, remote, token: The flow of a message, or of a connection that was closed or refused.
        why: For what a message was sent (:class:`sipnode.base.why.Why`).
        repeat: The other end has sent it before.
        of: Place of the message that came in, of which this one was made; -1 for none.
        parts: Of what is no message, as the ring has them.
    """

    n: int
    when: float
    kind: str
    data: bytes = b""
    message: SipRequest | SipResponse | None = None
    transport: str = ""
    local: Address = ("", 0)
    remote: Address = ("", 0)
    token: str = ""
    why: str = ""
    repeat: bool = False
    of: int = -1
    parts: tuple[Any, ...] = ()

    @property
    def incoming(self) -> bool:
        """A message that came."""
        return self.kind in (RECEIVED, BROKEN)

    @property
    def is_message(self) -> bool:
        """A message, come or gone or not gone."""
        return self.kind in MESSAGES

    @property
    def method(self) -> str:
        """Of a request, or of the request that a response answers; "" for what can't be read."""
        if isinstance(self.message, SipRequest):
            return self.message.method
        if self.message is not None:
            try:
                return self.message.cseq_method
            except ParseError:
                return ""
        return ""

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return self.message.status if isinstance(self.message, SipResponse) else 0

    @property
    def is_request(self) -> bool:
        """A request that can be read."""
        return isinstance(self.message, SipRequest)

    @property
    def initial(self) -> bool:
        """A request outside of any dialog."""
        return isinstance(self.message, SipRequest) and ";tag=" not in (self.message.get("to") or "").lower()

    def header(self, name: str) -> str:
        """The first value of a header, "" for none."""
        return (self.message.get(name) or "") if self.message is not None else ""

    @property
    def body(self) -> bytes:
        """Of a message."""
        return self.message.body if self.message is not None else b""

    @property
    def place(self) -> str:
        """``udp:192.0.2.1:5060``: the other end."""
        host, port = self.remote
        return f"{self.transport.lower()}:{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(slots=True)
class Story:
    """All of a call.

    Attributes:
        call_id: Call-ID.
        entries: Oldest first.
        left_out: Events from its middle that weren't kept.
        live: It goes on.
        outcome: "" while there is none.
    """

    call_id: str
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0
    live: bool = False
    outcome: str = ""

    @property
    def whole(self) -> bool:
        """It begins with a request outside of any dialog, and nothing was left out."""
        return not self.left_out and bool(self.entries) and self.entries[0].initial

    @property
    def began(self) -> float:
        """Epoch seconds, 0 for an empty one."""
        return self.entries[0].when if self.entries else 0.0

    @property
    def first(self) -> Entry | None:
        """The request that it begins with."""
        return next((entry for entry in self.entries if entry.is_request), None)

    @property
    def method(self) -> str:
        """What kind of story it is: ``INVITE`` for a call."""
        first = self.first
        return first.method if first is not None else ""

    def messages(self, kinds: Iterable[str] = MESSAGES, method: str = "", status: int = -1) -> Iterator[Entry]:
        """Messages of these kinds, of a method, with a status (0 for requests, -1 for any)."""
        wanted = frozenset(kinds)
        for entry in self.entries:
            if entry.kind in wanted and method in ("", entry.method) and status in (-1, entry.status):
                yield entry

    def requests_in(self, method: str) -> list[Entry]:
        """Requests that came, repeats left out."""
        return [entry for entry in self.messages((RECEIVED,), method, 0) if entry.is_request and not entry.repeat]

    def responses_in(self, method: str, least: int = 100, most: int = 699) -> list[Entry]:
        """Responses that came, repeats left out."""
        return [entry for entry in self.messages((RECEIVED,), method) if least <= entry.status <= most and not entry.repeat]

    def sent_out(self, method: str, status: int = -1) -> list[Entry]:
        """Messages that left for the first time."""
        return list(self.messages((SENT,), method, status))

    def final(self) -> Entry | None:
        """The last final response that went to whoever began it."""
        found = None
        first = self.first
        if first is None:
            return None
        for entry in self.messages((SENT, UNSENT), self.method):
            if entry.status >= 200 and entry.remote == first.remote:
                found = entry
        return found

    def facts(self, fact: str) -> list[Entry]:
        """Entries of a fact of the tap; its parts are ``entry.parts[1]``."""
        return [entry for entry in self.entries if entry.kind == FACT and entry.parts[0] == fact]

    def faults(self, whom: str) -> list[Entry]:
        """Answers of somebody outside that were at fault: ``(whom, what, fault, parts)``."""
        return [entry for entry in self.entries if entry.kind == ANSWERED and entry.parts[0] == whom and entry.parts[2]]

    def answers(self, whom: str) -> list[Entry]:
        """Good answers of somebody outside."""
        return [entry for entry in self.entries if entry.kind == ANSWERED and entry.parts[0] == whom and not entry.parts[2]]

    def decisions(self, method: str = "") -> list[Entry]:
        """What the routing script decided: ``(method, stage, verdict)``."""
        return [entry for entry in self.entries if entry.kind == DECIDED and method in ("", entry.parts[0])]

    @property
    def end(self) -> Entry | None:
        """The end of the call."""
        return next((entry for entry in reversed(self.entries) if entry.kind == ENDED), None)


def read(record: Record, closings: Mapping[str, Event]) -> Story:
    """The story that a record tells.

    Args:
        closings: Connections that were closed, by their token.
    """
    events = list(record.events)
    tokens = {event[6] for event in events if event[1] in MESSAGES and event[6]}
    if tokens:
        lost = [closings[token] for token in tokens if token in closings]
        if lost:
            horizon = record.last + 60
            events = sorted((*events, *(event for event in lost if event[0] <= horizon)), key=lambda event: event[0])
    story = Story(record.call_id, [], record.left_out, record.live, record.outcome)
    seen: set[tuple[bytes, Address]] = set()
    for number, event in enumerate(events):
        entry = _entry(number, event)
        if entry.kind == RECEIVED:
            mark = (event[2], entry.remote)
            entry.repeat = mark in seen
            seen.add(mark)
        story.entries.append(entry)
    _pair(story.entries)
    return story


def _entry(number: int, event: Event) -> Entry:
    when, kind = event[0], event[1]
    if kind in MESSAGES:
        data = masked(event[2])
        why = event[7] if len(event) > 7 else ""
        message = None if kind == BROKEN else message_of(data)
        return Entry(number, when, kind, data, message, event[3], event[4], event[5], event[6], why)
    if kind == CLOSED:
        return Entry(number, when, kind, b"", None, event[2], event[3], event[4], event[5], "", False, -1, (event[6],))
    if kind == HANDSHAKE:
        return Entry(number, when, kind, b"", None, event[2], event[3], event[4], parts=tuple(event[5:]))
    return Entry(number, when, kind, parts=covered(tuple(event[2:])))


def message_of(data: bytes) -> SipRequest | SipResponse | None:
    """A message as far as it can be read, None where it can't."""
    try:
        return parse_message(data, _LIMITS)
    except BrokenMessage as error:
        return error.message if isinstance(error.message, (SipRequest, SipResponse)) else None


def _pair(entries: list[Entry]) -> None:
    """Of which message that came each one that was passed on was made."""
    last: dict[tuple[str, int, str], int] = {}
    for entry in entries:
        if entry.message is None:
            continue
        key = (entry.method, entry.status, entry.header("cseq"))
        if entry.kind == RECEIVED:
            if not entry.repeat:
                last[key] = entry.n
        elif entry.why in ("passed", "ack", "stray"):
            entry.of = last.get(key, -1)
