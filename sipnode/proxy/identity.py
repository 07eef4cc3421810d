"""Which header lines of a message don't go on, since they say who somebody is, or make a phone answer by itself, and nobody proved it.

Implements: RFC 3325 §5, §7, §10 (P-Asserted-Identity and the trust domain), RFC 3323 (Privacy), RFC 8224 and RFC 4474 (Identity),
RFC 5373 (Answer-Mode), RFC 7462 (Alert-Info), RFC 3261 §20.9 (Call-Info), RFC 5806 and RFC 7044 (Diversion, History-Info), RFC 3261
§22.3 (credentials that were for us end here). Pure.

A message that has none of these names costs one look at its index.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.errors import ParseError
from sipnode.sip.address import NameAddr
from sipnode.sip.digest import realms_of
from sipnode.sip.grammar import line_value, split_commas
from sipnode.sip.headers import PRETTY

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage, SipRequest, SipResponse
    from sipnode.sip.uri import SipUri

ASSERTED: Final = 1
"""Says who the sender is; ours takes its place where that is proved."""
CLAIM: Final = 2
"""Says more about the sender, or vouches for it, and stands for nothing without a trust domain."""
PAST: Final = 3
"""Says whom the call was for before."""
ANSWER: Final = 4
"""Makes a phone answer by itself."""
ALERT: Final = 5
"""May do so: kept for the rings that are standard."""
INFO: Final = 6
"""May do so by a parameter."""
CREDENTIALS: Final = 7
"""Goes no further where it is for a realm of ours."""

_KINDS: Final[dict[str, int]] = {
    "p-asserted-identity": ASSERTED,
    "p-preferred-identity": ASSERTED,
    "remote-party-id": ASSERTED,
    "identity": CLAIM,
    "identity-info": CLAIM,
    "p-asserted-service": CLAIM,
    "p-preferred-service": CLAIM,
    "p-associated-uri": CLAIM,
    "p-called-party-id": CLAIM,
    "p-charge-info": CLAIM,
    "p-profile-key": CLAIM,
    "p-served-user": CLAIM,
    "p-user-database": CLAIM,
    "attestation-info": CLAIM,
    "origination-id": CLAIM,
    "diversion": PAST,
    "history-info": PAST,
    "answer-mode": ANSWER,
    "priv-answer-mode": ANSWER,
    "p-alerting-mode": ANSWER,
    "alert-info": ALERT,
    "call-info": INFO,
    "authorization": CREDENTIALS,
    "proxy-authorization": CREDENTIALS,
}
# Names of makers of phones and networks for the same things.
_LIKE_CLAIM: Final = re.compile(r"asserted|preferred-ident|remote-party|caller-?id|verstat")
_LIKE_PAST: Final = re.compile(r"diversion|history-info")
_LIKE_ANSWER: Final = re.compile(r"auto-?answer|answer-?(?:mode|after)|intercom|alerting-mode")
_HARMLESS: Final = frozenset(PRETTY) - frozenset(_KINDS)
# RFC 7462 URNs and the rings that phones have had since Bellcore; none of them answers.
_RING: Final = re.compile(
    r"<(?:urn:alert:[a-z0-9.:-]+|(?:https?://)?(?:127\.0\.0\.1/)?bellcore-dr[0-9]+)>"
    r"|(?:<[^<>]*>)?;?\s*info=\"?(?:alert-(?:internal|external|group|community-[0-9])|bellcore-dr[0-9]+)\"?",
    re.I | re.A,
)
_ANSWERS: Final = re.compile(r"answer|intercom|auto", re.I)
_NAMES_KEPT: Final = 4096
_learnt: dict[str, int] = {}


class Judgement(NamedTuple):
    """The fate of a request's headers.

    Attributes:
        gone: Positions of the lines that don't go on.
        added: ``(canonical name, value)`` of what goes on in their place.
        claims: How many of them claimed what wasn't proved, or asked for an answer: credentials aren't counted.
    """

    gone: tuple[int, ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    claims: int = 0


NOTHING: Final = Judgement()


def is_harmless(message: SipMessage) -> bool:
    """Whether a message has none of these headers, nor one that nobody has heard of: the answer for nearly all, by one look."""
    return _HARMLESS.issuperset(message.index())


def judge(request: SipRequest, sender: str, trusted: bool, may_answer: bool, is_local: Callable[[str], bool]) -> Judgement:
    """Judge the headers of a request that is about to be sent on.

    Args:
        sender: ``user@domain`` that proved itself, "" for nobody.
        trusted: It came from a trusted address or domain: what it asserts stays, but for who wants to be private.
        may_answer: Headers that make a phone answer by itself go on.
        is_local: Whether a host is ours, so that credentials for it are.
    """
    if is_harmless(request):
        return NOTHING
    gone: list[int] = []
    claims = 0
    own: SipUri | None = None
    for position, name in enumerate(request.names):
        kind = kind_of(name)
        if not kind:
            continue
        value = line_value(request.lines[position])
        if kind == CREDENTIALS:
            if _is_for_us(value, is_local):
                gone.append(position)
            continue
        if kind in (ANSWER, ALERT, INFO):
            if may_answer or (kind == ALERT and _rings(value)) or (kind == INFO and not _ANSWERS.search(value)):
                continue
        elif trusted:
            if kind != ASSERTED or not _is_private(request):
                continue
        elif kind == ASSERTED:
            own = own or _uri_of(value, sender)
            gone.append(position)
            claims += own is None
            continue
        elif kind == PAST and sender and all_of(value, sender):
            continue
        gone.append(position)
        claims += not trusted
    added = () if own is None or _is_private(request) else (("p-asserted-identity", f"<sip:{own.user}@{own.host}>"),)
    return Judgement(tuple(gone), added, claims)


def remove_claims(response: SipResponse) -> int:
    """Take what an untrusted callee asserts out of a response (RFC 3325 §5).

    Args:
        response: One of our own; it is changed.

    Returns:
        How many headers are gone.
    """
    names = {name for name in response.names if kind_of(name) in (ASSERTED, CLAIM)}
    for name in names:
        response.remove(name)
    return len(names)


def kind_of(name: str) -> int:
    """The subject of a header by its canonical name; 0 for all that is nobody's business here."""
    if name in _HARMLESS:
        return 0
    kind = _KINDS.get(name)
    if kind is None:
        kind = _learnt.get(name)
        if kind is None:
            kind = CLAIM if _LIKE_CLAIM.search(name) else PAST if _LIKE_PAST.search(name) else ANSWER if _LIKE_ANSWER.search(name) else 0
            if len(_learnt) >= _NAMES_KEPT:
                _learnt.clear()
            _learnt[name] = kind
    return kind


def all_of(value: str, sender: str) -> bool:
    """Whether every address of a comma list is the sender's own."""
    try:
        return all(_is_own(NameAddr.parse(each).uri, sender) for each in split_commas(value))
    except ParseError:
        return False


def _uri_of(value: str, sender: str) -> SipUri | None:
    """The URI by which a value names its sender, None where it names anybody else, too."""
    if not sender or not all_of(value, sender):
        return None
    return NameAddr.parse(split_commas(value)[0]).uri


def _is_own(uri: SipUri, sender: str) -> bool:
    return uri.scheme in ("sip", "sips") and uri.aor == sender


def _is_private(message: SipMessage) -> bool:
    """Whether the caller wants nobody outside of the trust domain to see its identity (RFC 3325 §9.3)."""
    if "privacy" not in message:
        return False
    words = re.split(r"[\s,;]+", ";".join(message.get_all("privacy")).lower())
    return "id" in words or "user" in words


def _rings(value: str) -> bool:
    return all(_RING.fullmatch(each.strip()) for each in value.split(","))


def _is_for_us(value: str, is_local: Callable[[str], bool]) -> bool:
    return any(map(is_local, realms_of(value)))
