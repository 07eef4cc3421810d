"""Secrets in messages, covered: what would let somebody sign in, decrypt media, end a call, or know what was dialled. Pure.

The invariant: a message keeps its length and its lines, so that Content-Length stays right and a message can be compared with another.
"""

from __future__ import annotations

import re
from typing import Any, Final

COVER: Final = b"*"

_CREDENTIALS: Final = re.compile(rb"(?im)^((?:proxy-)?authorization[ \t]*:[ \t]*)((?:[^\r\n]|\r?\n[ \t])*)")
_DIGEST_PARTS: Final = re.compile(rb'(\b(?:response|cnonce|nonce)[ \t]*=[ \t]*"?)([^",\r\n]+)', re.I)
_NONCES: Final = re.compile(
    rb"(?im)^((?:(?:www|proxy)-authenticate|(?:proxy-)?authentication-info)[ \t]*:[^\r\n]*?"
    rb'\b(?:nonce|nextnonce|rspauth|cnonce)[ \t]*=[ \t]*"?)'
    rb'([^",\r\n]+)'
)
_PARAMETERS: Final = re.compile(rb"(;(?:sn|pn-prid|access_token|token)=)([^;>,\s\"&]+)", re.I)
"""The sealed state of a dialog in our Route, and what wakes a phone up."""
_IN_TEXT: Final = re.compile(_PARAMETERS.pattern.decode(), re.I)
_REPLACES: Final = re.compile(rb"(?im)^(identity[ \t]*:[ \t]*)([^;\r\n]+)")
_BODY: Final = (
    ((b"inline:",), re.compile(rb"(?im)^(a=crypto:[^\r\n]*?\binline:)([^\s|]+)")),
    ((b"ice-pwd", b"key-mgmt", b"tls-id"), re.compile(rb"(?im)^(a=(?:ice-pwd|key-mgmt|tls-id):[ \t]*)([^\r\n]+)")),
    ((b"k=",), re.compile(rb"(?im)^(k=)([^\r\n]+)")),
)
"""What a line of a body needs, in small letters, and the line."""
_DTMF: Final = re.compile(
    rb"(?im)^content-type[ \t]*:[ \t]*application/(?:dtmf|vnd\.nortelnetworks\.digits)|^c[ \t]*:[ \t]*application/dtmf"
)
_SIGNAL: Final = re.compile(rb"(?im)^((?:signal|d)[ \t]*=[ \t]*)([^\r\n]+)")


def _covered(match: re.Match[bytes]) -> bytes:
    return match[1] + COVER * len(match[2])


def _credentials(match: re.Match[bytes]) -> bytes:
    value = match[2]
    if value[:7].lower() == b"digest ":
        return match[1] + _DIGEST_PARTS.sub(_covered, value)
    return match[1] + re.sub(rb"[^\r\n]", COVER, value)


def masked(data: bytes) -> bytes:
    """A message whose secrets are covered.

    Covered are of digest credentials response and nonces, other credentials whole, nonces of challenges, the seal of our routes, tokens
    that push to a phone, keys of SDES and ICE, and DTMF digits.
    """
    head, blank, body = data.partition(b"\r\n\r\n")
    # Most messages have few of these; to look for a word costs a tenth of what to look for a pattern does.
    small = head.lower()
    if b"authorization" in small:
        head = _CREDENTIALS.sub(_credentials, head)
    if b"authenticat" in small:
        head = _NONCES.sub(_covered, head)
    if b";sn=" in small or b"token=" in small or b";pn-prid=" in small:
        head = _PARAMETERS.sub(_covered, head)
    if b"identity" in small:
        head = _REPLACES.sub(_covered, head)
    if body:
        if (b"application/dtmf" in small or b"digits" in small) and _DTMF.search(head):
            body = _SIGNAL.sub(_covered, body) if _SIGNAL.search(body) else re.sub(rb"[^\r\n]", COVER, body)
        small = body.lower()
        for words, pattern in _BODY:
            if any(word in small for word in words):
                body = pattern.sub(_covered, body)
    return head + blank + body


def covered(value: Any) -> Any:
    """What isn't octets of a message, such as a fact with the URIs of contacts, with the same parameters of URIs covered."""
    if isinstance(value, str):
        return _IN_TEXT.sub(lambda match: match[1] + "*" * len(match[2]), value) if ";" in value else value
    if type(value) in (list, tuple):
        return type(value)(covered(each) for each in value)
    return value


def text_of(data: bytes) -> str:
    """Octets as text for a terminal or a page: lines, and no other control characters."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(each if each in "\n\t" or each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
