"""Sessions of the console: who has signed in, until when, with which proof against forged requests. Pure: the time is given.

The invariant: a session's name is known to its browser alone (what is kept is its hash), there are at most ``most``, and each ends.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_OCTETS: Final = 32
_LONGEST: Final = 128


@dataclass(slots=True)
class Session:
    """A browser that has signed in.

    Attributes:
        user: Its name. role: ``viewer`` or ``admin``.
        proof: What a request that changes something shows beside the cookie.
        began, used: Seconds of the clock.
        endings: Called once when it is over.
    """

    user: str
    role: str
    proof: str
    began: float
    used: float
    endings: set[Callable[[], None]] = field(default_factory=set)


class Sessions:
    """Those that there are.

    Args:
        seconds: A session lasts at most. idle: Without being used.
        most: Of them; the one used longest ago ends for a new one.
    """

    def __init__(self, seconds: float, idle: float, most: int) -> None:
        self.seconds = seconds
        self.idle = idle
        self.most = most
        self._table: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def begin(self, user: str, role: str, now: float) -> tuple[str, Session]:
        """A new one: its name for the cookie, and it."""
        name = secrets.token_urlsafe(_OCTETS)
        session = Session(user, role, secrets.token_urlsafe(_OCTETS), now, now)
        self._table[_key(name)] = session
        while len(self._table) > self.most:
            self._over(self._table.popitem(last=False)[1])
        return name, session

    def get(self, name: str, now: float) -> Session | None:
        """The session of a cookie, None where there is none or it is over; to ask for it is to use it."""
        if not name or len(name) > _LONGEST:
            return None
        key = _key(name)
        session = self._table.get(key)
        if session is None:
            return None
        # A page that is shown live is in use.
        idle = now - session.used >= self.idle and not session.endings
        if idle or now - session.began >= self.seconds:
            del self._table[key]
            self._over(session)
            return None
        session.used = now
        self._table.move_to_end(key)
        return session

    def end(self, name: str) -> None:
        """Sign out; a session that isn't there is no fault."""
        session = self._table.pop(_key(name), None)
        if session is not None:
            self._over(session)

    def keep(self, allowed: Callable[[str, str], bool]) -> None:
        """End those whose user hasn't this role any more.

        Args:
            allowed: ``(user, role)``.
        """
        for key, session in list(self._table.items()):
            if not allowed(session.user, session.role):
                del self._table[key]
                self._over(session)

    def end_old(self, now: float) -> None:
        """End those whose time is over."""
        for key, session in list(self._table.items()):
            if now - session.began >= self.seconds:
                del self._table[key]
                self._over(session)

    def end_all(self) -> None:
        """The server stops."""
        while self._table:
            self._over(self._table.popitem()[1])

    @staticmethod
    def _over(session: Session) -> None:
        endings, session.endings = session.endings, set()
        for ending in endings:
            ending()


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
