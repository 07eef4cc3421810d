"""A story as JSON: what ``recorder.get`` gives, and what a console draws. Pure.

The invariant: it is plain data, its texts hold no control characters but the lines of messages, and its octets are covered where secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.insight.lanes import Arrow, Lane, lanes_of
from sipnode.insight.masking import text_of
from sipnode.tables import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.insight.story import Entry, Story

MOST_CHANGES: Final = 200


class LaneDocument(TypedDict):
    id: int
    kind: str
    name: str
    device: str
    places: list[str]


class EventDocument(TypedDict):
    n: int
    when: float
    after: float
    kind: str
    room: str
    start: int
    end: int
    label: str
    transport: str
    place: str
    method: str
    status: int
    repeat: bool
    lost: bool
    why: str
    code: str
    of: int
    text: str
    changes: list[str]


class StoryDocument(TypedDict):
    call_id: str
    recorded: bool
    why_not: str
    method: str
    began: float
    whole: bool
    left_out: int
    live: bool
    outcome: str
    lanes: list[LaneDocument]
    events: list[EventDocument]


def not_recorded(call_id: str, why: str) -> StoryDocument:
    """The document of a call that nothing is known of, with the reason."""
    return StoryDocument(
        call_id=clean(call_id), recorded=False, why_not=why, method="", began=0.0, whole=False, left_out=0, live=False, outcome="",
        lanes=[], events=[],
    )  # fmt: skip


def document(story: Story, after: int = -1, code: Callable[[str], str] = lambda stage: "") -> StoryDocument:
    """A story.

    Args:
        after: Only events behind this one.
        code: File and line of a stage of the routing script, "" where that isn't known.
    """
    lanes, arrows = lanes_of(story)
    return StoryDocument(
        call_id=clean(story.call_id),
        recorded=True,
        why_not="",
        method=clean(story.method),
        began=story.began,
        whole=story.whole,
        left_out=story.left_out,
        live=story.live,
        outcome=story.outcome,
        lanes=[_lane(lane) for lane in lanes],
        events=[_event(arrow, story, code) for arrow in arrows if arrow.entry.n > after],
    )


def _lane(lane: Lane) -> LaneDocument:
    return LaneDocument(id=lane.id, kind=lane.kind, name=lane.name or "?", device=lane.device, places=list(lane.places))


def _event(arrow: Arrow, story: Story, code: Callable[[str], str]) -> EventDocument:
    entry = arrow.entry
    return EventDocument(
        n=entry.n,
        when=entry.when,
        after=round(entry.when - story.began, 6),
        kind=entry.kind,
        room=arrow.room,
        start=arrow.start,
        end=arrow.end,
        label=arrow.label,
        transport=entry.transport.lower(),
        place=entry.place if entry.transport else "",
        method=clean(entry.method),
        status=entry.status,
        repeat=entry.repeat or entry.kind == "resent",
        lost=arrow.lost,
        why=entry.why,
        code=code(entry.parts[1]) if entry.kind == "decided" else "",
        of=entry.of,
        text=text_of(entry.data) if entry.is_message else "",
        changes=changes(story.entries[entry.of], entry) if entry.of >= 0 else [],
    )


def changes(before: Entry, after: Entry) -> list[str]:
    """Lines that sipnode took out (``-``) and put in (``+``) when it passed a message on, in their order."""
    old, new = text_of(before.data).split("\n"), text_of(after.data).split("\n")
    kept: dict[str, int] = {}
    for line in new:
        kept[line] = kept.get(line, 0) + 1
    gone: list[str] = []
    for line in old:
        if kept.get(line, 0):
            kept[line] -= 1
        else:
            gone.append(f"-{line}")
    had: dict[str, int] = {}
    for line in old:
        had[line] = had.get(line, 0) + 1
    came: list[str] = []
    for line in new:
        if had.get(line, 0):
            had[line] -= 1
        else:
            came.append(f"+{line}")
    return (gone + came)[:MOST_CHANGES]


def plain(value: Any) -> Any:
    """JSON's own types of anything, texts made harmless."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return clean(str(value))
