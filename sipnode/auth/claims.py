"""Whom a request says to be from, and whether one of our passwords can prove it. Pure.

Implements: RFC 3261 §10.3 (REGISTER is about To), §26.1.2, RFC 3323 §4.1 (anonymous), RFC 3325 §6 (P-Preferred-Identity), RFC 3966 §5.1.4
(``phone-context``).

The invariant: every spelling of a host of ours, in whatever URI, is a claim that has to be proved; what can't be one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.errors import ParseError
from sipnode.sip.address import NameAddr
from sipnode.sip.digest import realms_of
from sipnode.sip.hosts import normal_host

if TYPE_CHECKING:
    from sipnode.sip.message import SipRequest
    from sipnode.sip.uri import SipUri

_SIP: Final = ("sip", "sips")


class Claim(NamedTuple):
    """A user of ours that a request says to be from.

    Attributes:
        user: As written, escapes kept; None where any user of the realm will do.
        realm: Domain or address of ours, as :func:`~sipnode.sip.hosts.normal_host` spells it; "" where it is from elsewhere.
    """

    user: str | None
    realm: str


FOREIGN: Final = Claim(None, "")


def claim_of(request: SipRequest, is_local: Callable[[str], bool]) -> Claim:
    """The user of ours that has to prove itself: that of the address-of-record for REGISTER, else that of From, or of
    P-Preferred-Identity where From is anonymous.

    Raises:
        ParseError: 400, the address can't be read; 403, From is neither a SIP address nor a number, and so nobody that could be asked.
    """
    if request.method == "REGISTER":
        uri = request.to.uri
        return Claim(uri.user, uri.host) if uri.scheme in _SIP and is_local(uri.host) else FOREIGN
    uri = request.from_.uri
    if uri.scheme in _SIP:
        if is_local(uri.host):
            return Claim(uri.user, uri.host)
        if "p-preferred-identity" in request and is_anonymous(uri):
            return _preferred(request, is_local)
        return FOREIGN
    if uri.scheme != "tel":
        raise ParseError("From Is No SIP Address", 403)
    context = uri.params.get("phone-context", "")
    # A number of our own plan is somebody of ours; a global one is anybody's.
    return Claim(uri.user, normal_host(context)) if context and is_local(context) else FOREIGN


def is_anonymous(uri: SipUri) -> bool:
    """Whether a From names nobody (RFC 3323 §4.1.1.3)."""
    return uri.host == "invalid" or uri.host.endswith(".invalid") or uri.user.lower() == "anonymous"


def shown_realm(request: SipRequest, is_local: Callable[[str], bool]) -> str:
    """The realm of ours that the credentials of a request are for, "" for none."""
    if "proxy-authorization" not in request:
        return ""
    for value in request.get_all("proxy-authorization"):
        for realm in realms_of(value):
            if is_local(realm):
                return normal_host(realm)
    return ""


def _preferred(request: SipRequest, is_local: Callable[[str], bool]) -> Claim:
    for value in request.values("p-preferred-identity"):
        uri = NameAddr.parse(value).uri
        if uri.scheme in _SIP and is_local(uri.host):
            return Claim(uri.user, uri.host)
    return FOREIGN
