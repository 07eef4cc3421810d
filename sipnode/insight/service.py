"""What others ask about recorded calls: a list, one call, its ladder in some form, why it failed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from sipnode.errors import ParseError
from sipnode.insight.document import StoryDocument, document, not_recorded
from sipnode.insight.explain import UNKNOWN as UNEXPLAINED
from sipnode.insight.explain import Explanation, explain, unexplained
from sipnode.insight.export import FORMS, Export
from sipnode.insight.finding import Around
from sipnode.insight.life import life
from sipnode.insight.recorder import GOOD
from sipnode.insight.ring import HANDSHAKE, MESSAGES, Record, Ring
from sipnode.insight.story import Story, message_of, read
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.recorder import Recorder
    from sipnode.observe.sentences import Step

OFF: Final = "nothing is recorded: [recorder] enabled is false"
UNKNOWN: Final = "not recorded: no call of this Call-ID came while the recorder was on, or its record had to make room, or is too old"
MOST_LISTED: Final = 500
MOST_SEARCHED: Final = 5000
PROBLEMS: Final = "problems"
LIVE: Final = "live"


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


class State(TypedDict):
    on: bool
    records: int
    octets: int
    most_octets: int
    forgotten: dict[str, int]
    left_out: int


class Insight:
    """The recorder and those who read it.

    Args:
        recorder: None where nothing is recorded.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self.keeper = recorder
        self.around = Around()

    @property
    def ring(self) -> Ring | None:
        """Where records are, None where nothing is recorded."""
        return None if self.keeper is None else self.keeper.ring

    def state(self) -> State:
        """Whether it is on, and how full it is."""
        ring = self.ring
        if ring is None:
            return State(on=False, records=0, octets=0, most_octets=0, forgotten={}, left_out=0)
        return State(
            on=True, records=len(ring.records), octets=ring.size, most_octets=ring.most_octets,
            forgotten=dict(zip(("strangers", "calls", "failed"), ring.forgotten, strict=True)), left_out=ring.left_out,
        )  # fmt: skip

    def rows(self, count: int, search: str) -> list[Row]:
        """Records, the newest first.

        Args:
            count: At most.
            search: Words, each of which has to fit: ``problems``, ``live``, a method, or a part of Call-ID, caller or callee.
        """
        ring = self.ring
        if ring is None:
            return []
        words = search.lower().split()
        found: list[Row] = []
        for record in list(ring.records.values())[: -MOST_SEARCHED - 1 : -1]:
            row = row_of(record)
            if all(_fits(word, row, record) for word in words):
                found.append(row)
                if len(found) >= min(count, MOST_LISTED):
                    break
        return found

    def story(self, call_id: str) -> Story | None:
        """The story of a call, None where it isn't recorded."""
        if self.keeper is None:
            return None
        record = self.keeper.ring.records.get(call_id)
        return None if record is None else read(record, self.keeper.closings)

    def life(self, call_id: str) -> list[Step]:
        """The steps of a call, oldest first; none where it isn't recorded."""
        story = self.story(call_id)
        return [] if story is None else life(story)

    def newest(self, count: int) -> list[str]:
        """Call-IDs of the records that began last, the newest last."""
        ring = self.ring
        return [] if ring is None else list(ring.records)[-count:]

    def why_not(self) -> str:
        """Why a call may not be recorded."""
        return OFF if self.keeper is None else UNKNOWN

    def document(self, call_id: str, after: int = -1) -> StoryDocument:
        """A call as JSON, also one that isn't recorded: it says why."""
        story = self.story(call_id)
        return not_recorded(call_id, self.why_not()) if story is None else document(story, after, self.around.code)

    def explain(self, call_id: str) -> Explanation:
        """Why a call failed, also of one that isn't recorded or has not failed: it says so."""
        story = self.story(call_id)
        return unexplained(call_id, self.why_not()) if story is None else explain(story, self.around)

    def sentence(self, call_id: str) -> str:
        """The explanation in a line, with the remedy; "" where there is none, or nothing is at fault."""
        explanation = self.explain(call_id)
        if not explanation["fault"] or explanation["rule"] == UNEXPLAINED:
            return ""
        return f"{explanation['sentence']} {explanation['mend']}".strip()

    def export(self, call_id: str, form: str) -> Export:
        """A call in one of the forms of :data:`sipnode.insight.export.FORMS`.

        Raises:
            KeyError: there is no such form.
        """
        make = FORMS[form]
        story = self.story(call_id)
        return Export(found=False, form=form, text=self.why_not(), base64=False) if story is None else make(story, self.around)


def _fits(word: str, row: Row, record: Record) -> bool:
    if word == PROBLEMS:
        return row["state"] == "failed"
    if word == LIVE:
        return record.live
    return word == row["method"].lower() or any(word in row[name].lower() for name in ("call_id", "caller", "callee", "place"))


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
