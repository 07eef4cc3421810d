"""Commands of the ng protocol about a call that is up: record it, play to it, send or block digits, hand out a copy of its media.

Pure. Implements: rtpengine's control protocol "ng" as of 10.5, whose names these are.

The invariant: each names one call, and its ends by their tags at the relay and by nothing that a caller chose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sipnode.media.bencode import Command
    from sipnode.records import MediaField

DIGITS: Final = frozenset("0123456789*#ABCD")
"""Digits of a keypad (RFC 4733 §3.2)."""
MOST_DIGITS: Final = 64
"""Digits of one order."""
MOST_TIMES: Final = 1000
"""Repeats of a file."""
MIN_MS: Final = 100
MAX_MS: Final = 5000
"""Bounds of a digit and of the pause after it, in milliseconds, as the daemon has them."""
MOST_METADATA: Final = 1024
"""Characters of metadata, and of a file's path."""

BLOCKING: Final = ("block DTMF", "unblock DTMF", "block media", "unblock media", "silence media", "unsilence media")
"""Commands that stop what an end sends, and let it pass again."""


def start_recording(call_id: str, metadata: str = "") -> Command:
    """Record the whole call; the daemon can't record one end alone.

    Args:
        metadata: ``key:value|key:value`` for the recording's own metadata, "" for none.

    Raises:
        MediaError: 400, metadata that can't be.
    """
    message: Command = {"command": "start recording", "call-id": call_id}
    if metadata:
        message["metadata"] = _text(metadata, "metadata")
    return message


def stop_recording(call_id: str) -> Command:
    """End the recording, and its files."""
    return {"command": "stop recording", "call-id": call_id}


def pause_recording(call_id: str) -> Command:
    """Leave out what comes until the next `start_recording`, in the same files; rtpengine 11.3 and later."""
    return {"command": "pause recording", "call-id": call_id}


def play_media(call_id: str, tag: str, file: str, times: int = 1) -> Command:
    """Play a file.

    Args:
        tag: Of the end that hears it, "" for all.
        file: Path on the daemon's machine, of whatever ffmpeg reads.
        times: How often.

    Raises:
        MediaError: 400, a path or a number that can't be.
    """
    if not file:
        raise MediaError("no file", 400)
    message = _party("play media", call_id, tag)
    message["file"] = _text(file, "a path")
    if _within("times", times, 1, MOST_TIMES) > 1:
        message["repeat-times"] = times
    return message


def stop_media(call_id: str, tag: str) -> Command:
    """End what is played to an end, "" for all."""
    return _party("stop media", call_id, tag)


def play_dtmf(call_id: str, tag: str, digit: str, milliseconds: int = 250, pause: int = 100) -> Command:
    """Have the other end hear a digit, as if this one had pressed it.

    The call has to be marked with ``inject-DTMF`` in its offer and its answer. Digits that are asked for one after the other queue up.

    Args:
        tag: Of the end that presses it, "" for all.
        digit: One of `DIGITS`.
        milliseconds: Its length. pause: Silence after it.

    Raises:
        MediaError: 400, no such digit or length.
    """
    if digit not in DIGITS:
        raise MediaError(f"{digit!r} is no digit: 0 to 9, *, #, A to D", 400)
    message = _party("play DTMF", call_id, tag)
    message["code"] = digit
    message["duration"] = _within("milliseconds", milliseconds, MIN_MS, MAX_MS)
    message["pause"] = _within("pause", pause, MIN_MS, MAX_MS)
    return message


def blocking(command: str, call_id: str, tag: str) -> Command:
    """One of `BLOCKING`.

    Args:
        tag: Of the end that sends, "" for all. What was blocked for one end is let through by an order for all, too.
    """
    if tag or command.startswith("un"):
        return _party(command, call_id, tag)
    return {"command": command, "call-id": call_id}


def subscribe_request(call_id: str, tags: Sequence[str], to_tag: str, fields: Mapping[str, MediaField]) -> Command:
    """Make an offer to somebody who gets a copy of what these ends send (for SIPREC, RFC 7866, or a program that listens).

    Args:
        tags: Of the ends.
        to_tag: Of the one who gets it, new for each.
        fields: Flag words for the offer, as `sipnode.media.flags.parse` reads them.
    """
    message: Command = {**fields, "command": "subscribe request", "call-id": call_id, "to-tag": to_tag}
    message["from-tags"] = list(tags)
    return message


def subscribe_answer(call_id: str, to_tag: str, sdp: bytes, fields: Mapping[str, MediaField]) -> Command:
    """The answer to that offer; media flows from then on."""
    return {**fields, "command": "subscribe answer", "call-id": call_id, "to-tag": to_tag, "sdp": sdp}


def unsubscribe(call_id: str, to_tag: str) -> Command:
    """End a copy."""
    return {"command": "unsubscribe", "call-id": call_id, "to-tag": to_tag}


def _party(command: str, call_id: str, tag: str) -> Command:
    """A command about one end, or about all of them."""
    if tag:
        return {"command": command, "call-id": call_id, "from-tag": tag}
    return {"command": command, "call-id": call_id, "flags": ["all"]}


def _text(value: str, what: str) -> str:
    if len(value) > MOST_METADATA or not value.isprintable():
        raise MediaError(f"{what} is too long, or has control characters", 400)
    return value


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise MediaError(f"{name} is a number from {low} to {high}", 400)
    return value
