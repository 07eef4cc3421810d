"""Is the sender behind an address translator? The numbered tests of Kamailio's ``nat_uac_test``.

Implements: RFC 1918, RFC 6598 (which addresses are private), RFC 3581 §2 (what a translator does to Via). Pure.

The invariant: an answer depends on the request and its source only, and a request that nothing is wrong with costs a
few string comparisons, never an address object.
"""

from __future__ import annotations

import re
from enum import IntFlag
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage

CONTACT_PRIVATE: Final = 1
VIA_ADDRESS: Final = 2
VIA_PRIVATE: Final = 4
SDP_PRIVATE: Final = 8
VIA_PORT: Final = 16
SOURCE_PRIVATE: Final = 32
WEBSOCKET: Final = 64
CONTACT_PORT: Final = 128
SDP_ADDRESS: Final = 256


class NatTest(IntFlag):
    """The tests by name, for logs and for people; the hot path adds the plain numbers above."""

    CONTACT_PRIVATE = CONTACT_PRIVATE
    VIA_ADDRESS = VIA_ADDRESS
    VIA_PRIVATE = VIA_PRIVATE
    SDP_PRIVATE = SDP_PRIVATE
    VIA_PORT = VIA_PORT
    SOURCE_PRIVATE = SOURCE_PRIVATE
    WEBSOCKET = WEBSOCKET
    CONTACT_PORT = CONTACT_PORT
    SDP_ADDRESS = SDP_ADDRESS


_CACHED_HOSTS: Final = 8192
_LONGEST_LITERAL: Final = 64
_SDP_CONNECTION: Final = re.compile(rb"^c=IN IP([46]) ([0-9A-Fa-f.:]{2,45})", re.M)
_DOTTED: Final = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")


def nat_uac_test(mask: int, request: SipMessage, host: str, port: int, websocket: bool) -> int:
    """Run the tests of a mask.

    Args:
        mask: Sum of the numbers of :class:`NatTest`.
        request: As received, before ``received`` and ``rport`` matter.
        host: Source address, IPv6 with or without brackets.
        port: Source port.
        websocket: Whether it came by WebSocket.

    Returns:
        The sum of the tests that hit, 0 for none. A header that can't be read hits nothing: whoever routes the request
        refuses it.
    """
    hits = WEBSOCKET if websocket and mask & WEBSOCKET else 0
    if mask & (VIA_ADDRESS | VIA_PRIVATE | VIA_PORT):
        hits |= mask & _via_tests(request, host, port)
    if mask & (CONTACT_PRIVATE | CONTACT_PORT):
        value = request.get("contact")
        if value:
            contact_host, contact_port = contact_address(value)
            if contact_host:
                if mask & CONTACT_PRIVATE and is_private(contact_host):
                    hits |= CONTACT_PRIVATE
                if mask & CONTACT_PORT and contact_port != port:
                    hits |= CONTACT_PORT
    if mask & SOURCE_PRIVATE and is_private(host):
        hits |= SOURCE_PRIVATE
    if mask & (SDP_PRIVATE | SDP_ADDRESS) and request.body:
        hits |= mask & _sdp_tests(request.body, host)
    return hits


def _via_tests(request: SipMessage, host: str, port: int) -> int:
    try:
        via = request.via
    except ParseError:
        return 0
    hits = 0
    if via.host != host and not same_host(via.host, host):
        hits = VIA_ADDRESS
    if is_private(via.host):
        hits |= VIA_PRIVATE
    if (via.port or (5061 if via.transport == "TLS" else 5060)) != port:
        hits |= VIA_PORT
    return hits


def _sdp_tests(body: bytes, host: str) -> int:
    hits = 0
    for _, address in _SDP_CONNECTION.findall(body):
        text = address.decode("ascii")
        if is_private(text):
            hits |= SDP_PRIVATE
        # 0.0.0.0 puts a stream on hold (RFC 2543) and names nobody.
        if text not in ("0.0.0.0", host) and not same_host(text, host):
            hits |= SDP_ADDRESS
    return hits


def from_neighbour(message: SipMessage) -> bool:
    """Whether a request came straight from the one who made it: no other proxy is between."""
    return message.names.count("via") == 1 and "," not in message.lines[message.index()["via"]]


def contact_address(value: str) -> tuple[str, int]:
    """Host and port of the first address in a Contact header, by slicing.

    Returns:
        (host without brackets, port; 5060 or 5061 where none is written), or ("", 0) for ``*`` and what can't be read.
    """
    start = value.find("<")
    if start >= 0 and '"' in value[:start]:
        # A quoted display name may hold a bracket of its own.
        start = _after_quotes(value)
    elif start >= 0 and "," in value[:start]:
        # The bracket is that of a later address; this one has none.
        start = -1
    if start >= 0:
        end = value.find(">", start)
        text = value[start + 1 : end] if end > 0 else ""
    else:
        text = value.partition(",")[0]
    scheme, colon, rest = text.partition(":")
    if not colon:
        return "", 0
    rest = rest.partition("@")[2] if "@" in rest else rest
    rest = rest.partition(";")[0].partition("?")[0].strip()
    default = 5061 if scheme.strip().lower() == "sips" else 5060
    if rest[:1] == "[":
        host, bracket, tail = rest[1:].partition("]")
        if not bracket:
            return "", 0
        tail = tail[1:]
    else:
        host, _, tail = rest.partition(":")
    if not tail:
        return host.lower(), default
    return (host.lower(), int(tail)) if tail.isascii() and tail.isdigit() and len(tail) <= 5 else ("", 0)


def _after_quotes(value: str) -> int:
    quoted = False
    escaped = False
    for position, character in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "<" and not quoted:
            return position
    return -1


def is_private(host: str) -> bool:
    """Whether a host is an address literal that means nothing outside of its own network: RFC 1918, RFC 6598,
    link-local (RFC 3927, RFC 4291) or unique local (RFC 4193). Names and loopback are not private.

    Args:
        host: IPv6 with or without brackets.
    """
    return len(host) <= _LONGEST_LITERAL and _is_private(host)


@lru_cache(maxsize=_CACHED_HOSTS)
def _is_private(host: str) -> bool:
    match = _DOTTED.fullmatch(host)
    if match is not None:
        first, second = int(match.group(1)), int(match.group(2))
        return (
            first == 10
            or (first == 192 and second == 168)
            or (first == 172 and 16 <= second <= 31)
            or (first == 100 and 64 <= second <= 127)
            or (first == 169 and second == 254)
        )
    if ":" not in host:
        return False
    text = host.strip("[]").lower()
    if text.startswith("::ffff:") and "." in text:
        return is_private(text[7:])
    group = text.partition(":")[0]
    return len(group) == 4 and (group[:2] in ("fc", "fd") or (group[:2] == "fe" and group[2] in "89ab"))


def canonical_host(host: str) -> str:
    """A host in the form in which equal ones are equal texts: lower case, no brackets, IPv6 compressed (RFC 5952)."""
    return _canonical(host) if len(host) <= _LONGEST_LITERAL else host.lower()


@lru_cache(maxsize=_CACHED_HOSTS)
def _canonical(host: str) -> str:
    text = host.strip("[]").lower()
    if ":" in text:
        try:
            address = IPv6Address(text)
        except ValueError:
            return text
        mapped = address.ipv4_mapped
        return str(mapped) if mapped is not None else address.compressed
    return text


def same_host(one: str, other: str) -> bool:
    """Whether two hosts are the same name or address literal; IPv6 in any spelling, with or without brackets."""
    return one == other or canonical_host(one) == canonical_host(other)
