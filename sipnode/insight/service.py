"""What others ask about recorded calls: a list, one call, its ladder in some form, why it failed. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypedDict

from sipnode.insight.document import StoryDocument, document, not_recorded
from sipnode.insight.explain import UNKNOWN as UNEXPLAINED
from sipnode.insight.explain import Explanation, explain, unexplained
from sipnode.insight.export import FORMS, Export
from sipnode.insight.finding import Around
from sipnode.insight.life import life
from sipnode.insight.ring import Ring
from sipnode.insight.row import Row, row_of
from sipnode.insight.story import Story, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipnode.insight.archive import Archive
    from sipnode.insight.exporter import Exporter
    from sipnode.insight.finished import Finished
    from sipnode.insight.recorder import Recorder
    from sipnode.observe.sentences import Step

OFF: Final = "nothing is recorded: [recorder] enabled is false"
UNKNOWN: Final = "not recorded: no call of this Call-ID came while the recorder was on, or its record had to make room, or is too old"
MOST_LISTED: Final = 500
MOST_SEARCHED: Final = 5000
PROBLEMS: Final = "problems"
LIVE: Final = "live"


class State(TypedDict):
    on: bool
    kept: int
    kept_octets: int
    given_up: int
    fault: str
    records: int
    octets: int
    most_octets: int
    forgotten: dict[str, int]
    left_out: int


class Insight:
    """The recorder and those who read it.

    Args:
        recorder: None where nothing is recorded.

    Attributes:
        around: Facts that no single call has.
        archive: Records of calls that failed on the disk, None where none are wanted.
        exporter: Sends traces of calls, None where nobody wants them.
        finished: Hands on records of calls that have ended, None where nobody wants them.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self.keeper = recorder
        self.around = Around()
        self.archive: Archive | None = None
        self.exporter: Exporter | None = None
        self.finished: Finished | None = None

    @property
    def ring(self) -> Ring | None:
        """Where records are, None where nothing is recorded."""
        return None if self.keeper is None else self.keeper.ring

    def state(self) -> State:
        """Whether it is on, and how full it is."""
        ring = self.ring
        if ring is None:
            return State(
                on=False, kept=0, kept_octets=0, given_up=0, fault="", records=0, octets=0, most_octets=0, forgotten={}, left_out=0
            )
        archive = self.archive
        return State(
            on=True,
            kept=len(archive) if archive is not None else 0,
            kept_octets=archive.octets if archive is not None else 0,
            given_up=(archive.given_up if archive is not None else 0) + (self.finished.dropped if self.finished is not None else 0),
            fault=archive.fault if archive is not None else "",
            records=len(ring.records), octets=ring.size, most_octets=ring.most_octets,
            forgotten=dict(zip(("strangers", "calls", "failed"), ring.forgotten, strict=True)), left_out=ring.left_out,
        )  # fmt: skip

    def rows(self, count: int, search: str) -> list[Row]:
        """Records, the newest first.

        Args:
            count: At most.
            search: Words, each of which has to fit: ``problems``, ``live``, a method, or a part of Call-ID, caller or callee.
        """
        words = search.lower().split()
        found: list[Row] = []
        for row in islice(self._all_rows(), MOST_SEARCHED):
            if all(_fits(word, row) for word in words):
                found.append(row)
                if len(found) >= min(count, MOST_LISTED):
                    break
        return found

    def _all_rows(self) -> Iterator[Row]:
        """Those in memory, the newest first, then those that are on the disk only."""
        ring = self.ring
        if ring is None:
            return
        for record in list(ring.records.values())[::-1]:
            yield row_of(record)
        for row in self.archive.rows() if self.archive is not None else ():
            if row["call_id"] not in ring.records:
                yield row

    def story(self, call_id: str) -> Story | None:
        """The story of a call, None where it isn't recorded."""
        found = self.found(call_id)
        return None if found is None else found[0]

    def found(self, call_id: str) -> tuple[Story, Around] | None:
        """A story, from the disk where it isn't in memory, and what is or was around it."""
        if self.keeper is None:
            return None
        record = self.keeper.ring.records.get(call_id)
        if record is not None:
            return read(record, self.keeper.closings), self.around
        kept = self.archive.find(call_id) if self.archive is not None else None
        return None if kept is None else (kept.story, kept.around)

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
        found = self.found(call_id)
        return not_recorded(call_id, self.why_not()) if found is None else document(found[0], after, found[1].code)

    def explain(self, call_id: str) -> Explanation:
        """Why a call failed, also of one that isn't recorded or has not failed: it says so."""
        found = self.found(call_id)
        return unexplained(call_id, self.why_not()) if found is None else explain(*found)

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
        found = self.found(call_id)
        return Export(found=False, form=form, text=self.why_not(), base64=False) if found is None else make(*found)


def _fits(word: str, row: Row) -> bool:
    if word == PROBLEMS:
        return row["state"] == "failed"
    if word == LIVE:
        return row["state"] == "live"
    return word == row["method"].lower() or any(word in row[name].lower() for name in ("call_id", "caller", "callee", "place"))
