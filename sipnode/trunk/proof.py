"""Answers to a trunk's challenges. Pure.

Implements: RFC 3261 §22.2 and §22.3, RFC 7616 (a client's side), RFC 8760 §2.3 (of several challenges the strongest algorithm). The
invariant: a password is computed with for one realm only, once for each request, and once more where the nonce was only too old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.sip import ids
from sipnode.sip.digest import MD5, SHA256, Challenge, authorization, is_digest, parse_challenge

if TYPE_CHECKING:
    from sipnode.sip.message import SipResponse

MOST_ASKED: Final = 2
"""Challenges to one request that are answered at most; the second only where it says ``stale``."""
_HEADERS: Final = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}
_STRENGTH: Final = {SHA256: 2, MD5: 1}
_MOST_CHALLENGES: Final = 8


class Account:
    """Our identity at a trunk.

    Args:
        user, password: Empty where it wants none.
        realm: The only one that they are for.
    """

    __slots__ = ("_password", "realm", "user")

    def __init__(self, user: str, password: str, realm: str) -> None:
        self.user = user
        self.realm = realm
        self._password = password

    def challenge(self, response: SipResponse) -> Challenge | None:
        """The strongest challenge of a 401 or 407 that can be answered: Digest, of our realm, by an algorithm that we know."""
        header = _HEADERS.get(response.status)
        if header is None or not (self.user and self._password):
            return None
        found: Challenge | None = None
        for value in response.get_all(header[0])[:_MOST_CHALLENGES]:
            if not is_digest(value):
                continue
            try:
                one = parse_challenge(value)
            except ParseError:
                continue
            known = _STRENGTH.get(one.algorithm, 0) if (one.nonce + one.opaque).isprintable() else 0
            fits = one.realm == self.realm and known and (not one.qop or "auth" in one.qop)
            if fits and (found is None or known > _STRENGTH[found.algorithm]):
                found = one
        return found

    def answer(self, response: SipResponse, method: str, uri: str, asked: int, uses: int = 1) -> tuple[str, str] | None:
        """The header that answers a 401 or 407, None where it isn't to be answered.

        Args:
            asked: How many challenges to this request were answered before.
            uses: Which use of its nonce it is, from 1.
        """
        offer = self.challenge(response)
        if offer is None or asked >= MOST_ASKED or (asked and not offer.stale):
            return None
        return _HEADERS[response.status][1], authorization(offer, method, uri, self.user, self._password, ids.new_tag(), uses)

    def __repr__(self) -> str:
        return f"<Account {self.user} of {self.realm}>"
