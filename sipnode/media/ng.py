"""The ng protocol of rtpengine: cookies, commands, replies, and what its errors mean.

Pure. Implements: rtpengine's control protocol "ng": a datagram is a cookie, one space and a bencoded dictionary.

The daemon keeps its reply under the cookie for a while and gives it again to the same cookie, so a command may be sent
as often as it takes, as long as its octets stay the same.

The one invariant: a reply is a dictionary with ``result`` ok, pong or load limit, or it becomes a MediaError.
"""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING

from sipnode.errors import MediaError
from sipnode.media.bencode import BencodeError, decode_dictionary, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipnode.media.bencode import Command, Value
    from sipnode.records import MediaField, MediaKey

MAX_COMMAND_BYTES = 65_000
"""A command over it isn't sent: it would fit no datagram (with the cookie)."""

_COOKIE_BYTES = 8
_AT_ONCE = 64
_cookies: list[bytes] = []


class NoAnswer(MediaError):
    """The node stayed silent until the last wait was over; another node may be asked."""

    def __init__(self, reason: str = "no answer") -> None:
        super().__init__(reason, 503)


class NodeFull(MediaError):
    """The node has no ports left, or is over its own limit; another node may be asked."""


class UnknownCall(MediaError):
    """The node doesn't hold the call that was named."""


class BadSdp(MediaError):
    """The node can't read the SDP."""


_REASONS: tuple[tuple[str, type[MediaError], int], ...] = (
    # (how the daemon's error-reason begins, in lower case; error; status for the caller)
    ("ran out of ports", NodeFull, 503),
    ("parallel session limit", NodeFull, 503),
    ("load limit", NodeFull, 503),
    ("unknown call-id", UnknownCall, 500),
    ("call-id not found", UnknownCall, 500),
    ("failed to parse sdp", BadSdp, 488),
    ("incomplete sdp", BadSdp, 488),
    ("no sdp body", BadSdp, 488),
    ("error rewriting sdp", BadSdp, 488),
    ("failed to rewrite sdp", BadSdp, 488),
    ("malformed sdp", BadSdp, 488),
)

_SENTENCES: tuple[tuple[type[MediaError], str], ...] = (
    (NoAnswer, "doesn't answer"),
    (NodeFull, "has no room for a call"),
    (UnknownCall, "doesn't have the call"),
    (BadSdp, "can't read the SDP"),
    (MediaError, "refuses"),
)


def sentence(error: MediaError, name: str) -> str:
    """A node's error for people, in one sentence.

    Args:
        name: Of the node.
    """
    said = next(text for kind, text in _SENTENCES if isinstance(error, kind))
    return f"media node {name} {said}{'' if isinstance(error, NoAnswer) else f': {error.reason}'}"


def new_cookie() -> bytes:
    """A cookie that nobody can guess: a reply with it comes from one who saw the command."""
    if not _cookies:
        # The kernel is asked for many at a time.
        digits = urandom(_COOKIE_BYTES * _AT_ONCE).hex().encode("ascii")
        _cookies.extend(digits[at : at + 2 * _COOKIE_BYTES] for at in range(0, len(digits), 2 * _COOKIE_BYTES))
    return _cookies.pop()


def datagram(cookie: bytes, command: Command) -> bytes:
    """The octets of a command.

    Raises:
        MediaError: It would fit no datagram; status 513 (RFC 3261 §21.5.7).
        BencodeError: A value that has no form.
    """
    data = encode(command)
    if len(data) > MAX_COMMAND_BYTES:
        raise MediaError(f"SDP too large for the media relay ({len(data)} octets)", 513)
    return b"%b %b" % (cookie, data)


def split_reply(data: bytes) -> tuple[bytes, bytes]:
    """Cookie and dictionary of a received datagram, the latter not yet read; both b"" without a space."""
    cookie, _, rest = data.partition(b" ")
    return (cookie, rest) if rest else (b"", b"")


def read_reply(data: bytes) -> dict[bytes, Value]:
    """The dictionary of a reply that tells of success.

    Args:
        data: Second half of `split_reply`.

    Raises:
        NodeFull, UnknownCall, MediaError: By ``error-reason``.
        BencodeError: It can't be read.
    """
    reply = decode_dictionary(data)
    result = reply.get(b"result")
    if result in (b"ok", b"pong"):
        return reply
    if result == b"load limit":
        raise NodeFull(_text(reply.get(b"message")) or "load limit", 503)
    if result == b"error":
        raise error_for(_text(reply.get(b"error-reason")) or "error without a reason")
    raise BencodeError("a reply without a result")


def error_for(reason: str) -> MediaError:
    """The error that stands for a daemon's ``error-reason``; what isn't known is a 500 with the daemon's words."""
    lower = reason.lower()
    for start, error, status in _REASONS:
        if lower.startswith(start):
            return error(reason, status)
    return MediaError(reason, 500)


def _text(value: Value | None) -> str:
    """The daemon's words, fit for a log line or a header."""
    text = value.decode("utf-8", "replace")[:200] if isinstance(value, bytes) else ""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def offer(key: MediaKey, sdp: bytes, fields: Mapping[str, MediaField]) -> Command:
    """The offer command; ``fields`` as `sipnode.media.profiles.profile_fields` gives them."""
    return _exchange("offer", key, sdp, fields)


def answer(key: MediaKey, sdp: bytes, fields: Mapping[str, MediaField]) -> Command:
    """The answer command; the key needs both tags."""
    return _exchange("answer", key, sdp, fields)


def _exchange(command: str, key: MediaKey, sdp: bytes, fields: Mapping[str, MediaField]) -> Command:
    message: Command = {**fields, "command": command, "call-id": key.call_id, "from-tag": key.from_tag, "sdp": sdp}
    if key.to_tag:
        message["to-tag"] = key.to_tag
    if key.via_branch:
        message["via-branch"] = key.via_branch
    return message


def delete(key: MediaKey, delay_seconds: int = -1) -> Command:
    """The delete command: one branch where the key has a ``via_branch``, one dialog where it has both tags, else the whole call.

    Args:
        key: Of a dialog, ``to_tag`` is the callee's: it is that end which goes, and the call with the last one.
        delay_seconds: How long the daemon keeps the ports; -1 leaves it to the daemon's ``--delete-delay``.
    """
    message: Command = {"command": "delete", "call-id": key.call_id}
    if key.via_branch:
        message["via-branch"] = key.via_branch
    if key.from_tag and (key.via_branch or key.to_tag):
        message["from-tag"] = key.from_tag
        if key.to_tag:
            message["to-tag"] = key.to_tag
    if delay_seconds >= 0:
        message["delete delay"] = delay_seconds
    return message


def query(call_id: str) -> Command:
    """Ask for all that the daemon knows of a call: streams, packets, loss."""
    return {"command": "query", "call-id": call_id}


def list_calls(limit: int = 1000) -> Command:
    """The Call-IDs that the daemon holds, at most ``limit``."""
    return {"command": "list", "limit": limit}


def statistics() -> Command:
    """The daemon's figures: among them each interface with its ports."""
    return {"command": "statistics"}


def ping() -> Command:
    """Is anybody there?"""
    return {"command": "ping"}
