"""A bounded cache of users' secrets in front of a store.

Invariant: at most one look-up per user and one job in the store at a time; what misses meanwhile waits and goes as the next
job, all in one query. So a cache that is cold costs the thread hop once for many users, and a flood of unknown names can't
pile jobs up.

A store that is away, or silent, changes nobody's password: what was known of a user stays good for ``outage_seconds`` then, and calls go
on. Users that don't exist are remembered for a moment only, as ever, and apart, so that a flood of invented names can't push out those that
are known. Nobody waits for a store that is known to be silent, but the one user that it is tried with again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sipnode.errors import StorageBusy, StorageError
from sipnode.interfaces import ICredentialStore
from sipnode.records import Credential

Key = tuple[str, str]
LookUp = Callable[[list[Key]], Deferred[dict[Key, Credential]]] | Callable[[list[Key]], Deferred[dict[Key, Credential | Exception]]]
Answer = tuple[list[Deferred[Credential | None]], Credential | Exception | None]
"""Requests that wait, and what they get."""

NEGATIVE_SECONDS: Final = 5.0
MAX_NAME: Final = 255
SLOW_SECONDS: Final = 1.0
"""A store that takes longer counts as away."""
_LATE_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 2.0
"""So long a store that was away isn't asked again."""


@implementer(ICredentialStore)
class CachedCredentials:
    """Answers from memory for a while, else from the store.

    Args:
        look_up: Called with distinct ``(username, domain)``; a Deferred of those that exist, with an exception in the place of one that
            couldn't be looked up.
        clock: For the age of entries.
        cache_seconds: How long a credential is answered from memory; a change made elsewhere is seen within it.
        negative_seconds: The same for a user that doesn't exist, at most ``cache_seconds``.
        size: Most entries; the oldest go first.
        waiting: Most users that wait for the store; over it StorageBusy.
        batch: Most users of one query.

    Attributes:
        outage_seconds: How long a credential is still good after its time, while the store is away; 0: not at all.
        outdated: How often one was used so.
        unserved: How often a user wasn't known while the store was away, and so had to be refused.
    """

    def __init__(
        self,
        look_up: LookUp,
        clock: IReactorTime,
        cache_seconds: float,
        negative_seconds: float = NEGATIVE_SECONDS,
        size: int = 50000,
        waiting: int = 10000,
        batch: int = 100,
    ) -> None:
        self.outage_seconds = 0.0
        self.outdated = 0
        self.unserved = 0
        self._log = Logger(namespace="sipnode.storage")
        self._look_up = look_up
        self._clock = clock
        self._seconds = clock.seconds
        self._away_until = 0.0
        self._told: tuple[int, int] | None = None
        self._silent = False
        self._due = 0.0
        self._slow: IDelayedCall | None = None
        self._positive = cache_seconds
        self._negative = min(negative_seconds, cache_seconds)
        self._size = size
        self._most_waiting = waiting
        self._batch = batch
        # A plain dict would search its way to the front past everything that was deleted there.
        self._entries: OrderedDict[Key, tuple[float, Credential]] = OrderedDict()
        self._nobody: OrderedDict[Key, float] = OrderedDict()
        self._waiters: dict[Key, list[Deferred[Credential | None]]] = {}
        self._changed: set[Key] = set()
        self._queued: list[Key] = []
        self._busy = False

    @property
    def waiting(self) -> int:
        """Users that wait for the store."""
        return len(self._waiters)

    def cached(self, username: str, domain: str) -> Credential | None:
        """From memory; KeyError when it isn't there, or too old."""
        key = (username, domain)
        now = self._seconds()
        known = self._entries.get(key)
        if known is None:
            if now >= self._nobody[key]:
                raise KeyError(username)
            return None
        if now >= known[0]:
            outdated = self._outdated(key) if now < self._away_until else None
            if outdated is None:
                raise KeyError(username)
            return outdated
        return known[1]

    def _outdated(self, key: Key) -> Credential | None:
        """The former secret of a user, while that may be used; it is counted."""
        known = self._entries.get(key)
        if known is None or self._seconds() >= known[0] + self.outage_seconds:
            return None
        self.outdated += 1
        return known[1]

    def fetch(self, username: str, domain: str) -> Deferred[Credential | None]:
        """From the store. Fails with StorageError, at once while the store is silent; such an answer isn't remembered."""
        if not _possible(username) or not _possible(domain):
            return succeed(None)
        key = (username, domain)
        if self._silent and (self._busy or self._seconds() < self._away_until):
            outdated = self._outdated(key)
            if outdated is not None:
                return succeed(outdated)
            self.unserved += 1
            return fail(StorageError("the store of users is away"))
        waiters = self._waiters.get(key)
        if waiters is None:
            if len(self._waiters) >= self._most_waiting:
                return fail(StorageBusy("too many users wait for the store"))
            waiters = self._waiters[key] = []
            self._queued.append(key)
        # One caller more of a known key costs a Deferred; the transactions that wait are bounded elsewhere.
        done: Deferred[Credential | None] = Deferred()
        waiters.append(done)
        if not self._busy:
            self._next()
        return done

    def forget(self, username: str, domain: str) -> None:
        """The user has changed or gone: ask the store anew next time, and don't believe the former secret, nor one that is on its way."""
        key = (username, domain)
        self._entries.pop(key, None)
        self._nobody.pop(key, None)
        if key in self._waiters:
            self._changed.add(key)

    def drop(self) -> None:
        """Anybody may have changed or gone: as :meth:`forget` of everybody, so that nobody is believed before the store's next answer."""
        self._entries.clear()
        self._nobody.clear()
        self._changed.update(self._waiters)

    def forget_all(self) -> None:
        """Ask the store anew about everybody; until it answers, who was known may be believed in an outage."""
        now = self._seconds()
        for key, (deadline, credential) in list(self._entries.items()):
            self._entries[key] = (min(deadline, now), credential)
        self._nobody.clear()

    def _next(self) -> None:
        keys, self._queued = self._queued[: self._batch], self._queued[self._batch :]
        self._busy = True
        if self._slow is None:
            self._watch(SLOW_SECONDS)
        maybeDeferred(self._look_up, keys).addCallbacks(self._found, self._failed, callbackArgs=(keys,), errbackArgs=(keys,))

    def _watch(self, seconds: float) -> None:
        self._due = self._seconds() + seconds
        self._slow = self._clock.callLater(seconds, self._too_slow)

    def _too_slow(self) -> None:
        """Nothing has come for a while: nobody needs to wait any longer. A user that isn't known is refused."""
        late = self._seconds() - self._due > _LATE_SECONDS
        self._watch(_LATE_SECONDS if late else SLOW_SECONDS)
        if late:
            # It is this process that was held up; the answer may be there already.
            return
        self._silent = True
        self._away("it doesn't answer")
        waiting = [(key, waiters) for key, waiters in self._waiters.items() if waiters]
        for key, _ in waiting:
            self._waiters[key] = []
        for key in self._queued:
            del self._waiters[key]
        self._changed.difference_update(self._queued)
        self._queued.clear()
        for key, waiters in waiting:
            self._serve(waiters, self._outdated(key) or StorageError("the store of users doesn't answer"))

    def _away(self, reason: object) -> None:
        if self._told is None:
            self._told = (self.outdated, self.unserved)
            text = "the store of users is away ({reason}): who was known stays so for {seconds:g} s"
            self._log.warn(text, reason=reason, seconds=self.outage_seconds)
        self._away_until = self._seconds() + RETRY_SECONDS

    def _back(self) -> None:
        self._away_until = 0.0
        self._silent = False
        if self._told is not None:
            outdated, unserved = self._told
            self._told = None
            text = (
                "the store of users is back; {times} times somebody was believed by what was known before, {refused} times somebody"
                " wasn't known and refused"
            )
            self._log.info(text, times=self.outdated - outdated, refused=self.unserved - unserved)

    def _found(self, found: Mapping[Key, Credential | Exception], keys: list[Key]) -> None:
        now = self._seconds()
        failed = [reason for key in keys if isinstance(reason := found.get(key), Exception)]
        if len(failed) == len(keys):
            self._away(failed[0])
        else:
            self._back()
        answers: list[Answer] = []
        for key in keys:
            known = found.get(key)
            if key in self._changed:
                # This may be from before the change, and is good for those only who asked before it.
                self._changed.discard(key)
            elif not isinstance(known, Exception):
                self._remember(key, known, now)
            waiters = self._waiters.pop(key)
            if waiters and isinstance(known, Exception):
                known = self._outdated(key) or known
            answers.append((waiters, known))
        self._answer(answers)

    def _failed(self, failure: Failure, keys: list[Key]) -> None:
        reason = failure.value
        self._away(reason)
        error = reason if isinstance(reason, Exception) else StorageError(f"look-up of a user failed: {reason}")
        answers: list[Answer] = []
        self._changed.difference_update(keys)
        for key in keys:
            waiters = self._waiters.pop(key)
            answers.append((waiters, (self._outdated(key) if waiters else None) or error))
        self._answer(answers)

    def _answer(self, answers: list[Answer]) -> None:
        self._done()
        for waiters, known in answers:
            self._serve(waiters, known)

    def _serve(self, waiters: list[Deferred[Credential | None]], known: Credential | Exception | None) -> None:
        if not isinstance(known, Exception):
            for waiter in waiters:
                waiter.callback(known)
            return
        self.unserved += len(waiters)
        for waiter in waiters:
            waiter.errback(known if isinstance(known, StorageError) else StorageError(f"look-up of a user failed: {known}"))

    def _done(self) -> None:
        self._busy = False
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        if self._queued:
            self._next()

    def _remember(self, key: Key, credential: Credential | None, now: float) -> None:
        entries, nobody = self._entries, self._nobody
        entries.pop(key, None)
        nobody.pop(key, None)
        # Two looks at the oldest for each insertion keep out what is over, without a sweep.
        if credential is None:
            if self._negative > 0:
                nobody[key] = now + self._negative
                for _ in range(2):
                    name = next(iter(nobody))
                    if nobody[name] > now and len(nobody) <= self._size:
                        break
                    del nobody[name]
        elif self._positive > 0:
            entries[key] = (now + self._positive, credential)
            for _ in range(2):
                name = next(iter(entries))
                if entries[name][0] + self.outage_seconds > now and len(entries) <= self._size:
                    break
                del entries[name]


def _possible(name: str) -> bool:
    # Names that no row can have are not worth a query; a lone surrogate can't even be asked for.
    if not name or len(name) > MAX_NAME:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
