"""How many connections may be open, in all and from one source, and who has to go when there are more.

Invariant: a place is given back exactly once, however a connection ends (kamailio#218 shows what happens else), and whoever is new finds
a place as long as somebody holds one who has proved nothing: those who have said nothing go first, the oldest of them at once, then
those who said something, and never a user who is signed in.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from sipnode.addresses import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXPLAIN_SECONDS: Final = 10.0
UNKNOWN: Final = 0  # in its handshake, or before the end of its first line
SILENT: Final = 1  # speaks a protocol of ours, and has said nothing valid in it
SPOKE: Final = 2
PROVED: Final = 3  # a user is signed in by it
GRACE_SECONDS: Final = 3.0
"""So long a new connection may take for its first message before it goes in front of those that have spoken."""
EVENTS: Final = (
    "made_room",
    "made_room_source",
    "refused_full",
    "refused_source",
    "refused_shut",
    "said_nothing",
    "too_many_frames",
    "http_too_slow",
    "outgoing_refused",
    "proxy_header_wrong",
    "out_of_descriptors",
)


class Ticket:
    """One place taken.

    Attributes:
        stage: :data:`UNKNOWN` to :data:`PROVED`.
        since: When it was taken, by the clock of the admission.
        cut: Ends the connection now; None as long as there is nothing to end.
        user: Who is signed in by it, "" for nobody.
    """

    __slots__ = ("_admission", "_key", "cut", "since", "stage", "user")

    def __init__(self, admission: Admission, key: str, since: float) -> None:
        self._admission: Admission | None = admission
        self._key = key
        self.since = since
        self.stage = UNKNOWN
        self.cut: Callable[[str], object] | None = None
        self.user = ""

    def settled(self) -> None:
        """Its first line has been read."""
        if self.stage == UNKNOWN:
            self._to(SILENT)

    def spoke(self) -> None:
        """Something valid came by it."""
        if self.stage < SPOKE:
            self._to(SPOKE)

    def unsaid(self) -> None:
        """Take back what seemed valid and wasn't."""
        if self.stage == SPOKE:
            self._to(SILENT)

    def prove(self, user: str) -> bool:
        """A user is signed in by it; False where that user holds too many places already, and this one stays as it is."""
        if self._admission is None or not self._admission.signed_in(self.user, user):
            return False
        self.user = user
        if self.stage != PROVED:
            self._to(PROVED)
        return True

    def move(self, source: str) -> bool:
        """A proxy has said who it is for; False where that source is to have no more places."""
        return self._admission is not None and self._admission.move(self, source)

    def disbelieved(self, why: str, now: float) -> None:
        """Its certificate was refused: see :meth:`Admission.explain`."""
        if self._admission is not None:
            self._admission.explain(self._key, why, now)

    def release(self) -> None:
        """Give the place back; the second call does nothing."""
        admission, self._admission, self.cut = self._admission, None, None
        if admission is not None:
            admission.leave(self, self._key)

    def _to(self, stage: int) -> None:
        if self._admission is not None:
            self._admission.staged(self, self._key, stage)


class _Places:
    """Those of one source, the oldest first."""

    __slots__ = ("counts", "tickets")

    def __init__(self) -> None:
        self.tickets: dict[Ticket, None] = {}
        self.counts = [0, 0, 0, 0]


