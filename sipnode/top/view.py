"""The state as lines of a terminal, each a row of pieces with a style. Pure.

The invariant: as many lines as the terminal has, none wider than it, and nothing in them but printable characters: what a stranger wrote
into a message can't command the terminal.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sipnode.insight.ladder import drawn
from sipnode.tables import clean
from sipnode.top.model import CALLS, DIFF, HELP, LADDER, MESSAGE, SAVE, WHY

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.insight.document import EventDocument, StoryDocument
    from sipnode.insight.row import Row
    from sipnode.top.model import Model

PLAIN: Final = "plain"
HEAD: Final = "head"
BAR: Final = "bar"
DIM: Final = "dim"
GOOD: Final = "good"
BAD: Final = "bad"
WARNING: Final = "warning"
REQUEST: Final = "request"
CHOSEN: Final = "chosen"
"""Added to another style: ``chosen bad``."""

MOST_COMPARED: Final = 600
"""Lines of a message: comparing takes time by the square."""
PREVIEW: Final = 120
"""From this width on the message stands beside the ladder."""
TIME: Final = 10


class Piece(NamedTuple):
    """Text of one style."""

    text: str
    style: str


Line = list[Piece]
_Each = TypeVar("_Each")

_KEYS: Final = {
    CALLS: "Enter Ladder  / Search  e Why  F2 Save  p Pause  F1 Help  q Quit",
    LADDER: "Enter Message  Space Compare  d Changes  e Why  o Only messages  t Times  F2 Save  Esc Back",
    MESSAGE: "n Next  N Before  d Changes  e Why  F2 Save  Esc Back",
    DIFF: "F2 Save  Esc Back",
    WHY: "F2 Save  Esc Back",
    HELP: "Esc Back",
}
_HELP: Final = """\
Everywhere
  Up Down PgUp PgDn Home End, j k g G    move
  F2, s     save the call; the end of the name says as what: .pcap .txt .md .mmd .json .svg
  e         why the call failed
  F1, h     this page
  Esc, q    back

Calls
  Enter, F4     ladder of the call
  F3, /, F7     search: words that all have to fit: problems, live, a method, part of a Call-ID, name or address
  p             pause, and go on
  q             quit

Ladder
  Enter, F6     the message
  Space         mark a message; on another one: what differs between the two
  d             what sipnode changed in a message that it passed on
  o             only messages
  t             times since the beginning, or since the line before

