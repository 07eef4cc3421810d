"""Where the time went until a call was answered or refused: DNS, password, database, relay, ring. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipnode.base.tap import DATABASE, DNS, MEDIA
from sipnode.insight.ring import ANSWERED, ASKED, RECEIVED, SENT

if TYPE_CHECKING:
    from sipnode.insight.story import Entry, Story

PARTS: Final = ("auth", "database", "dns", "relay", "callee", "ring", "other")
_WHOM: Final = {DATABASE: "database", DNS: "dns", MEDIA: "relay"}
_CHALLENGES: Final = (401, 407)


class Setup(NamedTuple):
    """The time of a call's set-up.

    Attributes:
        whole: Seconds from the first request to the answer, or to now; -1 where no call was set up.
        answered: There was a final answer.
        parts: ``(name, seconds)`` of :data:`PARTS`, those that took any: ``auth`` is from a challenge until the caller came again with its
            password, ``callee`` from the first INVITE that went out until its end says anything, ``ring`` from there to the answer.
    """

    whole: float
    answered: bool
    parts: list[tuple[str, float]]


def setup_of(story: Story) -> Setup:
    """Of a call; parts that overlap count for whoever stands first in ``auth``, ``database``, ``dns``, ``relay``, ``callee``, ``ring``."""
    first = story.first
    if first is None or first.method != "INVITE" or not first.incoming or not first.initial:
        return Setup(-1.0, False, [])
    final = _answer(story, first)
    end = final.when if final is not None else story.entries[-1].when
    spans = {name: [(start, min(stop, end)) for start, stop in found if start < end] for name, found in _spans(story, first).items()}
    taken: list[tuple[float, float]] = []
    parts: list[tuple[str, float]] = []
    for name in PARTS[:-1]:
        seconds = 0.0
        for start, stop in spans.get(name, []):
            for free in _free(start, stop, taken):
                seconds += free[1] - free[0]
                taken.append(free)
        if seconds > 0:
            parts.append((name, round(seconds, 6)))
    whole = max(0.0, end - first.when)
    rest = whole - sum(seconds for _, seconds in parts)
    if rest > 0.000001:
        parts.append((PARTS[-1], round(rest, 6)))
    return Setup(round(whole, 6), final is not None, parts)


def _answer(story: Story, first: Entry) -> Entry | None:
    """The final response to the call, to whoever began it; a challenge is none."""
    for entry in story.messages((SENT,), "INVITE"):
        if entry.status >= 200 and entry.status not in _CHALLENGES and entry.remote == first.remote:
            return entry
    return None


def _spans(story: Story, first: Entry) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    asked: dict[str, list[float]] = {}
    challenged = out = heard = 0.0
    last = story.entries[-1].when
    for entry in story.entries:
        when = entry.when
        if entry.kind == ASKED:
            asked.setdefault(entry.parts[0], []).append(when)
        elif entry.kind == ANSWERED and asked.get(entry.parts[0]):
            found.setdefault(_WHOM.get(entry.parts[0], "other"), []).append((asked[entry.parts[0]].pop(0), when))
        elif entry.kind == SENT and entry.status in _CHALLENGES and entry.remote == first.remote:
            challenged = when
        elif entry.kind == RECEIVED and entry.method == "INVITE":
            if not entry.status and challenged:
                found.setdefault("auth", []).append((challenged, when))
                challenged = 0.0
            elif entry.status > 100 and not heard:
                heard = when
        elif entry.kind == SENT and entry.method == "INVITE" and not entry.status and not out:
            out = when
    for whom, times in asked.items():
        found.setdefault(_WHOM.get(whom, "other"), []).extend((when, last) for when in times)
    if out:
        found["callee"] = [(out, heard or last)]
        if heard:
            found["ring"] = [(heard, last + 1e9)]
    return found


def _free(start: float, stop: float, taken: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts of a span that nobody has taken."""
    pieces = [(start, stop)]
    for begin, end in taken:
        pieces = [
            piece
            for left, right in pieces
            for piece in ((left, min(right, begin)), (max(left, end), right))
            if piece[1] - piece[0] > 0
        ]
    return pieces
