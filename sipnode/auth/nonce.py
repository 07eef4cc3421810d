"""Nonces that carry their own proof, and the memory of how often each was used. Pure: no clock, no Twisted.

Implements: RFC 7616 §3.3 (nonce, stale), §3.4 (nonce count), §5.4 and §5.5 (replay).

A nonce is ``<milliseconds, 11 hex><serial, 12 hex><whom it was given to, 8 hex><MAC over these and the realm, 32 hex>``; issuing one
stores nothing. A sender that shows one given to its address has read what was sent there: over UDP nothing else proves an address. Only a
nonce whose owner has proved the password takes a place in the table of counts, so strangers can't fill it.
Invariant: a (nonce, count) pair is accepted at most once. A pair that the table can't remember (entries pushed out, a former
run of the server) is behind ``floor``, and a nonce from before the floor counts as stale. A clock that is set back changes the key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Final

# Judgements of a nonce that came back. Plain numbers: a look at an Enum member costs as much as the check.
GOOD: Final = 0
STALE: Final = 1  # ours, but too old, from the future or from a former run: the client may repeat with a new one
FORGED: Final = 2  # not ours

_TIME_DIGITS: Final = 11
_PLACE: Final = 23
_BODY: Final = 31
_LENGTH: Final = 63
_SERIALS: Final = 1 << 48
_PLACES: Final = 4096
"""Marks of addresses that are kept: whoever forges addresses makes us forget them, and no more."""


class NonceKeeper:
    """Issues and checks nonces.

    Args:
        secret: Key of the MAC (keyed BLAKE2s, a third of the cost of HMAC-SHA-256 here), 32 octets.
        started: Epoch seconds; nonces from before it are stale, since the counts of a former run are not known.
        seed: Random number that the serials start from.
        expire: Seconds that a nonce is good for.
        table: Most nonces whose count is remembered.
        drift: Seconds that a nonce may come from the future (clocks of sister nodes).
    """

    __slots__ = ("_counts", "_drift", "_expire", "_floor", "_latest", "_places", "_secret", "_serial", "_table")

    def __init__(self, secret: bytes, started: float, seed: int, expire: float = 300.0, table: int = 50000, drift: float = 3.0) -> None:
        self._secret = secret
        self._expire = int(expire * 1000)
        self._drift = int(drift * 1000)
        self._table = table
        self._serial = seed % _SERIALS
        self._floor = int(started * 1000)
        self._latest = self._floor
        self._places: dict[str, str] = {}
        # A plain dict would search its way to the front past everything that was deleted there.
        self._counts: OrderedDict[str, int] = OrderedDict()

    def issue(self, realm: str, now: float, host: str = "") -> str:
        """A new nonce for the realm, for whoever is at ``host``; ``now`` in epoch seconds."""
        self._serial = serial = (self._serial + 1) % _SERIALS
        body = f"{self._tick(now):011x}{serial:012x}{self._place(host)}"
        return body + self._mac(body, realm)

    def given_to(self, nonce: str, host: str) -> bool:
        """Whether a nonce that :meth:`check` didn't find forged was issued to that address."""
        return nonce[_PLACE:_BODY] == self._place(host)

    def check(self, nonce: str, realm: str, now: float) -> int:
        """GOOD, STALE or FORGED: whether the nonce is one of ours for this realm, and young enough."""
        if len(nonce) != _LENGTH or not nonce.isascii():
            return FORGED
        moment = self._tick(now)
        body = nonce[:_BODY]
        if not hmac.compare_digest(self._mac(body, realm), nonce[_BODY:]):
            return FORGED
        issued = int(body[:_TIME_DIGITS], 16)
        age = moment - issued
        if age > self._expire or age < -self._drift or issued < self._floor:
            return STALE
        return GOOD

    def use(self, nonce: str, count: int, now: float) -> bool:
        """Take one use of a good nonce; False when this count, or a later one, was seen before.

        Call it only after the response proved right.
        """
        counts = self._counts
        seen = counts.get(nonce)
        if seen is not None:
            if count <= seen:
                return False
            counts[nonce] = count
            return True
        if count < 1:
            return False
        counts[nonce] = count
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        # Two looks at the front for each insertion keep the table at what is alive, without a sweep.
        counts = self._counts
        dead = int(now * 1000) - self._expire
        for _ in range(2):
            oldest = next(iter(counts))
            issued = int(oldest[:_TIME_DIGITS], 16)
            if issued >= dead and len(counts) <= self._table:
                break
            del counts[oldest]
            self._floor = max(self._floor, issued + 1)

    def _tick(self, now: float) -> int:
        # A clock that was set back would leave every new nonce behind the floor, and used ones before it: begin anew.
        moment = int(now * 1000)
        if moment < self._latest - self._drift:
            self._secret = hmac.digest(self._secret, b"clock set back", "sha256")
            self._counts.clear()
            self._places.clear()
            self._floor = self._latest = moment
        elif moment > self._latest:
            self._latest = moment
        return moment

    def _place(self, host: str) -> str:
        found = self._places.get(host)
        if found is None:
            if len(self._places) >= _PLACES:
                self._places.clear()
            # Keyed, so that nobody looks for an address of its own that has the mark of somebody else's.
            octets = host.encode("utf-8", "surrogateescape")
            found = hashlib.blake2s(octets, key=self._secret, digest_size=4, person=b"place").hexdigest()
            self._places[host] = found
        return found

    def _mac(self, body: str, realm: str) -> str:
        return hashlib.blake2s(f"{body}{realm}".encode("utf-8", "surrogateescape"), key=self._secret, digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self._counts)
