"""Answers of the DNS, kept for as long as they may be.

Implements: RFC 2308 (names that are not there are remembered too). Invariant: one question for one name is on its way at a time,
and the number of answers kept is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

MIN_TTL: Final = 5.0
MAX_TTL: Final = 3600.0
NEGATIVE_TTL: Final = 60.0
# A server that doesn't answer is asked again soon, but not for each message.
FAILURE_TTL: Final = 5.0
MAX_ANSWERS: Final = 10000

A: Final = "lookupAddress"
AAAA: Final = "lookupIPV6Address"
SRV: Final = "lookupService"
NAPTR: Final = "lookupNamingAuthorityPointer"

_TYPES: Final = {A: dns.A, AAAA: dns.AAAA, SRV: dns.SRV, NAPTR: dns.NAPTR}


class DnsCache:
    """Asks a DNS client, and remembers.

    Args:
        client: Has the four lookup methods of ``twisted.names`` (``IResolver``).
        clock: ``IReactorTime``.
    """

    def __init__(self, client: Any, clock: Any) -> None:
        self._client = client
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[float, list[Any]]] = {}
        self._asked: dict[tuple[str, str], list[Deferred[list[Any]]]] = {}

    def lookup(self, kind: str, name: str) -> Deferred[list[Any]]:
        """The record payloads for a name; [] when there are none or nobody answers. Never fails.

        Args:
            kind: :data:`A`, :data:`AAAA`, :data:`SRV` or :data:`NAPTR`.
            name: Domain name, lower case.
        """
        key = (kind, name)
        known = self._answers.get(key)
        if known is not None and known[0] > self._clock.seconds():
            return succeed(list(known[1]))
        waiter: Deferred[list[Any]] = Deferred()
        waiters = self._asked.setdefault(key, [])
        waiters.append(waiter)
        if len(waiters) == 1:
            question: Deferred[Any] = getattr(self._client, kind)(name, [1, 2])
            question.addCallbacks(self._read, self._failed, callbackArgs=(key,))
            question.addCallback(self._answered, key)
        return waiter

    def _read(self, answer: Any, key: tuple[str, str]) -> tuple[list[Any], float]:
        wanted = _TYPES[key[0]]
        records = [record for record in answer[0] if record.type == wanted]
        if not records:
            return [], NEGATIVE_TTL
        return [record.payload for record in records], min(max(min(record.ttl for record in records), MIN_TTL), MAX_TTL)

    def _failed(self, failure: Failure) -> tuple[list[Any], float]:
        return [], NEGATIVE_TTL if failure.check(DNSNameError, AuthoritativeDomainError) else FAILURE_TTL

    def _answered(self, result: tuple[list[Any], float], key: tuple[str, str]) -> None:
        payloads, ttl = result
        if len(self._answers) >= MAX_ANSWERS:
            # The oldest questions go first; a dict keeps the order in which they were asked.
            for old in list(self._answers)[: MAX_ANSWERS // 4]:
                del self._answers[old]
        self._answers.pop(key, None)
        self._answers[key] = (self._clock.seconds() + ttl, payloads)
        for waiter in self._asked.pop(key, []):
            waiter.callback(list(payloads))
