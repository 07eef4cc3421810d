"""A call as a trace: a span for the call, for each transaction, and for each question to the relay, the DNS and the database. Pure.

Implements: OTLP 1.x, the JSON form of ``opentelemetry.proto.trace.v1.Span``. The invariant: however long a call is, there are at most
``MOST_SPANS`` spans with ``MOST_NOTES`` events each and texts of ``MOST_TEXT`` characters; what is left out is counted in them, as OTLP
has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.acc.quality import least_mos
from sipnode.base.tap import DATABASE, DNS, MEDIA, TRACED
from sipnode.base.trace import Tracing, parsed
from sipnode.errors import ParseError
from sipnode.insight.explain import NOTHING, explain
from sipnode.insight.lanes import lanes_of
from sipnode.insight.recorder import GOOD
from sipnode.insight.ring import ANSWERED, ASKED, FACT, MEASURED, RECEIVED, SENT, UNSENT
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.finding import Around
    from sipnode.insight.lanes import Arrow
    from sipnode.insight.story import Entry, Story

MOST_SPANS: Final = 128
MOST_NOTES: Final = 64
MOST_TEXT: Final = 256
INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
_ERROR: Final = 2
_NAMES: Final = {MEDIA: "relay", DNS: "dns", DATABASE: "database"}
_Value = str | int | float | bool


class _Needed(TypedDict):
    traceId: str
    spanId: str
    name: str
    kind: int
    startTimeUnixNano: str
    endTimeUnixNano: str
    attributes: list[dict[str, Any]]
    events: list[dict[str, Any]]
    droppedEventsCount: int


class Span(_Needed, total=False):
    """A span as OTLP's JSON has it; int64 are texts there."""

    parentSpanId: str
    links: list[dict[str, Any]]
    status: dict[str, Any]


