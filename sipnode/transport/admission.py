"""How many connections may be open, in all and from one address.

Invariant: a place is given back exactly once, however a connection ends (kamailio#218 shows what happens else).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

EXPLAIN_SECONDS: Final = 10.0


class Ticket:
    """One place taken, by a connection of which nobody knows yet what it wants."""

    __slots__ = ("_admission", "_source", "_unknown")

    def __init__(self, admission: Admission, source: str) -> None:
        self._admission: Admission | None = admission
        self._source = source
        self._unknown = True

    def settled(self) -> None:
        """Its first line has been read."""
        if self._unknown and self._admission is not None:
            self._unknown = False
            self._admission.known(self._source)

    def disbelieved(self, why: str, now: float) -> None:
        """Its certificate was refused: see :meth:`Admission.explain`."""
        if self._admission is not None:
            self._admission.explain(self._source, why, now)

    def release(self) -> None:
        """Give the place back; the second call does nothing."""
        self.settled()
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.leave(self._source)


class Admission:
    """The caps.

    Args:
        most: Connections in all.
        most_per_source: Connections of one source address.
        most_unknown: Those of them that are in their handshake, or silent from the start.

    Attributes:
        open: Connections that hold a place.
        refused: Connections that found none.
        ends: How often a connection ended before its first line, by how.
        shut: Whether a source is shut out altogether.
    """

    log = Logger()

    def __init__(self, most: int, most_per_source: int, most_unknown: int = 200) -> None:
        self.open = 0
        self.refused = 0
        self.ends: dict[str, int] = {}
        self._explain_at = 0.0
        self._unexplained = 0
        self._most_unknown = most_unknown
        self._unknown: dict[str, int] = {}
        self.shut: Callable[[str], bool] = lambda source: False
        self._most = most
        self._most_per_source = most_per_source
        self._sources: dict[str, int] = {}

    def enter(self, source: str) -> Ticket | None:
        """A place for a connection from ``source``, or None when there is none left."""
        held = self._sources.get(source, 0)
        unknown = self._unknown.get(source, 0)
        if self.open >= self._most or held >= self._most_per_source or unknown >= self._most_unknown or self.shut(source):
            self.refused += 1
            return None
        self.open += 1
        self._sources[source] = held + 1
        self._unknown[source] = unknown + 1
        return Ticket(self, source)

    def ended(self, how: str) -> None:
        """Count a connection that ended before its first line: 'silent', 'plain http', 'not tls', 'handshake' …"""
        self.ends[how] = self.ends.get(how, 0) + 1

    def explain(self, source: str, why: str, now: float) -> None:
        """Say why a peer's certificate was refused; one line in :data:`EXPLAIN_SECONDS` at most, whoever knocks."""
        if now < self._explain_at:
            self._unexplained += 1
            return
        more = f", and {self._unexplained} before it" if self._unexplained else ""
        self._explain_at, self._unexplained = now + EXPLAIN_SECONDS, 0
        self.log.info("TLS from {source} refused: {why}{more}", source=source, why=why, more=more)

    def set_limits(self, most: int, most_per_source: int, most_unknown: int = 0) -> None:
        """Other caps from now on, 0 for as it was; who is in stays in."""
        self._most = most
        self._most_per_source = most_per_source
        self._most_unknown = most_unknown or self._most_unknown

    @property
    def caps(self) -> tuple[int, int]:
        """Connections in all and of one source that may be open."""
        return self._most, self._most_per_source

    def of(self, source: str) -> int:
        """Places that ``source`` holds."""
        return self._sources.get(source, 0)

    def leave(self, source: str) -> None:
        """A connection is gone."""
        self.open -= 1
        _less(self._sources, source)

    def known(self, source: str) -> None:
        """A connection has said what it wants, or is gone."""
        _less(self._unknown, source)


def _less(counts: dict[str, int], source: str) -> None:
    left = counts[source] - 1
    if left:
        counts[source] = left
    else:
        del counts[source]
