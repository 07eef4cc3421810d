"""How many connections we open for others: in all, and for one user or source.

They count as those that we take, but never hold more than half of all places, so that users find room however many addresses somebody
has us call. Invariant: a place is given back exactly once; at its limit a user loses the connection that nobody has used for longest, and
where all are in use the request is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipnode.transport.admission import Admission

IDLE_SECONDS: Final = 32.0
"""64*T1: no transaction on a connection is older (RFC 3261 §17)."""


class Connection(Protocol):
    """A connection, as far as its place depends on it; ``last`` is the clock time of the last octets received."""

    last: float

    def close(self, reason: str) -> None:
        """End it."""


class OutgoingPlace:
    """One place taken, from the first attempt to connect until the connection is gone.

    Attributes:
        flow: The connection when it is usable.
    """

    __slots__ = ("_cause", "_outgoing", "flow")

    def __init__(self, outgoing: Outgoing, cause: str) -> None:
        self._outgoing: Outgoing | None = outgoing
        self._cause = cause
        self.flow: Connection | None = None

    def release(self) -> None:
        """Give the place back; the second call does nothing."""
        outgoing, self._outgoing, self.flow = self._outgoing, None, None
        if outgoing is not None:
            outgoing.leave(self, self._cause)


class Outgoing:
    """The caps.

    Args:
        admission: Who counts all connections.
        most: In all; half of what the admission allows where that is less.
        most_per_cause: For one user or source.
        seconds: The clock of the connections.
    """

    def __init__(self, admission: Admission, most: int, most_per_cause: int, seconds: Callable[[], float]) -> None:
        self._admission = admission
        self._most = most
        self._most_per_cause = most_per_cause
        self._seconds = seconds
        self._look_again = 0.0
        self._places: dict[OutgoingPlace, None] = {}
        self._causes: dict[str, dict[OutgoingPlace, None]] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def limit(self) -> int:
        """Connections in all that we open."""
        return max(1, min(self._most, self._admission.limit // 2))

    def set_limits(self, most: int, most_per_cause: int) -> None:
        """Other caps from now on."""
        self._most, self._most_per_cause = most, most_per_cause

    def of(self, cause: str) -> int:
        """Connections that are open for a user or source."""
        return len(self._causes.get(cause, ()))

    def enter(self, cause: str) -> OutgoingPlace | None:
        """A place for a connection, or None when there is none left.

        Args:
            cause: User or source on whose behalf; "" for ourselves and for those that are trusted.
        """
        own = self._causes.get(cause, {})
        if (cause and len(own) >= self._most_per_cause and not self._recycle(own)) or (
            len(self._places) >= self.limit and not self._recycle(self._places)
        ):
            self._admission.counts["outgoing_refused"] += 1
            return None
        place = OutgoingPlace(self, cause)
        self._admission.open += 1
        self._places[place] = None
        self._causes.setdefault(cause, {})[place] = None
        return place

    def leave(self, place: OutgoingPlace, cause: str) -> None:
        """A connection is gone."""
        self._admission.open -= 1
        del self._places[place]
        own = self._causes[cause]
        del own[place]
        if not own:
            del self._causes[cause]

    def _recycle(self, places: Iterable[OutgoingPlace]) -> bool:
        """Close the connection that was used longest ago, if it is idle."""
        now = self._seconds()
        if places is self._places and now < self._look_again:
            return False
        used = [(place.flow.last, place, place.flow) for place in places if place.flow is not None]
        idle = [one for one in used if one[0] <= now - IDLE_SECONDS]
        if not idle:
            if places is self._places:
                # All are in use: to look through thousands for each request would be the next thing to run out of.
                self._look_again = now + 1.0
            return False
        _, oldest, flow = min(idle, key=lambda one: one[0])
        oldest.release()
        flow.close("made room for others")
        return True
