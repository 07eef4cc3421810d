"""Sentences for people about what happened to a call. Only here; the rooms where it happens tell the tap facts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sipnode.base.tap import ABANDONED, BARRED, BRANCHED, COUNTED, DATABASE, DNS, LOCATED, LOST, MEDIA, PROVED, REFUSED, TRACED

if TYPE_CHECKING:
    from collections.abc import Callable

CAME: Final = "came"
"""A request came. ``(method, uri, transport, (host, port))``"""
ANSWER: Final = "answer"
"""A response came. ``(status, reason, method, transport, (host, port))``"""
WENT: Final = "went"
"""A request went on. ``(start line, transport, (host, port))``"""
BACK: Final = "back"
"""A response went back. ``(status, method, transport, (host, port))``"""
AGAIN: Final = "again"
"""A message was sent once more. ``(start line, transport, (host, port))``"""
DECIDED: Final = "decided"
"""A stage of the routing script decided. ``(method, stage, verdict)``"""
FAULT: Final = "fault"
"""A question failed. ``(whom, what, fault)``"""

MOST_CHARACTERS: Final = 200

Noted = tuple[float, str, tuple[Any, ...]]
"""Epoch seconds, what happened, its parts."""


class Step(NamedTuple):
    """One step of a call.

    Attributes:
        when: Epoch seconds.
        room: Which part of the server it was: ``wire``, ``auth``, ``location``, ``proxy``, ``media``, ``dialog``, ``dns`` …
        text: What happened.
    """

    when: float
    room: str
    text: str


def step(noted: Noted) -> Step:
    """A noted fact in words."""
    when, what, parts = noted
    if what == FAULT:
        return Step(when, parts[0], f"{parts[1]} failed: {parts[2]}")
    room, sentence = _SENTENCES[what]
    return Step(when, room, sentence(*parts))


def plain(text: str, most: int = MOST_CHARACTERS) -> str:
    """One line of a log: no control characters that somebody sent, and not too long."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def place(transport: str, remote: tuple[str, int]) -> str:
    """``udp:192.0.2.1:5060``."""
    return f"{transport.lower()}:{remote[0]}:{remote[1]}"


def _refused(status: int, method: str, transport: str, remote: tuple[str, int], stage: str) -> str:
    return f"{status} to {method} for {place(transport, remote)}{f', decided by {stage}' if stage else ''}"


def _lost(index: int, name: str, user: str, seconds: float, why: str) -> str:
    which = f"flow {name} of {user} closed {seconds:.0f} s ago ({why})" if name else "its flow is gone, and isn't known any more"
    return f"branch {index}: {which}"


_SENTENCES: Final[dict[str, tuple[str, Callable[..., str]]]] = {
    CAME: ("wire", lambda method, uri, transport, remote: f"{method} {uri} from {place(transport, remote)}"),
    ANSWER: ("wire", lambda status, reason, method, *source: f"{status} {reason} to {method} from {place(*source)}"),
    WENT: ("wire", lambda line, *there: f"{line} to {place(*there)}"),
    BACK: ("wire", lambda status, method, *there: f"{status} to {method} for {place(*there)}"),
    AGAIN: ("wire", lambda line, *there: f"{line} once more to {place(*there)}"),
    REFUSED: ("wire", _refused),
    DECIDED: ("routing", lambda method, stage, verdict: f"{method}: stage {stage}: {verdict}"),
    PROVED: ("auth", lambda user: f"{user} has proved its password"),
    LOCATED: ("location", lambda aor, contacts: f"{aor} is at {', '.join(contacts)}"),
    BRANCHED: ("proxy", lambda index, method, uri, *there: f"branch {index}: {method} {uri} to {place(*there)}"),
    COUNTED: ("proxy", lambda index, status, blame: f"branch {index} counts as {status}, by {blame}"),
    BARRED: ("proxy", lambda index, why: f"branch {index}: {why}"),
    LOST: ("proxy", _lost),
    TRACED: ("routing", lambda parent: f"it belongs to the trace {parent}"),
    ABANDONED: ("dialog", lambda: "the caller's connection is gone: cancelled"),
    MEDIA: ("media", lambda what, node, call, asked: f"{what} taken by {node or 'none'} as {call}: {asked}"),
    DNS: ("dns", lambda what, *found: f"{what} is at {', '.join(found)}"),
    DATABASE: ("database", lambda what, *found: f"{what}: {', '.join(found) or 'answered'}"),
}
