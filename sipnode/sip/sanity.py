"""Sanity of a request: what it must have before anybody routes it.

Implements: RFC 3261 §8.2, §16.3 (1), and the eight checks of the seed's ``sanity_check("1511", "7")``: SIP version 1,
scheme of the Request-URI 2, required headers 4, CSeq method 32, CSeq value 64, Content-Length 128 (the parser's),
Expires 256, readable Request-URI, From and To 1024.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.message import SipRequest
from sipnode.sip.via import Via

_DIGITS: Final = re.compile(r"[0-9]+")
_LONGEST: Final = 256
_EMPTY: Final = re.compile(r";[ \t]*[;,]|,[ \t]*[;,]")
_INSIDE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|<[^<>]*>')


def check(request: SipRequest) -> None:
    """Check a request's required headers and URIs.

    Raises:
        ParseError: with the status that answers it: 400, 416 or 505.
    """
    if request.version != "SIP/2.0":
        raise ParseError("SIP version not supported", 505)
    if request.via.version != "2.0":
        raise ParseError("SIP version of Via not supported", 400)
    request.call_id  # noqa: B018 (reads it, and raises)
    _check_lists(request)
    if request.cseq_method != request.method:
        raise ParseError("the method of CSeq isn't that of the request")
    if request.ruri.scheme not in ("sip", "sips", "tel"):
        raise ParseError("scheme of the Request-URI not supported", 416)
    request.from_.uri  # noqa: B018 (reads it, and raises)
    request.to.uri  # noqa: B018 (reads it, and raises)
    if "expires" in request and request.method in ("REGISTER", "SUBSCRIBE", "PUBLISH"):
        value = request.get("expires") or ""
        if _DIGITS.fullmatch(value) is None:
            raise ParseError("an Expires that can't be read")


def max_forwards(request: SipRequest) -> int:
    """Max-Forwards, or -1 where there is none (RFC 3261 §20.22: 0..255).

    Raises:
        ParseError: can't be read.
    """
    value = request.get("max-forwards")
    if value is None:
        return -1
    if value == "70":
        return 70
    # Zeros in front are legal (RFC 4475 §3.1.1.1).
    if _DIGITS.fullmatch(value) is None or len(value) > 20 or int(value) > 255:
        raise ParseError("a Max-Forwards that can't be read")
    return int(value)


def _check_lists(request: SipRequest) -> None:
    """Via and Contact have no empty parameters, and each Via can be read, not only the one on top (RFC 4475 §3.1.2.1)."""
    lines, names, index = request.lines, request.names, request.index()
    for name in ("via", "contact"):
        position = index.get(name, -1)
        if position < 0:
            continue
        line = lines[position]
        several = names.count(name) > 1
        if name == "via" and not several and request.via.plain and "," not in line:
            continue
        if (several or _looks_empty(line)) and any(map(_has_empty, request.get_all(name))):
            raise ParseError(f"an empty parameter in {name.capitalize()}")
        if name == "via" and (several or "," in line):
            for value in request.values(name):
                Via.parse(value)


def _looks_empty(line: str) -> bool:
    """Whether a header line is to be looked at more closely; a phone has the same Contact for weeks."""
    return _known_to_look_empty(line) if len(line) <= _LONGEST else _EMPTY.search(line) is not None


@lru_cache(maxsize=4096)
def _known_to_look_empty(line: str) -> bool:
    return _EMPTY.search(line) is not None


def _has_empty(value: str) -> bool:
    """Whether a header value has a parameter, or a value, that is empty (RFC 4475 §3.1.2.1); inside of quotes and URIs anything may be."""
    return _EMPTY.search(value) is not None and _EMPTY.search(_INSIDE.sub("", value)) is not None