Colours: red is what failed, green what is up or was answered.\
"""


def lines(model: Model) -> list[Line]:
    """What the terminal shows."""
    title, body = _VIEWS[model.view](model)
    shown = [[Piece(fit(title, model.width), BAR)], *body[: model.height - 2]]
    shown += [[Piece(" " * model.width, PLAIN)]] * (model.height - 2 - len(shown))
    shown.append([Piece(fit(_status(model), model.width), WARNING if model.said else PLAIN)])
    shown.append([Piece(fit(_KEYS[model.view], model.width), BAR)])
    return shown


def _status(model: Model) -> str:
    if model.prompt is not None:
        return f"{'save as' if model.prompt.kind == SAVE else 'search'}: {model.prompt.text}_"
    return model.said


# -- calls


def _calls(model: Model) -> tuple[str, list[Line]]:
    failed = sum(row["state"] == "failed" for row in model.rows)
    title = f"sipnode top  {len(model.rows)} calls, {failed} failed"
    title += f"  search: {model.search}" if model.search else ""
    title += "  paused" if model.paused else ""
    room = max(10, (model.width - 45) // 3)
    head = f"{'Time':<8} {'Method':<9} {'From':<{room}} {'To':<{room}} {'Events':>6} {'Source':<{room}} State"
    body: list[Line] = [[Piece(fit(head, model.width), HEAD)]]
    row = model.row
    place = next((number for number, each in enumerate(model.rows) if each is row), 0)
    for each in window(model.rows, place, model.body):
        state = GOOD if each["state"] == "live" else BAD if each["state"] == "failed" else PLAIN
        body.append([Piece(fit(_call(each, room), model.width), f"{CHOSEN} {state}" if each is row else state)])
    if not model.rows:
        body.append([Piece(fit("no call is recorded" if not model.search else "no call fits", model.width), DIM)])
    return title, body


def _call(row: Row, room: int) -> str:
    began = datetime.fromtimestamp(row["began"]).strftime("%H:%M:%S")
    source = f"{row['transport']}:{row['place']}" if row["transport"] else row["place"]
    state = row["outcome"] or row["state"]
    return (
        f"{began:<8} {fit(row['method'], 9)} {fit(row['caller'], room)} {fit(row['callee'], room)} {row['events']:>6}"
        f" {fit(source, room)} {state}"
    )


# -- ladder


def _ladder(model: Model) -> tuple[str, list[Line]]:
    story = model.story
    if story is None:
        return "sipnode top", [[Piece(fit("it is asked for …", model.width), DIM)]]
    title = f"{story['call_id']}  {story['outcome'] or ('live' if story['live'] else '')}"
    if story["left_out"]:
        title += f"  {story['left_out']} events from the middle aren't kept"
    width = model.width * 11 // 20 if model.width >= PREVIEW else model.width
    lanes = story["lanes"]
    cell = max(8, min(22, (width - TIME - 30) // max(1, len(lanes))))
    head = " " * TIME + "".join(fit(lane["name"], cell - 1) + " " for lane in lanes)
    left: list[Line] = [[Piece(fit(head, width), HEAD)]]
    events, arrow = model.events, model.arrow
    place = next((number for number, each in enumerate(events) if each is arrow), 0)
    first = window_start(len(events), place, model.body)
    for number, event in enumerate(window(events, place, model.body), first):
        style = _colour(event)
        mark = "*" if event["n"] == model.marked else " "
        before = events[number - 1]["after"] if number and model.between else 0.0
        shaft = drawn(event["start"], event["end"], len(lanes), cell, event["repeat"], event["lost"])
        text = f"{event['after'] - before:{TIME - 2}.3f}{mark} {shaft} {event['label']}"
        left.append([Piece(fit(text, width), f"{CHOSEN} {style}" if event is arrow else style)])
    if width == model.width:
        return title, left
    right = message_lines(arrow, model.width - width - 2) if arrow is not None else []
    empty = [Piece(" " * width, PLAIN)]
    rows = max(len(left), min(len(right), model.body + 1))
    bar = Piece("| ", DIM)
    none = Piece(" " * (model.width - width - 2), PLAIN)
    return title, [[*(left[n] if n < len(left) else empty), bar, right[n] if n < len(right) else none] for n in range(rows)]


def _colour(event: EventDocument) -> str:
    status = event["status"]
    if event["lost"] or status >= 400:
        return BAD
    if 200 <= status < 300:
        return GOOD
    return DIM if not event["text"] else PLAIN if status else REQUEST


def message_lines(event: EventDocument, width: int) -> list[Piece]:
    """A message, or what else happened, in lines of a width."""
    text = event["text"].rstrip("\n") or event["label"]
    found = [Piece(part, HEAD if not number else PLAIN) for number, line in enumerate(text.split("\n")) for part in wrapped(line, width)]
    if event["code"]:
        found.append(Piece(fit(f"decided in {event['code']}", width), DIM))
    return found


def _message(model: Model) -> tuple[str, list[Line]]:
    arrow = model.arrow
    if arrow is None:
        return "sipnode top", []
    title = f"#{arrow['n']} {arrow['after']:+.3f} s  {arrow['transport']} {arrow['place']}  {arrow['label']}"
    return title, _scrolled(model, message_lines(arrow, model.width))


def _scrolled(model: Model, pieces: list[Piece]) -> list[Line]:
    room = model.height - 3
    model.scroll = max(0, min(model.scroll, len(pieces) - room))
    return [[piece] for piece in pieces[model.scroll : model.scroll + room]]


# -- difference


def _diff(model: Model) -> tuple[str, list[Line]]:
    story, arrow = model.story, model.arrow
    before = next((each for each in story["events"] if each["n"] == model.marked), None) if story is not None else None
    if before is None or arrow is None or story is None:
        return "sipnode top", []
    title = f"#{before['n']} and #{arrow['n']}"
    decided = _decision(story, arrow) if arrow["of"] == before["n"] else ""
    if decided:
        title += f"  {decided}"
    pieces = []
    for mark, line in difference(before["text"], arrow["text"]):
        style = BAD if mark == "-" else GOOD if mark == "+" else PLAIN
        pieces += [Piece(fit(mark + part, model.width), style) for part in wrapped(line, model.width - 1)]
    return title, _scrolled(model, pieces)


def _decision(story: StoryDocument, arrow: EventDocument) -> str:
    """What was decided between a message that came and the one that was made of it."""
    between = [each for each in story["events"] if arrow["of"] < each["n"] and each["kind"] == "decided" and each["label"]]
    # A stage is told as decided when its branches have gone, so it may stand behind.
    found = next((each for each in between if each["label"].startswith(f"{arrow['method']}: ")), None)
    return f"{found['label']} ({found['code']})" if found is not None and found["code"] else ""


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """Lines with ``-`` (gone), ``+`` (new) or a blank before each."""
    old, new = before.rstrip("\n").split("\n")[:MOST_COMPARED], after.rstrip("\n").split("\n")[:MOST_COMPARED]
    found: list[tuple[str, str]] = []
    for kind, first, last, start, end in SequenceMatcher(None, old, new).get_opcodes():
        if kind == "equal":
            found += [(" ", line) for line in old[first:last]]
        else:
            found += [*(("-", line) for line in old[first:last]), *(("+", line) for line in new[start:end])]
    return found


# -- texts


def _why(model: Model) -> tuple[str, list[Line]]:
    text = model.reason or ["it is asked for …"]
    pieces = [Piece(part, HEAD if not number else PLAIN) for number, line in enumerate(text) for part in wrapped(line, model.width)]
    return f"why  {model.open_call}", _scrolled(model, pieces)


def _help(model: Model) -> tuple[str, list[Line]]:
    return "sipnode top: keys", _scrolled(model, [Piece(fit(line, model.width), PLAIN) for line in _HELP.split("\n")])


_VIEWS: Final[dict[str, Callable[[Model], tuple[str, list[Line]]]]] = {
    CALLS: _calls, LADDER: _ladder, MESSAGE: _message, DIFF: _diff, WHY: _why, HELP: _help,
}  # fmt: skip


# -- cells


def window_start(count: int, place: int, room: int) -> int:
    """The first of the lines that are shown, so that the one at that place is among them, near the middle."""
    return max(0, min(place - room // 2, count - room))


def window(items: list[_Each], place: int, room: int) -> list[_Each]:
    """Those of many lines that are shown around a place."""
    first = window_start(len(items), place, room)
    return items[first : first + room]


def cells(character: str) -> int:
    """Cells that a printable character takes. One that is drawn onto the one before counts, too, else a name could pile up without end."""
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Exactly so many cells of a text, made harmless."""
    text = clean(text)
    if text.isascii():
        return text.ljust(width) if len(text) <= width else text[: width - 1] + "~" if width > 0 else ""
    kept, taken = [], 0
    for character in text:
        needed = cells(character)
        if taken + needed > width:
            break
        kept.append(character)
        taken += needed
    return "".join(kept) + " " * (width - taken)


def wrapped(line: str, width: int) -> list[str]:
    """A line in as many as it needs; each of exactly that width."""
    line = clean(line.expandtabs(4))
    found: list[str] = []
    start = 0
    while start < len(line):
        taken, end = 0, start
        while end < len(line) and taken + cells(line[end]) <= width:
            taken += cells(line[end])
            end += 1
        end = max(end, start + 1)
        found.append(fit(line[start:end], width))
        start = end
    return found or [" " * width]
