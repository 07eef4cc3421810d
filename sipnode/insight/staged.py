"""A ladder with all that took part in it, for drawings: the lanes of a story, and the routing script as one of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sipnode.base.tap import MEDIA
from sipnode.insight.lanes import SERVER, Arrow, Lane, lanes_of
from sipnode.insight.ring import ANSWERED, DECIDED, RESENT, UNSENT
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.story import Story

MOST_SHORT: Final = 60
SCRIPT: Final = "script"
"""Kind of the routing script's lane."""


@dataclass(slots=True)
class Staged:
    """Lanes from left to right, and every event.

    Attributes:
        lanes: Whoever took part; the script stands behind those who speak SIP.
        arrows: Oldest first; their lanes are numbers of these.
    """

    lanes: list[Lane]
    arrows: list[Arrow]


def staged(story: Story) -> Staged:
    """The drawing's parts: what the script decided goes from the server to the script's lane."""
    lanes, arrows = lanes_of(story)
    if not any(arrow.entry.kind == DECIDED for arrow in arrows):
        return Staged(lanes, arrows)
    server = next(lane.id for lane in lanes if lane.kind == SERVER)
    place = 1 + max(lane.id for lane in lanes if lane.kind in (SERVER, "peer"))
    for lane in lanes:
        if lane.id >= place:
            lane.id += 1
    for arrow in arrows:
        arrow.start += arrow.start >= place
        arrow.end += arrow.end >= place
        if arrow.entry.kind == DECIDED:
            arrow.start, arrow.end, arrow.room = server, place, SCRIPT
    lanes.insert(place, Lane(place, SCRIPT, SCRIPT, "", []))
    return Staged(lanes, arrows)


def is_repeat(arrow: Arrow) -> bool:
    """Whether it is a message that was sent before."""
    return arrow.entry.repeat or arrow.entry.kind == RESENT


def is_lost(arrow: Arrow) -> bool:
    """Whether it didn't get there."""
    return arrow.lost or arrow.entry.kind == UNSENT


def short(arrow: Arrow) -> str:
    """What is written at an arrow: of a message its method or status, of a decision stage and verdict, of an answer what it was to."""
    entry = arrow.entry
    if entry.kind == DECIDED:
        return clean(f"{entry.parts[1]}: {entry.parts[2]}")[:MOST_SHORT]
    if entry.kind == ANSWERED and entry.parts[0] == MEDIA:
        return clean(f"{entry.parts[1]}: {entry.parts[2] or 'done'}")[:MOST_SHORT]
    if not entry.is_message or entry.message is None:
        return arrow.label if len(arrow.label) <= MOST_SHORT else f"{arrow.label[: MOST_SHORT - 1]}…"
    sdp = " + SDP" if entry.body and "sdp" in entry.header("content-type").lower() else ""
    said = f"{entry.status} {getattr(entry.message, 'reason', '')}".strip() if entry.status else entry.method
    return clean(said)[:MOST_SHORT] + sdp
