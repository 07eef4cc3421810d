"""Header lines of a 401 or 407, and which credentials of a request are meant for us. Pure.

Implements: RFC 3261 §22.1-§22.3, RFC 8760 §2.3 (one line for each algorithm, best first; a client answers the first it knows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.sip import digest
from sipnode.sip.uri import SipUri, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipnode.sip.message import SipRequest

MAX_LINES: Final = 8
_SIP: Final = ("sip", "sips")


def status_for(proxy: bool) -> int:
    """407 where we are in the way to somebody, 401 where we are the end of it."""
    return 407 if proxy else 401


def header_for(proxy: bool) -> str:
    """The canonical name of the header that credentials come in."""
    return "proxy-authorization" if proxy else "authorization"


def challenge_headers(proxy: bool, realm: str, nonce: str, algorithms: Iterable[str], stale: bool) -> tuple[tuple[str, str], ...]:
    """``(name, value)`` of one line for each algorithm, in the order given."""
    name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return tuple((name, digest.challenge(realm, nonce, algorithm, stale)) for algorithm in algorithms)


def credentials_for(request: SipRequest, proxy: bool, realm: str, algorithms: Iterable[str]) -> digest.Credentials | None:
    """The digest credentials for a realm, None when there are none.

    A client may carry credentials of several realms, and one for each of our algorithms: the first that we can check is
    taken, else the first of the realm.

    Raises:
        ParseError: no line is for the realm, and one can't be read.
    """
    first: digest.Credentials | None = None
    broken: ParseError | None = None
    name = header_for(proxy)
    count = request.names.count(name)
    if not count:
        return None
    for value in (request.get(name) or "",) if count == 1 else request.get_all(name)[:MAX_LINES]:
        if not digest.is_digest(value):
            continue
        try:
            found = digest.parse_credentials(value)
        except digest.NoProof:
            # Clients of 3GPP TS 24.229 §5.1.1.2 send this first: a name and no proof.
            continue
        except ParseError as fault:
            broken = fault
            continue
        if found.realm == realm:
            if found.algorithm in algorithms:
                return found
            if first is None:
                first = found
    if first is None and broken is not None:
        raise broken
    return first


def same_resource(text: str, request: SipRequest, is_local: Callable[[str], bool]) -> bool:
    """Whether a digest ``uri`` that isn't the Request-URI to the letter means the same resource (RFC 7616 §3.4.6 leaves it to the server).

    Phones leave out port and parameters, and take one name of ours for another; SIPp names the server and no user. All that counts is
    the user, and whose host it is; the nonce is good for one request anyway.
    """
    try:
        uri, asked = SipUri.parse(text), request.ruri
    except ParseError:
        return False
    if uri.equals(asked):
        return True
    if uri.scheme not in _SIP or asked.scheme not in _SIP:
        return False
    local = is_local(uri.host)
    if local and not uri.user:
        return True
    return unescape(uri.user) == unescape(asked.user) and (uri.host == asked.host or bool(local and is_local(asked.host)))