class Admission:
    """The caps.

    Args:
        most: Connections in all.
        most_per_source: Connections of one source.
        most_unknown: Those of them that are in their handshake, or silent from the start.
        seconds: The clock of the connections.

    Attributes:
        open: Connections that hold a place, those that we opened too.
        refused: Connections that found none.
        ends: How often a connection ended before its first line, by how.
        counts: What happened how often, by :data:`EVENTS`.
        shut: Whether a source is shut out altogether.
        spend: ``(host, stream, cost, kind)``: whether a source may send what is no SIP message (:meth:`sipnode.defence.guard.Guard.spend`).
        hung_up: Told the source of a connection that ended before its first line.
        key_of: What a host is counted under.
        proxy: Whether a host is one of ``[transport] proxies``: it holds places for others.
    """

    log = Logger()

    def __init__(self, most: int, most_per_source: int, most_unknown: int = 200, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self.open = 0
        self.refused = 0
        self.ends: dict[str, int] = {}
        self.counts: dict[str, int] = dict.fromkeys(EVENTS, 0)
        self.shut: Callable[[str], bool] = lambda source: False
        self.spend: Callable[[str, bool, float, str], bool] = lambda host, stream, cost, kind: True
        self.hung_up: Callable[[str], None] = lambda source: None
        self.key_of: Callable[[str], str] = source_of
        self.proxy: Callable[[str], bool] = lambda source: False
        self.seconds = seconds
        self._explain_at = 0.0
        self._unexplained = 0
        self._most = most
        self._most_per_source = most_per_source
        self._most_unknown = most_unknown
        self._ceiling = 0
        self._sources: dict[str, _Places] = {}
        self._stages: tuple[dict[Ticket, None], ...] = ({}, {}, {})
        self._users: dict[str, int] = defaultdict(int)

    def enter(self, source: str) -> Ticket | None:
        """A place for a connection from ``source``, or None when there is none left."""
        key = f"proxy {source}"
        if not self.proxy(source):
            if self.shut(source):
                self._refuse("refused_shut")
                return None
            key = self.key_of(source)
            if not self._room_of(key):
                self._refuse("refused_source")
                return None
        if self.open >= self.limit and not self._room():
            self._refuse("refused_full")
            return None
        ticket = Ticket(self, key, self.seconds())
        self.open += 1
        self._stages[UNKNOWN][ticket] = None
        self._join(ticket, key)
        return ticket

    def move(self, ticket: Ticket, source: str) -> bool:
        """Count a ticket under another source from now on; False when that has no place left, and nothing changes."""
        key = self.key_of(source)
        if self.shut(source):
            self._refuse("refused_shut")
            return False
        if not self._room_of(key):
            self._refuse("refused_source")
            return False
        self._part(ticket, ticket._key)
        ticket._key = key
        self._join(ticket, key)
        return True

    def allows(self, host: str, stream: bool, cost: float, kind: str) -> bool:
        """The answer of :attr:`spend`, whoever that is by then."""
        return self.spend(host, stream, cost, kind)

    def count(self, event: str) -> None:
        """One of :data:`EVENTS` happened."""
        self.counts[event] += 1

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

    def set_ceiling(self, most: int) -> None:
        """There are descriptors for so many connections and no more, whatever :meth:`set_limits` says."""
        self._ceiling = most

    @property
    def caps(self) -> tuple[int, int]:
        """Connections in all and of one source that may be open."""
        return self._most, self._most_per_source

    @property
    def limit(self) -> int:
        """Connections in all for which there are descriptors too."""
        return min(self._most, self._ceiling) if self._ceiling else self._most

    def of(self, source: str) -> int:
        """Places that ``source`` holds."""
        places = self._sources.get(self.key_of(source))
        return 0 if places is None else len(places.tickets)

    def stages(self) -> dict[str, int]:
        """Connections that hold a place, by what is known of them."""
        counts = {name: len(held) for name, held in zip(("unknown", "silent", "spoke"), self._stages, strict=True)}
        return {**counts, "proved": sum(places.counts[PROVED] for places in self._sources.values())}

    # -- what tickets say

    def staged(self, ticket: Ticket, key: str, stage: int) -> None:
        """A ticket has come to another stage."""
        counts = self._sources[key].counts
        counts[ticket.stage] -= 1
        counts[stage] += 1
        if ticket.stage < PROVED:
            del self._stages[ticket.stage][ticket]
        if stage < PROVED:
            self._stages[stage][ticket] = None
        ticket.stage = stage

    def signed_in(self, before: str, user: str) -> bool:
        """Count one more place of a user, and one less of who had it before; False for one too many."""
        if before == user:
            return True
        if self._users.get(user, 0) >= self._most_per_source:
            return False
        self._users[user] += 1
        self._less(before)
        return True

    def leave(self, ticket: Ticket, key: str) -> None:
        """A connection is gone."""
        self.open -= 1
        if ticket.stage < PROVED:
            del self._stages[ticket.stage][ticket]
        self._part(ticket, key)
        self._less(ticket.user)

    # -- room

    def _room_of(self, key: str) -> bool:
        """A place of that source, made where there is none."""
        places = self._sources.get(key)
        if places is None:
            return True
        if places.counts[UNKNOWN] >= self._most_unknown:
            victim = next(ticket for ticket in places.tickets if ticket.stage == UNKNOWN)
        elif len(places.tickets) < self._most_per_source:
            return True
        else:
            few = (places.counts[UNKNOWN] + places.counts[SILENT]) * 4 < len(places.tickets)
            found = self._least(places.tickets, few)
            if found is None:
                return False
            victim = found
        self._evict(victim, "made_room_source")
        return True

    def _room(self) -> bool:
        """A place among all, made where there is none."""
        unknown, silent, spoke = self._stages
        few = (len(unknown) + len(silent)) * 4 < self.open
        fronts = [next(iter(stage)) for stage in (unknown, silent, spoke) if stage]
        victim = self._least(sorted(fronts, key=lambda ticket: ticket.since), few)
        if victim is None:
            return False
        self._evict(victim, "made_room")
        return True

    def _least(self, tickets: Iterable[Ticket], few: bool) -> Ticket | None:
        """The connection whose place is to be had.

        Args:
            tickets: The oldest first.
            few: Only few are silent: then those of this very moment may be honest ones on their way in, and whoever holds many that have
                said something goes first.
        """
        silent = spoke = None
        for ticket in tickets:
            if ticket.stage < SPOKE:
                silent = silent or ticket
            elif ticket.stage == SPOKE:
                spoke = spoke or ticket
            if silent and spoke:
                break
        if silent and spoke and few and self.seconds() - silent.since < GRACE_SECONDS:
            return spoke
        return silent or spoke

    def _evict(self, ticket: Ticket, event: str) -> None:
        self.counts[event] += 1
        cut = ticket.cut
        # The place is free at once, the socket in a moment.
        ticket.release()
        if cut is not None:
            cut("made room for others")

    def _refuse(self, event: str) -> None:
        self.refused += 1
        self.counts[event] += 1

    def _join(self, ticket: Ticket, key: str) -> None:
        places = self._sources.get(key)
        if places is None:
            places = self._sources[key] = _Places()
        places.tickets[ticket] = None
        places.counts[ticket.stage] += 1

    def _part(self, ticket: Ticket, key: str) -> None:
        places = self._sources[key]
        del places.tickets[ticket]
        places.counts[ticket.stage] -= 1
        if not places.tickets:
            del self._sources[key]

    def _less(self, user: str) -> None:
        if user:
            left = self._users[user] - 1
            if left > 0:
                self._users[user] = left
            else:
                del self._users[user]
