"""SDP in the body of a SIP message: where it stands, and another in its place.

Pure. Implements: RFC 3261 §7.4, §20.12, §20.15; RFC 2046 §5.1 (multipart); RFC 5621 §3 (multipart bodies in SIP).

The one invariant: nothing but the SDP itself, and a Content-Length of its own part, changes; a body that is encoded
(gzip, base64) is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage

MAX_PARTS = 32
"""Parts of a multipart body that are looked at, in all levels together."""

MAX_BOUNDARY = 200
"""Octets of a boundary (RFC 2046 §5.1.1 allows 70): a pattern is made of it, which takes longer than to read it."""

MAX_DEPTH = 3
"""Multipart within multipart."""

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)
_HEADER = re.compile(rb"(?:\A|\n)([!-9;-~]+)[ \t]*:[ \t]*((?:[^\r\n]|\r?\n[ \t])*)")
_PART_LENGTH = re.compile(rb"(?:\A|\n)content-length[ \t]*:[ \t]*(\d+)", re.IGNORECASE)
_PLAIN_TRANSFER = ("", "7bit", "8bit", "binary")


@dataclass(slots=True, frozen=True)
class SdpPart:
    """Where SDP stands in a body.

    ``body[start:end]`` is the SDP. ``length_at`` are the bounds of the digits of the part's own Content-Length, (0, 0)
    where it has none, as every body that is SDP altogether.
    """

    start: int
    end: int
    length_at: tuple[int, int] = (0, 0)

    def of(self, body: bytes) -> bytes:
        """The SDP."""
        return body[self.start : self.end]

    def replaced(self, body: bytes, sdp: bytes) -> bytes:
        """The body with other SDP in the same place."""
        before = body[: self.start]
        first, last = self.length_at
        if last:
            before = b"%b%d%b" % (body[:first], len(sdp), body[last : self.start])
        return before + sdp + body[self.end :]


def find_sdp(message: SipMessage) -> SdpPart | None:
    """The SDP of a message, or None: no body, another type, or an encoding that hides it."""
    if not message.body:
        return None
    content_type = message.get("content-type")
    if content_type is None or _encoded(message.get("content-encoding")):
        return None
    return locate(content_type, message.body)


def hides_sdp(message: SipMessage) -> bool:
    """The body is SDP or multipart, yet encoded, so that the relay can't be given it."""
    if not message.body or not _encoded(message.get("content-encoding")):
        return False
    kind = _kind(message.get("content-type") or "")
    return kind == "application/sdp" or kind.startswith("multipart/")


def locate(content_type: str, body: bytes) -> SdpPart | None:
    """The SDP in a body of that Content-Type.

    In a multipart body it is the first part of type application/sdp whose disposition is ``session`` or isn't given
    (RFC 5621 §8); one for an early session (RFC 3959) belongs to another exchange.
    """
    kind = _kind(content_type)
    if kind == "application/sdp":
        return SdpPart(0, len(body))
    if not kind.startswith("multipart/"):
        return None
    return _search(content_type, body, 0, len(body), 1, [MAX_PARTS])


def _search(content_type: str, body: bytes, start: int, end: int, depth: int, left: list[int]) -> SdpPart | None:
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    quoted, plain = match.groups()
    boundary = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
    if not boundary or len(boundary) > MAX_BOUNDARY:
        return None
    for first, last in _parts(boundary.encode("utf-8", "surrogateescape"), body, start, end):
        left[0] -= 1
        if left[0] < 0:
            return None
        found = _part(body, first, last, depth, left)
        if found is not None:
            return found
    return None


def _parts(boundary: bytes, body: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Bounds of the parts, their head included, without the line end that belongs to the delimiter after them.

    A last part that nothing closes reaches to the end: the other side may read it so, and its SDP has to be ours.
    """
    delimiter = re.compile(rb"(?:\r?\n|\A)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    bounds: list[tuple[int, int]] = []
    begin = -1
    for match in delimiter.finditer(body[start:end]):
        if begin >= 0:
            bounds.append((begin, max(begin, start + match.start())))
        if match.group(1) or len(bounds) > MAX_PARTS:
            return bounds
        begin = start + match.end()
        begin += 2 if body[begin : begin + 2] == b"\r\n" else 1
    if 0 <= begin < end:
        bounds.append((begin, end))
    return bounds


def is_webrtc(sdp: bytes) -> bool:
    """Whether an SDP is one that a browser takes and gives: ICE and DTLS (RFC 8827 §6.5)."""
    return b"a=fingerprint:" in sdp and b"a=ice-ufrag:" in sdp


def _part(body: bytes, first: int, last: int, depth: int, left: list[int]) -> SdpPart | None:
    head_end, content = _split(body, first, last)
    head = body[first:head_end]
    fields = {name.lower(): value.decode("utf-8", "surrogateescape").strip() for name, value in _HEADER.findall(head)}
    content_type = fields.get(b"content-type", "")
    kind = _kind(content_type)
    plain = fields.get(b"content-transfer-encoding", "").lower() in _PLAIN_TRANSFER and not _encoded(fields.get(b"content-encoding"))
    if not plain:
        return None
    if kind.startswith("multipart/") and depth < MAX_DEPTH:
        return _search(content_type, body, content, last, depth + 1, left)
    if kind != "application/sdp" or _kind(fields.get(b"content-disposition", "session")) != "session":
        return None
    length = _PART_LENGTH.search(head)
    return SdpPart(content, last, (first + length.start(1), first + length.end(1)) if length else (0, 0))


def _split(body: bytes, first: int, last: int) -> tuple[int, int]:
    """Where the head of a part ends and its content begins; a part without a blank line is all head."""
    if body[first : first + 2] == b"\r\n":
        return first, first + 2
    if body[first : first + 1] == b"\n":
        return first, first + 1
    for blank in (b"\r\n\r\n", b"\n\n"):
        at = body.find(blank, first, last)
        if at >= 0:
            return at, at + len(blank)
    return last, last


def _kind(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _encoded(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in ("", "identity")