class _Maker:
    """Makes the spans of one call.

    Args:
        story: The call. tracing: Its identities. around: Facts that no single call has.
    """

    def __init__(self, story: Story, tracing: Tracing, around: Around) -> None:
        self._story = story
        self._tracing = tracing
        self._trace = tracing.trace_id(story.call_id)
        self._left_out = 0
        self.spans: list[Span] = []
        self._root = self._span("call", SERVER, story.began, {"sip.call_id": story.call_id})
        self._server: dict[tuple[str, str, str], Span] = {}
        self._client: dict[tuple[str, str, str], Span] = {}
        # Which of them a message began, by its place.
        self._begun: dict[int, Span] = {}
        self._asked: dict[tuple[str, str], list[Span]] = {}
        # Those that wait for an answer, by their identity.
        self._waiting: dict[str, Span] = {}
        self._open: list[Span] = []
        for arrow in lanes_of(story)[1]:
            self._event(arrow)
        self._finish(around)

    def _span(self, name: str, kind: int, began: float, attributes: dict[str, _Value], parent: Span | None = None) -> Span:
        made = Span(
            traceId=self._trace, spanId=self._tracing.span_id(self._story.call_id, len(self.spans) + self._left_out), name=name, kind=kind,
            startTimeUnixNano=_nanos(began), endTimeUnixNano=_nanos(began), attributes=_attributes(attributes), events=[],
            droppedEventsCount=0,
        )  # fmt: skip
        if parent is not None:
            made["parentSpanId"] = parent["spanId"]
        if len(self.spans) < MOST_SPANS:
            self.spans.append(made)
        else:
            self._left_out += 1
        return made

    # -- events

    def _event(self, arrow: Arrow) -> None:
        entry = arrow.entry
        if entry.kind == ASKED:
            whom, what = entry.parts
            span = self._span(f"{_NAMES.get(whom, clean(whom))} {clean(what)}"[:MOST_TEXT], CLIENT, entry.when, {}, self._now())
            self._asked.setdefault((whom, what), []).append(span)
            self._waiting[span["spanId"]] = span
        elif entry.kind == ANSWERED:
            self._answered(entry, arrow)
        elif entry.is_message and entry.message is not None:
            self._message(entry, arrow)
        else:
            _note(self._root, entry.when, arrow.label)

    def _now(self) -> Span:
        """The transaction that is open, of which whatever happens is probably a part."""
        return self._open[-1] if self._open else self._root

    def _answered(self, entry: Entry, arrow: Arrow) -> None:
        whom, what, fault, _ = entry.parts
        waiting = self._asked.get((whom, what))
        if not waiting:
            _note(self._root, entry.when, arrow.label)
            return
        span = waiting.pop(0)
        self._waiting.pop(span["spanId"], None)
        span["endTimeUnixNano"] = _nanos(entry.when)
        if fault:
            _failed(span, fault)

    def _message(self, entry: Entry, arrow: Arrow) -> None:
        key = _transaction(entry)
        incoming = entry.kind == RECEIVED
        if key is None or entry.kind not in (RECEIVED, SENT, UNSENT) or entry.repeat or entry.method == "ACK":
            # Repeats, and ACKs, which nobody answers.
            _note(self._root, entry.when, arrow.label)
        elif not entry.status:
            table, kind = (self._server, SERVER) if incoming else (self._client, CLIENT)
            parent = self._begun.get(entry.of, self._root if incoming else self._now())
            span = self._span(entry.method, kind, entry.when, _about(entry), parent)
            table[key] = self._begun[entry.n] = self._waiting[span["spanId"]] = span
            if incoming:
                self._open.append(span)
            if entry.kind == UNSENT:
                _failed(span, "its connection is gone")
        else:
            self._response(entry, arrow, (self._client if incoming else self._server).get(key))

    def _response(self, entry: Entry, arrow: Arrow, span: Span | None) -> None:
        if span is None:
            _note(self._root, entry.when, arrow.label)
            return
        span["endTimeUnixNano"] = _nanos(entry.when)
        if entry.status < 200:
            _note(span, entry.when, arrow.label)
            return
        span["attributes"].append(_attribute("sip.status_code", entry.status))
        if entry.status >= 400 and entry.status not in (401, 407, 487):
            _failed(span, f"{entry.status} {getattr(entry.message, 'reason', '')}")
        self._waiting.pop(span["spanId"], None)
        self._open = [each for each in self._open if each is not span]

    # -- the call

    def _finish(self, around: Around) -> None:
        story, root = self._story, self._root
        last = story.entries[-1].when if story.entries else story.began
        root["endTimeUnixNano"] = _nanos(max(last, story.began))
        for span in self._waiting.values():
            span["endTimeUnixNano"] = root["endTimeUnixNano"]
            _failed(span, "no answer")
        about: dict[str, _Value] = {"sip.outcome": story.outcome}
        first, end = story.first, story.end
        if first is not None and first.message is not None:
            try:
                about["sip.from"], about["sip.to"] = first.message.from_.uri.aor, first.message.to.uri.aor
            except ParseError:
                about["sip.from"] = "?"
        if end is not None:
            about["sip.status_code"], about["sip.ended_by"], about["sip.rule"] = int(end.parts[1]), str(end.parts[2]), str(end.parts[3])
        legs = [leg for entry in story.entries if entry.kind == MEASURED for leg in entry.parts[0]]
        if legs:
            about["media.packets"], about["media.mos"] = sum(leg.packets for leg in legs), least_mos(legs)
        if self._left_out:
            about["sipnode.spans_left_out"] = self._left_out
        root["attributes"] += _attributes(about)
        root["links"] = [{"traceId": trace, "spanId": span} for trace, span in self._links()]
        if story.outcome not in GOOD:
            why = explain(story, around)
            _failed(root, why["sentence"] if why["rule"] != NOTHING else story.outcome)

    def _links(self) -> list[tuple[str, str]]:
        """Traces of others that the routing script has named."""
        named = [entry.parts[1][0] for entry in self._story.entries if entry.kind == FACT and entry.parts[0] == TRACED]
        return [found for each in named[:MOST_NOTES] if (found := parsed(each)) is not None]


def spans(story: Story, tracing: Tracing, around: Around) -> list[Span]:
    """The spans of a call that has ended, the call itself first."""
    return _Maker(story, tracing, around).spans


def _transaction(entry: Entry) -> tuple[str, str, str] | None:
    """What request and responses of a transaction have in common at one end (RFC 3261 §17); None where it can't be read."""
    try:
        branch = entry.message.via.branch if entry.message is not None else ""
    except ParseError:
        return None
    return branch, entry.method, entry.header("cseq").partition(" ")[0]


def _about(entry: Entry) -> dict[str, _Value]:
    host, port = entry.remote
    return {
        "sip.method": entry.method, "sip.uri": str(getattr(entry.message, "uri", "")), "network.protocol.name": "sip",
        "network.transport": entry.transport.lower(), "network.peer.address": host, "network.peer.port": port,
    }  # fmt: skip


def _note(span: Span, when: float, text: str) -> None:
    if len(span["events"]) < MOST_NOTES:
        span["events"].append({"timeUnixNano": _nanos(when), "name": clean(text)[:MOST_TEXT]})
    else:
        span["droppedEventsCount"] += 1


def _failed(span: Span, why: str) -> None:
    span["status"] = {"code": _ERROR, "message": clean(why)[:MOST_TEXT]}


def _nanos(when: float) -> str:
    """Epoch seconds as OTLP has them; a float has no more than microseconds."""
    return str(round(when * 1_000_000) * 1000)


def _attributes(values: dict[str, _Value]) -> list[dict[str, Any]]:
    return [_attribute(name, value) for name, value in values.items() if value != ""]


def _attribute(name: str, value: _Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": name, "value": {"doubleValue": value}}
    return {"key": name, "value": {"stringValue": clean(value)[:MOST_TEXT]}}
