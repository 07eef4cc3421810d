"""How many connections may be open, in all and from one address.

Invariant: a place is given back exactly once, however a connection ends (kamailio#218 shows what happens else).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Ticket:
    """One place taken."""

    __slots__ = ("_admission", "_source")

    def __init__(self, admission: Admission, source: str) -> None:
        self._admission: Admission | None = admission
        self._source = source

    def release(self) -> None:
        """Give the place back; the second call does nothing."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._leave(self._source)


class Admission:
    """The two caps.

    Args:
        most: Connections in all.
        most_per_source: Connections of one source address.

    Attributes:
        open: Connections that hold a place.
        refused: Connections that found none.
        shut: Whether a source is shut out altogether.
    """

    def __init__(self, most: int, most_per_source: int) -> None:
        self.open = 0
        self.refused = 0
        self.shut: Callable[[str], bool] = lambda source: False
        self._most = most
        self._most_per_source = most_per_source
        self._sources: dict[str, int] = {}

    def enter(self, source: str) -> Ticket | None:
        """A place for a connection from ``source``, or None when there is none left."""
        held = self._sources.get(source, 0)
        if self.open >= self._most or held >= self._most_per_source or self.shut(source):
            self.refused += 1
            return None
        self.open += 1
        self._sources[source] = held + 1
        return Ticket(self, source)

    def set_limits(self, most: int, most_per_source: int) -> None:
        """Other caps from now on; who is in stays in."""
        self._most = most
        self._most_per_source = most_per_source

    def of(self, source: str) -> int:
        """Places that ``source`` holds."""
        return self._sources.get(source, 0)

    def _leave(self, source: str) -> None:
        self.open -= 1
        held = self._sources[source] - 1
        if held:
            self._sources[source] = held
        else:
            del self._sources[source]
