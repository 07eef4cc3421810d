"""The file that carries shifted CSeq numbers over a restart: a line for each change, read at the start.

Only a dialog in which this server has spoken itself has one, so that nothing is written while all is well. A line is written before the
request that it is about is sent; it is in the kernel's hands then, which is what ``kill -9`` leaves. Invariant: a file that can't be
written or read stops no call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.proxy.renumber import Renumbering

FILE: Final = "cseq.lines"
MOST_LINES: Final = 400_000
"""After so many the file is written anew."""
MOST_OCTETS: Final = 256 * 1024 * 1024
"""Of a file that is read."""

_log = Logger(namespace="sipnode.dialog")


class NumbersFile:
    """The file.

    Args:
        path: Where it is.
        numbers: What is kept.
        clock: Epoch seconds.
    """

    def __init__(self, path: Path, numbers: Renumbering, clock: Callable[[], float]) -> None:
        self._path = path
        self._numbers = numbers
        self._clock = clock
        self._lines = 0
        self._failed = False

    def open(self) -> None:
        """Read what an earlier run has left, and write from now on."""
        try:
            if self._path.exists() and self._path.stat().st_size <= MOST_OCTETS:
                with self._path.open(encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        self._numbers.read(line, self._clock())
                self._write_anew()
        except OSError as error:
            self._unwell(error)
        self._numbers.kept = self.write

    def write(self, line: str) -> None:
        """One more line."""
        try:
            if self._lines >= MOST_LINES:
                self._write_anew()
            self._append(self._path, os.O_APPEND, line + "\n")
            self._lines += 1
            self._failed = False
        except OSError as error:
            self._unwell(error)

    def _write_anew(self) -> None:
        beside = self._path.with_suffix(".new")
        lines = list(self._numbers.lines())
        self._append(beside, os.O_TRUNC, "".join(f"{line}\n" for line in lines))
        beside.replace(self._path)
        self._lines = len(lines)

    @staticmethod
    def _append(path: Path, how: int, text: str) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def _unwell(self, error: OSError) -> None:
        if not self._failed:
            _log.error("{path}: {reason}; calls that are re-offered won't outlive a kill", path=self._path, reason=error.strerror)
        self._failed = True
