"""The terminal: curses' keys to the model, the model's lines to curses."""

from __future__ import annotations

import curses
import locale
import time
from typing import TYPE_CHECKING, Final

from sipnode.top.view import BAD, BAR, CHOSEN, DIM, GOOD, HEAD, REQUEST, WARNING, cells, lines

if TYPE_CHECKING:
    from sipnode.top.session import Session

TICK: Final = 1.0
"""Seconds between two looks at the server."""
REDRAW: Final = "\x0c"
"""Ctrl-L draws everything anew, as everywhere."""
_WAIT: Final = 100
"""Milliseconds that a key is waited for."""
_ESCAPE_WAIT: Final = 25
"""Milliseconds after which an escape is one, and not the beginning of another key."""
_NAMES: Final[dict[int | str, str]] = {
    curses.KEY_UP: "up", curses.KEY_DOWN: "down", curses.KEY_LEFT: "left", curses.KEY_RIGHT: "right", curses.KEY_PPAGE: "pageup",
    curses.KEY_NPAGE: "pagedown", curses.KEY_HOME: "home", curses.KEY_END: "end", curses.KEY_ENTER: "enter", "\n": "enter", "\r": "enter",
    curses.KEY_BACKSPACE: "backspace", "\x7f": "backspace", "\x08": "backspace", "\x1b": "escape", " ": "space",
    **{curses.KEY_F0 + number: f"f{number}" for number in range(1, 13)},
}  # fmt: skip
_COLOURS: Final = {GOOD: curses.COLOR_GREEN, BAD: curses.COLOR_RED, WARNING: curses.COLOR_YELLOW, REQUEST: curses.COLOR_CYAN}


def run(session: Session) -> None:
    """Show it until the user has had enough.

    Raises:
        curses.error: this is no terminal that can be drawn on.
    """
    locale.setlocale(locale.LC_ALL, "")
    curses.set_escdelay(_ESCAPE_WAIT)
    curses.wrapper(lambda window: _Screen(window, session).run())


class _Screen:
    def __init__(self, window: curses.window, session: Session) -> None:
        self._window = window
        self._session = session
        self._styles = {BAR: curses.A_REVERSE, HEAD: curses.A_BOLD, DIM: curses.A_DIM}
        self._encoding = window.encoding
        window.timeout(_WAIT)
        window.keypad(True)
        try:
            curses.curs_set(0)
        except curses.error:
            # A terminal that can't hide its cursor shows it.
            pass
        if curses.has_colors():
            curses.use_default_colors()
            for number, (style, colour) in enumerate(_COLOURS.items(), 1):
                curses.init_pair(number, colour, -1)
                self._styles[style] = curses.color_pair(number)

    def run(self) -> None:
        model = self._session.model
        due = 0.0
        while not model.over:
            now = time.monotonic()
            if now >= due:
                due = now + TICK
                self._session.tick()
            self._draw()
            name = self._key()
            if name:
                model.key(name)
                self._session.work()

    def _key(self) -> str:
        try:
            typed = self._window.get_wch()
        except curses.error:
            return ""
        if typed in (curses.KEY_RESIZE, REDRAW):
            self._window.clear()
            return ""
        return _NAMES.get(typed, typed if isinstance(typed, str) else "")

    def _draw(self) -> None:
        height, width = self._window.getmaxyx()
        model = self._session.model
        # The last cell of a terminal can't be written without moving on.
        model.resize(width - 1, height)
        for y, line in enumerate(lines(model)[:height]):
            x = 0
            for text, style in line:
                known = text.encode(self._encoding, "replace").decode(self._encoding)
                self._put(y, x, known, style)
                x += sum(map(cells, text))
        self._window.refresh()

    def _put(self, y: int, x: int, text: str, style: str) -> None:
        chosen = style.startswith(CHOSEN)
        attribute = self._styles.get(style.removeprefix(CHOSEN).strip(), curses.A_NORMAL) | (curses.A_REVERSE if chosen else 0)
        try:
            self._window.addstr(y, x, text, attribute)
        except curses.error:
            # The terminal has become smaller since its size was asked for.
            pass
