"""The ladder as text: a column for each lane, an arrow for each message, a line for all else. Pure.

::

       0.000  alice        sipnode      bob
              |----------->|            |     INVITE sip:bob@example.com [SDP]
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sipnode.insight.lanes import SERVER, lanes_of
from sipnode.insight.ring import HANDSHAKE, RESENT, UNSENT
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.lanes import Arrow, Lane
    from sipnode.insight.story import Story

LEAST: Final = 14
MOST: Final = 22
TIME: Final = 11


def ladder(story: Story) -> str:
    """The text, without a line end behind it."""
    lanes, arrows = lanes_of(story)
    width = max(LEAST, min(MOST, max((len(_title(lane)) + 2 for lane in lanes), default=LEAST)))
    began = datetime.fromtimestamp(story.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    head = f"{clean(story.call_id)}  {began}"
    if story.outcome:
        head += f"  {story.outcome}"
    lines = [head, "", " " * TIME + "".join(_title(lane)[: width - 1].ljust(width) for lane in lanes).rstrip()]
    below = [(lane.device or (lane.places[0] if lane.places else ""))[: width - 1] for lane in lanes]
    lines.append(" " * TIME + "".join(text.ljust(width) for text in below).rstrip())
    count = len(lanes)
    for number, arrow in enumerate(arrows):
        lines.append(_line(arrow, story.began, count, width))
        if story.left_out and number == len(arrows) // 2:
            lines.append(f"{'':{TIME}}... {story.left_out} events from the middle aren't kept ...")
    if not story.whole and story.entries[:1] and story.entries[0].kind != HANDSHAKE:
        lines.append("The record doesn't begin with the call." if not story.left_out else "The record isn't whole.")
    return "\n".join(lines)


def _title(lane: Lane) -> str:
    return lane.name if lane.kind == SERVER or lane.name else lane.places[0] if lane.places else "?"


def _line(arrow: Arrow, began: float, count: int, width: int) -> str:
    again = arrow.entry.kind == RESENT or arrow.entry.repeat
    shaft = drawn(arrow.start, arrow.end, count, width, again, arrow.entry.kind == UNSENT)
    return f"{arrow.entry.when - began:{TIME - 2}.3f}  {shaft}  {arrow.label}"


def drawn(start: int, end: int, count: int, width: int, dotted: bool, lost: bool) -> str:
    """The lanes of a line and an arrow between two of them, ``|------->|         |``.

    Args:
        start, end: Numbers of lanes, the same for a mark on one. count: How many lanes there are. width: Characters of each.
        dotted: It was sent before. lost: It doesn't get there.
    """
    row = list(("|" + " " * (width - 1)) * count)
    left, right = sorted((start, end))
    if left != right:
        first, last = left * width + 1, right * width
        for position in range(first, last):
            row[position] = "." if dotted else "-"
        if start < end:
            row[last - 1] = "x" if lost else ">"
        else:
            row[first] = "x" if lost else "<"
    else:
        row[start * width] = "*"
    return "".join(row[: (count - 1) * width + 1])
