"""The ladder as a drawing: SVG that stands alone, as the console draws it. Pure.

Implements: SVG 1.1 (Second Edition), XML 1.0 §2.2 and §2.4 (which characters there are, and which have to be written otherwise). The
invariant: whatever was in a message, the drawing holds no script, no link, nothing from elsewhere, and no character that XML doesn't have.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from sipnode.insight.explain import explain
from sipnode.insight.lanes import SERVER
from sipnode.insight.staged import is_lost, is_repeat, short, staged
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.finding import Around
    from sipnode.insight.lanes import Arrow, Lane
    from sipnode.insight.story import Story

COLOURS: Final = {
    "udp": "#0072b2", "tcp": "#b9540a", "tls": "#00795c", "ws": "#a8457f", "wss": "#6f42a6",
    "media": "#7a6200", "dns": "#3b6f86", "database": "#7d5a45", "script": "#5d6b2e",
}  # fmt: skip
"""Of transports, and of who was asked: apart from each other for those who see fewer colours, too (after Okabe and Ito)."""
_PLAIN: Final = "#5f6a65"
_INK, _SOFT, _LINE, _PAPER, _BAD = "#16211c", "#57635d", "#dbd7ca", "#fffefb", "#b3261e"
TIME: Final = 84
LANE: Final = 190
ROW: Final = 32
BOX: Final = 40
_MARGIN: Final = 16
_LETTER: Final = 6.4
_BOLD_LETTER: Final = 7.4
_WIDE: Final = 110


def svg(story: Story, around: Around) -> str:
    """The drawing: what the call was, why it failed, its lanes and arrows, and what the colours mean."""
    drawing = staged(story)
    width = max(640, TIME + LANE * len(drawing.lanes) + _MARGIN)
    parts: list[str] = []
    top = _heading(parts, story, around, int((width - 2 * _MARGIN) / _LETTER))
    first = top + BOX + 8
    height = first + ROW * len(drawing.arrows) + 44
    for lane in drawing.lanes:
        parts.append(_line(_x(lane.id), first - 8, _x(lane.id), height - 36, "#0b6b4b" if lane.kind == SERVER else _LINE, 1.5))
        parts.append(_box(lane, top))
    for number, arrow in enumerate(drawing.arrows):
        parts.append(_row(arrow, story.began, first + ROW * number + ROW - 9, len(drawing.lanes), width))
    parts.append(_legend(drawing.arrows, height - 16))
    title = escape(clean(f"{story.method} {story.call_id}"))
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            'font-family="system-ui, Segoe UI, Roboto, Noto Sans, sans-serif" font-size="12">',
            f"<title>{title}</title>",
            f'<rect width="{width}" height="{height}" fill="{_PAPER}"/>',
            *parts,
            "</svg>",
            "",
        )
    )


def _heading(parts: list[str], story: Story, around: Around, letters: int) -> int:
    """Call-ID, time, and the sentence that explains it; where it ends."""
    began = datetime.fromtimestamp(story.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    outcome = f", {story.outcome}" if story.outcome else ", live" if story.live else ""
    why = explain(story, around)
    parts.append(_text(_MARGIN, 26, f"{story.method} {story.call_id}", weight=700, size=15))
    parts.append(_text(_MARGIN, 44, f"{began}{outcome}{'' if story.whole else '; the record is not whole'}", _SOFT))
    place = 66
    sentence = f"{why['sentence']} {why['mend']}".strip()
    for line in textwrap.wrap(clean(sentence), min(letters, _WIDE))[:6]:
        parts.append(_text(_MARGIN, place, line, _BAD if why["fault"] else _INK))
        place += 16
    return place


def _x(lane: int) -> float:
    return TIME + LANE * (lane + 0.5)


def _text(x: float, y: float, text: str, colour: str = _INK, *, anchor: str = "start", weight: int = 400, size: float = 12) -> str:
    given = f'x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}"'
    return f"<text {given}>{escape(clean(text))}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str = "") -> str:
    dashed = f" stroke-dasharray={quoteattr(dash)}" if dash else ""
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}" stroke-width="{width:g}"{dashed} fill="none"/>'


def _cut(text: str, room: float) -> str:
    letters = max(4, int(room / _LETTER))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _box(lane: Lane, top: int) -> str:
    x = _x(lane.id)
    below = lane.device or (lane.places[0] if lane.places else "")
    colour = "#dcece3" if lane.kind == SERVER else "#eceae1"
    return "".join(
        (
            f'<rect x="{x - LANE / 2 + 5:g}" y="{top}" width="{LANE - 10}" height="{BOX}" rx="7" fill="{colour}" stroke="{_LINE}"/>',
            _text(x, top + (17 if below else 25), _cut(lane.name or "?", LANE - 20), anchor="middle", weight=650, size=13),
            _text(x, top + 32, _cut(below, LANE - 14), _SOFT, anchor="middle", size=11) if below else "",
        )
    )


def _row(arrow: Arrow, began: float, y: int, lanes: int, width: int) -> str:
    entry = arrow.entry
    colour = COLOURS.get(entry.transport.lower() if arrow.room == "wire" else arrow.room, _PLAIN)
    parts = [_text(TIME - 8, y - 3, f"{entry.when - began:+.3f}", _SOFT, anchor="end", size=11)]
    start, end = _x(arrow.start), _x(arrow.end)
    if arrow.start == arrow.end:
        left = arrow.start > (lanes - 1) / 2
        room = start - TIME if left else width - start
        parts.append(f'<circle cx="{start:g}" cy="{y - 4}" r="4" fill="{colour}"/>')
        place = start - 10 if left else start + 10
        parts.append(_text(place, y, _cut(arrow.label, room - 24), _SOFT, anchor="end" if left else "start"))
        return "<g>" + "".join(parts) + "</g>"
    way = 1 if end > start else -1
    tip = end - way * 2
    wire = arrow.room == "wire"
    dash = "1.5 4" if is_repeat(arrow) else "" if wire else "7 3"
    parts.append(_line(start + way * 2, y, tip - way * 6, y, colour, 2 if wire else 1.5, dash))
    if is_lost(arrow):
        back, front = tip - way * 9, tip - way
        parts.append(_line(back, y - 5, front, y + 5, colour, 2.5) + _line(back, y + 5, front, y - 5, colour, 2.5))
    else:
        parts.append(f'<path d="M{tip:g} {y}L{tip - way * 9:g} {y - 4.5:g}V{y + 4.5:g}Z" fill="{colour}"/>')
    bad = entry.status >= 400 and entry.status not in (401, 407)
    room = abs(end - start) - 12
    label = arrow.label if len(arrow.label) * _BOLD_LETTER <= room else short(arrow)
    label = _cut(label, room * _LETTER / _BOLD_LETTER)
    parts.append(_text((start + end) / 2, y - 5, label, _BAD if bad else _INK, anchor="middle", weight=600))
    if wire:
        anchor = "start" if way > 0 else "end"
        parts.append(_text(start + way * 6, y + 10, entry.transport.upper(), colour, anchor=anchor, weight=650, size=9))
    return "<g>" + "".join(parts) + f"<title>{escape(clean(arrow.label))}</title></g>"


def _legend(arrows: list[Arrow], y: int) -> str:
    """A sample of each colour that was used."""
    used = {arrow.entry.transport.lower() if arrow.room == "wire" else arrow.room for arrow in arrows if arrow.start != arrow.end}
    parts: list[str] = []
    x = float(_MARGIN)
    for name in (name for name in COLOURS if name in used):
        shown = {"media": "ng", "dns": "DNS"}.get(name, name if name in ("database", "script") else name.upper())
        parts.append(_line(x, y - 4, x + 24, y - 4, COLOURS[name], 2, "7 3" if name in ("media", "dns", "database", "script") else ""))
        parts.append(_text(x + 30, y, shown, COLOURS[name], weight=600))
        x += 48 + len(shown) * 8
    if any(is_repeat(arrow) for arrow in arrows):
        parts.append(_line(x, y - 4, x + 24, y - 4, _PLAIN, 2.5, "1.5 4"))
        parts.append(_text(x + 30, y, "sent once more", _PLAIN, weight=600))
    return "".join(parts)
