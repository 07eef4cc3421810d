"""Host names and addresses in one spelling: the only function that says whether two hosts are the same.

Implements: RFC 3261 §19.1.4 (case), RFC 1034 §3.1 (the dot of the root), RFC 5890 (A-labels), RFC 5952 (IPv6), RFC 4291 §2.5.5.2 (IPv4 in
IPv6's clothes), RFC 3986 §2.3 (escapes), and how C libraries read odd IPv4 (``127.1``, ``0x7f.0.0.1``). Pure; never fails.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_NUMBER: Final = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)", re.A)
_LONGEST: Final = 255
# A plain number below it is a name ("sip:100@3000"): as an address it would be of the network 0.
_LEAST_NUMBER: Final = 1 << 24
_CACHE_SIZE: Final = 16384
_cache: dict[str, str] = {}


def normal_host(text: str) -> str:
    """A host as it is compared: lower case, no dot at the end, escapes decoded, names outside of ASCII as ``xn--`` labels, IPv4 in
    four decimal numbers (also where it came inside IPv6), IPv6 in brackets in its shortest form.

    A text that is neither a name nor an address comes back in lower case, so that it equals nothing of ours by accident.

    Args:
        text: With or without brackets; no port.
    """
    found = _cache.get(text)
    if found is None:
        found = _normal(text)
        if len(text) <= _LONGEST:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[text] = found
    return found


def bare_host(text: str) -> str:
    """The same without the brackets of IPv6, as sockets want it."""
    host = normal_host(text)
    return host[1:-1] if host[:1] == "[" else host


def _normal(text: str) -> str:
    if "%" in text and text[:1] != "[":
        octets = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), text.encode("utf-8", "surrogateescape"))
        text = octets.decode("utf-8", "surrogateescape")
    host = text.lower()
    if ":" in host:
        return _ipv6(host.strip("[]")) or host
    if not host.isascii():
        host = _ascii_labels(host)
    host = host.rstrip(".")
    if host[-1:].isdigit() or "0x" in host:
        return _ipv4(host) or host
    return host


def _ascii_labels(host: str) -> str:
    """Labels outside of ASCII as A-labels, after folding to the letters that they look like (full width, dots of other scripts)."""
    try:
        found = host.rstrip(".。．｡").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host
    # A full-width percent sign becomes a plain one: read once more, it would be an escape, and the host another.
    return host if "%" in found else found


def _ipv6(host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        return ""
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"[{address.compressed}]"


def _ipv4(host: str) -> str:
    """The IPv4 address that ``inet_aton`` makes of one to four decimal, octal or hexadecimal numbers; "" where it makes nothing."""
    parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) and len(part) <= 16 for part in parts):
        return ""
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return ""
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 1 << 8 * (4 - len(numbers)):
        return ""
    if not numbers and parts[0].isdigit() and last < _LEAST_NUMBER:
        return ""
    value = last
    for position, number in enumerate(numbers):
        value |= number << 8 * (3 - position)
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text[0] == "0" else int(text)
