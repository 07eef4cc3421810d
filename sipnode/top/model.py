"""What the terminal shows and what its keys do: state, and keys that change it. Pure.

The keys are sngrep's, so far as it has them. What has to be asked of the server or written to a file becomes an order, which
:mod:`sipnode.top.session` carries out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.insight.document import EventDocument, StoryDocument
    from sipnode.insight.row import Row

CALLS: Final = "calls"
LADDER: Final = "ladder"
MESSAGE: Final = "message"
DIFF: Final = "diff"
WHY: Final = "why"
HELP: Final = "help"

SEARCH: Final = "search"
SAVE: Final = "save"

ROWS: Final = "rows"
"""Order: the list of calls, as ``search`` wants it."""
STORY: Final = "story"
"""Order: the call of ``call_id``."""
REASON: Final = "reason"
"""Order: why the call of ``call_id`` failed."""
WRITE: Final = "write"
"""Order: the call of ``call_id`` into the file ``text``."""

FORMS: Final = {".pcap": "pcap", ".txt": "text", ".md": "markdown", ".mmd": "mermaid", ".json": "json", ".svg": "svg"}
"""What a file is written as, by the end of its name."""
MOST_TYPED: Final = 200
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, slots=True)
class Order:
    """What has to be done outside.

    Attributes:
        what: One of the orders above.
        call_id: Of which call. text: The name of a file.
    """

    what: str
    call_id: str = ""
    text: str = ""


@dataclass(slots=True)
class Prompt:
    """A line that is being typed.

    Attributes:
        kind: ``search`` or ``save``. text: So far.
        call_id: Of the call that is saved.
    """

    kind: str
    text: str
    call_id: str = ""


@dataclass(slots=True)
class Model:
    """The state of the terminal.

    Attributes:
        width, height: Of the terminal, in cells.
        view: Which one is shown. before: Those that one comes back to.
        rows: Calls, the newest first. chosen: Call-ID of the one under the cursor.
        search: Words that calls have to fit. paused: The list stays as it is.
        story: The call that is open. event: Place of the arrow under the cursor. marked: Of the one that is compared with, -1 for none.
        bare: Only messages are shown. between: Times are since the line before.
        reason: Lines of the explanation. scroll: First line of a text that is shown.
        prompt: What is typed, if something is.
        said: A word to the user. orders: What has to be done outside. over: The user has had enough.
    """

    width: int = 80
    height: int = 24
    view: str = CALLS
    before: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    chosen: str = ""
    search: str = ""
    paused: bool = False
    story: StoryDocument | None = None
    event: int = 0
    marked: int = -1
    bare: bool = False
    between: bool = False
    reason: list[str] = field(default_factory=list)
    scroll: int = 0
    prompt: Prompt | None = None
    said: str = ""
    orders: list[Order] = field(default_factory=list)
    over: bool = False

    # -- what is there

    @property
    def body(self) -> int:
        """Lines between the first two and the last two."""
        return max(1, self.height - 4)

    @property
    def row(self) -> Row | None:
        """The call under the cursor, the first one where that is gone."""
        return next((row for row in self.rows if row["call_id"] == self.chosen), self.rows[0] if self.rows else None)

    @property
    def events(self) -> list[EventDocument]:
        """The lines of the ladder."""
        if self.story is None:
            return []
        return [event for event in self.story["events"] if event["text"] or not self.bare]

    @property
    def arrow(self) -> EventDocument | None:
        """The line of the ladder under the cursor."""
        events = self.events
        return events[max(0, min(self.event, len(events) - 1))] if events else None

    @property
    def open_call(self) -> str:
        """Call-ID of the call that is open, else of the one under the cursor, "" for none."""
        if self.view != CALLS and self.story is not None:
            return self.story["call_id"]
        row = self.row
        return row["call_id"] if row is not None else ""

    # -- what comes from outside

    def take_rows(self, rows: list[Row]) -> None:
        """The list of calls, as it is now. The cursor stays on its call."""
        if self.paused:
            return
        self.rows = rows
        row = self.row
        self.chosen = row["call_id"] if row is not None else ""

    def take_row(self, row: Row) -> None:
        """The call that is open, as the list has it now: where it has gone on, it is asked for anew."""
        story = self.story
        if story is None or story["call_id"] != row["call_id"]:
            return
        if row["events"] > len(story["events"]) or row["last"] > story["events"][-1]["when"] or story["outcome"] != row["outcome"]:
            self.orders.append(Order(STORY, story["call_id"]))

    def take_story(self, story: StoryDocument) -> None:
        """A call; the cursor stays on its line, or at the end where it was there."""
        if not story["recorded"]:
            self.said = story["why_not"]
            if self.story is None and self.view == LADDER:
                self._back()
            return
        same = self.story is not None and self.story["call_id"] == story["call_id"]
        at_end = same and self.event >= len(self.events) - 1 and len(self.events) > 1 and self.view == LADDER
        self.story = story
        if not same:
            self.event, self.marked = 0, -1
        elif at_end:
            self.event = len(self.events) - 1

    def take_reason(self, lines: list[str]) -> None:
        """Why the call failed."""
        self.reason = lines

    def resize(self, width: int, height: int) -> None:
        """The terminal has another size."""
        self.width, self.height = max(20, width), max(6, height)

    # -- keys

    def key(self, name: str) -> None:
        """A key: a character, or ``up``, ``down``, ``pageup``, ``pagedown``, ``home``, ``end``, ``left``, ``right``, ``enter``, ``escape``,
        ``space``, ``backspace``, ``f1`` … ``f12``.
        """
        self.said = ""
        if self.prompt is not None:
            self._typed(self.prompt, name)
            return
        if name in ("f1", "h", "?") and self.view != HELP:
            self._show(HELP)
        elif name in ("q", "escape", "left") and self.view != CALLS:
            self._back()
        elif name == "f2" or name == "s":
            self._save()
        elif name == "e":
            self._explain()
        else:
            _VIEWS[self.view](self, name)

    def _show(self, view: str) -> None:
        self.before.append(self.view)
        self.view, self.scroll = view, 0

    def _back(self) -> None:
        if self.view == DIFF:
            self.marked = -1
        self.view, self.scroll = self.before.pop() if self.before else CALLS, 0
        if self.view == CALLS:
            self.story, self.before = None, []

    def _save(self) -> None:
        call_id = self.open_call
        if not call_id:
            self.said = "no call is chosen"
            return
        safe = "".join(each if each in _SAFE else "_" for each in call_id)[:60].lstrip(".") or "call"
        self.prompt = Prompt(SAVE, f"{safe}.pcap", call_id)

    def _explain(self) -> None:
        call_id = self.open_call
        if not call_id:
            self.said = "no call is chosen"
        elif self.view != WHY:
            self.reason = []
            self._show(WHY)
            self.orders.append(Order(REASON, call_id))

    def _typed(self, prompt: Prompt, name: str) -> None:
        if name == "escape":
            self.prompt = None
        elif name == "backspace":
            prompt.text = prompt.text[:-1]
        elif name == "enter":
            self.prompt = None
            self._entered(prompt)
        elif name == "space":
            prompt.text += " "
        elif len(name) == 1 and name.isprintable() and len(prompt.text) < MOST_TYPED:
            prompt.text += name

    def _entered(self, prompt: Prompt) -> None:
        if prompt.kind == SEARCH:
            self.search, self.paused = prompt.text.strip(), False
            self.orders.append(Order(ROWS))
        elif PurePath(prompt.text).suffix not in FORMS:
            self.said = f"the name has to end with one of {' '.join(FORMS)}"
            self.prompt = prompt
        else:
            self.orders.append(Order(WRITE, prompt.call_id, prompt.text))

    def _calls(self, name: str) -> None:
        if name in ("q", "escape"):
            self.over = True
        elif name in ("f3", "f7", "/", "f"):
            self.prompt = Prompt(SEARCH, self.search)
        elif name == "p":
            self.paused = not self.paused
        elif name in ("enter", "right", "f4", "x") and self.open_call:
            self.story = None
            self.orders.append(Order(STORY, self.open_call))
            self._show(LADDER)
        elif self.rows:
            places = {row["call_id"]: number for number, row in enumerate(self.rows)}
            place = moved(name, places.get(self.chosen, 0), len(self.rows), self.body)
            self.chosen = self.rows[place]["call_id"]

    def _ladder(self, name: str) -> None:
        arrow = self.arrow
        if name in ("enter", "right", "f6", "r", "R") and arrow is not None:
            if self.marked not in (-1, arrow["n"]):
                self._compare(arrow)
            else:
                self._show(MESSAGE)
        elif name == "space" and arrow is not None:
            if not arrow["text"]:
                self.said = "only messages can be compared"
            elif self.marked == -1:
                self.marked = arrow["n"]
            elif self.marked == arrow["n"]:
                self.marked = -1
            else:
                self._compare(arrow)
        elif name == "d":
            self._changes(arrow)
        elif name == "t":
            self.between = not self.between
        elif name == "o":
            kept = arrow["n"] if arrow is not None else 0
            self.bare = not self.bare
            self.event = next((place for place, event in enumerate(self.events) if event["n"] >= kept), max(0, len(self.events) - 1))
        else:
            self.event = moved(name, self.event, len(self.events), self.body)

    def _compare(self, arrow: EventDocument) -> None:
        if arrow["text"]:
            self._show(DIFF)
        else:
            self.said = "only messages can be compared"

    def _changes(self, arrow: EventDocument | None) -> None:
        if arrow is None or arrow["of"] < 0:
            self.said = "sipnode didn't pass this on"
            return
        self.marked = arrow["of"]
        self._show(DIFF)

    def _message(self, name: str) -> None:
        if name in ("n", "N"):
            # The next or the last one before, without going back.
            self.event, self.scroll = moved("down" if name == "n" else "up", self.event, len(self.events), 1), 0
        elif name == "d":
            self._changes(self.arrow)
        else:
            self._scrolled(name)

    def _scrolled(self, name: str) -> None:
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -self.body, "pagedown": self.body, "space": self.body}
        if name in ("home", "g"):
            self.scroll = 0
        else:
            # How long the text is knows only who draws it, who bounds this.
            self.scroll = max(0, self.scroll + (step.get(name, 0) if name not in ("end", "G") else 1_000_000))


def moved(name: str, place: int, count: int, page: int) -> int:
    """Where a cursor is after a key.

    Args:
        place: Before. count: Of all lines. page: How many are shown.
    """
    step = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -page, "pagedown": page}.get(name, 0)
    place = 0 if name in ("home", "g") else count - 1 if name in ("end", "G") else place + step
    return max(0, min(place, count - 1))


_VIEWS: Final[dict[str, Callable[[Model, str], None]]] = {
    CALLS: Model._calls,
    LADDER: Model._ladder,
    MESSAGE: Model._message,
    DIFF: Model._scrolled,
    WHY: Model._scrolled,
    HELP: Model._scrolled,
}
