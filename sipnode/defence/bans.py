"""Bans: sources that are shut out, why and until when. Pure: the time is given.

The invariant: at most ``most`` entries; when it is full, that which would end first makes room.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest


@dataclass(slots=True)
class Ban:
    """One that is shut out.

    Attributes:
        key: Address or network.
        reason: Why, in a few words.
        since: Epoch seconds. until: Epoch seconds.
        dropped: Messages of it that were thrown away.
        datagrams: Only what comes over UDP is thrown away, since what it was shut out for could be forged.
    """

    key: str
    reason: str
    since: float
    until: float
    dropped: int = 0
    datagrams: bool = False


class BanList:
    """All of them.

    Args:
        most: Entries that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bans: dict[str, Ban] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def add(self, key: str, reason: str, now: float, seconds: float, datagrams: bool = False) -> Ban:
        """Shut one out; who is already gets the later end."""
        known = self._bans.get(key)
        if known is not None and known.until > now:
            known.until = max(known.until, now + seconds)
            known.reason = reason
            return known
        if len(self._bans) >= self._most:
            self._make_room(now)
        ban = self._bans[key] = Ban(key, reason, now, now + seconds, datagrams=datagrams)
        return ban

    def get(self, key: str, now: float) -> Ban | None:
        """The ban of a key that hasn't ended."""
        ban = self._bans.get(key)
        if ban is None:
            return None
        if ban.until <= now:
            del self._bans[key]
            return None
        return ban

    def remove(self, key: str) -> bool:
        """Let one in again; whether it was shut out."""
        return self._bans.pop(key, None) is not None

    def list(self, now: float) -> list[Ban]:
        """Those that haven't ended, longest first."""
        self._expire(now)
        return sorted(self._bans.values(), key=lambda ban: -ban.until)

    def _expire(self, now: float) -> None:
        for key in [key for key, ban in self._bans.items() if ban.until <= now]:
            del self._bans[key]

    def _make_room(self, now: float) -> None:
        """A tenth at once, so that a flood of new ones doesn't sort the list each time."""
        self._expire(now)
        if len(self._bans) >= self._most:
            for ban in nsmallest(max(1, self._most // 10), self._bans.values(), key=lambda ban: ban.until):
                del self._bans[ban.key]
