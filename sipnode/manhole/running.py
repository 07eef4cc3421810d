"""Code from the prompt, run within bounds: an endless loop or an endless print ends with an exception instead of the server.

Invariant: nothing that is typed holds the reactor longer than the limit, unless it does so in C or catches :class:`TooLong` itself; and
what the server does on behalf of it (a BYE sent, a table changed) isn't broken off in the middle, but after five times the limit.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import twisted

MOST_CHARACTERS: Final = 1_000_000
_AGAIN_SECONDS: Final = 0.02
_PATIENCE: Final = 5
_TYPED: Final = ("<console>", "<manhole>")
_SERVER: Final = tuple(f"{folder}{os.sep}" for folder in (Path(__file__).parent.parent, *twisted.__path__))


class TooLong(BaseException):
    """It ran too long, or wrote too much. No Exception, so that ``except Exception`` in what is typed doesn't catch it."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise :class:`TooLong` in what runs inside after so many seconds; 0 for no bound."""
    if not seconds:
        yield
        return

    hard = time.monotonic() + _PATIENCE * seconds

    def over(number: int, frame: Any) -> None:
        if _is_in_server(frame) and time.monotonic() < hard:
            # It is asked again in a moment.
            return
        raise TooLong(f"it ran longer than {seconds:g} s ([manhole] seconds), and calls were waiting")

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: one may be swallowed by a destructor or a bare except.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_in_server(frame: Any) -> bool:
    """Whether what was typed has called the server, which is at work now."""
    while frame is not None and frame.f_code.co_filename not in _TYPED:
        if frame.f_code.co_filename.startswith(_SERVER):
            return True
        frame = frame.f_back
    return False


class Bounded(io.TextIOBase):
    """Takes so many characters and no more.

    Args:
        write: Where they go.
        most: How many.
    """

    def __init__(self, write: Any, most: int = MOST_CHARACTERS) -> None:
        self._write = write
        self._left = most

    def write(self, text: str) -> int:
        """io: some text."""
        if self._left <= 0:
            raise TooLong(f"it wrote more than {MOST_CHARACTERS:,} characters")
        text_now = text[: self._left]
        self._left -= len(text)
        self._write(text_now)
        return len(text)


class Result(NamedTuple):
    """The result of a command.

    Attributes:
        text: What it printed.
        value: Of the expression; None for a statement.
        failed: It ended with an exception, whose traceback is in the text.
    """

    text: str
    value: Any
    failed: bool


def run(source: str, namespace: dict[str, Any], seconds: float) -> Result:
    """Run an expression or statements, as ``ssh host 'source'`` brings them."""
    written: list[str] = []
    value = None
    failed = False
    before, sys.stdout = sys.stdout, Bounded(written.append)
    try:
        with bounded(seconds):
            value = _evaluated(source, namespace)
    except SystemExit:
        pass
    except BaseException:
        failed = True
        written.append(_traceback())
    finally:
        sys.stdout = before
    return Result("".join(written), value, failed)


def _evaluated(source: str, namespace: dict[str, Any]) -> Any:
    try:
        code = compile(source, "<manhole>", "eval")
    except SyntaxError:
        code = None
    if code is not None:
        return eval(code, namespace)
    exec(compile(source, "<manhole>", "exec"), namespace)
    return None


def _traceback() -> str:
    """Without the lines of this module."""
    kind, error, where = sys.exc_info()
    while where is not None and where.tb_frame.f_code.co_filename == __file__:
        where = where.tb_next
    return "".join(traceback.format_exception(kind, error, where))
