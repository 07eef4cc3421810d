"""A ladder with all that took part in it, for drawings: the lanes of a story, and the routing script as one of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sipnode.insight.lanes import SERVER, Arrow, Lane, lanes_of
from sipnode.insight.ring import DECIDED, RESENT, UNSENT

if TYPE_CHECKING:
    from sipnode.insight.story import Story

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
