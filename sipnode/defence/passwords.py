"""Wrong passwords, by whichever door they come: SIP or HTTP, one limit for all. Pure: the time is given.

Only what surely came from an address is told here: a connection, or a UDP digest whose nonce had been given to that address. So nobody
gets another shut out by guessing in its name. The invariant: every table is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.defence.bans import Ban, BanList
from sipnode.defence.failures import FailureCounter

if TYPE_CHECKING:
    from sipnode.settings import DefenceSettings

ATTACKED_LIMIT: Final = 3
"""Wrong passwords that a stranger has for a user who is guessed at from many places."""


class Passwords:
    """Counts them, and bars users at sources.

    Args:
        settings: ``[defence]``.

    Attributes:
        barred: Users at sources that had too many wrong passwords for them: keys are ``source user``.
    """

    def __init__(self, settings: DefenceSettings) -> None:
        self.barred = BanList(settings.sources)
        self._by_source = FailureCounter(settings.sources, settings.failed_seconds)
        self._by_pair = FailureCounter(settings.sources, settings.failed_seconds)
        self._by_user = FailureCounter(settings.sources, settings.failed_seconds * 10)

    @property
    def tables(self) -> tuple[FailureCounter, FailureCounter, FailureCounter]:
        """The counters: by source, by user at a source, by user."""
        return self._by_source, self._by_pair, self._by_user

    def apply(self, settings: DefenceSettings) -> None:
        """Take other windows."""
        self._by_source.seconds = self._by_pair.seconds = settings.failed_seconds
        self._by_user.seconds = settings.failed_seconds * 10

    def bar_of(self, key: str, user: str, now: float) -> Ban | None:
        """That user is barred at that source."""
        return self.barred.get(f"{key} {user}", now) if len(self.barred) else None

    def wrong(self, key: str, user: str, proved: bool, limits: DefenceSettings, now: float) -> tuple[bool, Ban | None]:
        """Count one.

        Args:
            proved: Whether users of ours are at that source.

        Returns:
            Whether the source is to be shut out, and the user that is barred there from now on.
        """
        limit = limits.failed_digests
        attacked = self._by_user.add(user, now) > 10 * limit
        failures = self._by_source.add(key, now)
        if not proved:
            return failures >= (min(ATTACKED_LIMIT, limit) if attacked else limit), None
        # Behind one address may be an office: who guesses at one user there is told apart from the others.
        bar = None
        if self._by_pair.add((key, user), now) >= limit and self.barred.get(f"{key} {user}", now) is None:
            bar = self.barred.add(f"{key} {user}", "failed digests", now, limits.ban_seconds)
        return failures >= limit * limits.proved_factor, bar

    def forgive(self, key: str) -> None:
        """Forget the wrong ones of a source."""
        self._by_source.forget(key)

    def unbar(self, text: str) -> bool:
        """Let a ``source user`` in again; whether it was barred."""
        if not self.barred.remove(text):
            return False
        source, _, user = text.partition(" ")
        self._by_pair.forget((source, user))
        return True
