"""The folder of records that are kept: files written, found, and the oldest taken away. It blocks, and is for a thread of its own.

The invariant: a file has its name only when it is whole, so a process that is killed leaves whole files, and one without a name at most.
Nothing but files whose names are ours is ever touched.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.insight.keeping import Kept, Unreadable, name_of, read, row_in, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipnode.insight.row import Row

MOST_FILES: Final = 20_000
MOST_OCTETS: Final = 4 * 1048576
"""Of one file that is read; our own are smaller."""
_HEAD: Final = 65536
_NAME: Final = re.compile(r"failed-(\d{15})-([0-9a-f]{32})\.json")
_BEGUN: Final = re.compile(r"\.failed-\d{15}-[0-9a-f]{32}\.json\.new")


class File(NamedTuple):
    """A file of the folder.

    Attributes:
        name: Of it. octets: It takes. row: Its line of the list.
    """

    name: str
    octets: int
    row: Row

    @property
    def when(self) -> float:
        """Epoch seconds when it was written."""
        return int(self.name[7:22]) / 1000


class Shelf:
    """The folder.

    Args:
        folder: Where; it is made, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> list[File]:
        """Make the folder where it is missing, and list it. What a process had begun to write is taken away.

        Raises:
            OSError: it can't be.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.remove([name for name in os.listdir(self._folder) if _BEGUN.fullmatch(name)])
        return self.listed()

    def listed(self) -> list[File]:
        """All records, the oldest first.

        Raises:
            OSError: the folder can't be read.
        """
        found = []
        for name in sorted(os.listdir(self._folder)):
            if _NAME.fullmatch(name):
                try:
                    with open(self._folder / name, "rb") as file:
                        found.append(File(name, os.fstat(file.fileno()).st_size, row_in(file.readline(_HEAD))))
                except (OSError, Unreadable):
                    # Of another release, or somebody's own: it stays, and isn't shown.
                    continue
        return found[-MOST_FILES:]

    def write(self, kept: Kept, when: float) -> File:
        """Keep a record; it is on the disk when this returns.

        Raises:
            OSError: the disk doesn't take it.
        """
        data = written(kept)
        name = name_of(kept.story.call_id, when)
        beside = self._folder / f".{name}.new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, self._folder / name)
        except OSError:
            self.remove([beside.name])
            raise
        return File(name, len(data), kept.row)

    def read(self, name: str) -> Kept:
        """A record.

        Raises:
            OSError: its file is gone.
            Unreadable: somebody has written into it.
        """
        with open(self._folder / name, "rb") as file:
            return read(file.read(MOST_OCTETS))

    def remove(self, names: Sequence[str]) -> None:
        """Take files away; those that are gone are no fault."""
        for name in names:
            try:
                os.unlink(self._folder / name)
            except OSError:
                continue
