"""A call as the console draws it: lanes, arrows, where the time went, how it sounded, why it failed; and one message with what was changed.

Pure. The invariant: texts hold no control characters but the lines of messages, secrets are covered, and what isn't known is said.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

from sipnode.base.tap import MEDIA
from sipnode.console.reasons import reason_of
from sipnode.errors import ParseError
from sipnode.insight.explain import explain, unexplained
from sipnode.insight.masking import text_of
from sipnode.insight.ring import ANSWERED, DECIDED, MEASURED
from sipnode.insight.setup import setup_of
from sipnode.insight.staged import is_lost, is_repeat, short, staged
from sipnode.tables import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.insight.finding import Around
    from sipnode.insight.lanes import Arrow, Lane
    from sipnode.insight.service import Insight
    from sipnode.insight.story import Entry, Story

MOST_LINES: Final = 2000
"""Of a message that is compared with another; of longer ones only the text is shown."""


def call_view(insight: Insight, call_id: str) -> dict[str, Any]:
    """A call without the texts of its messages; one that isn't recorded says why."""
    found = insight.found(call_id)
    if found is None:
        return {"id": call_id, "recorded": False, "whyNot": insight.why_not(), "explanation": unexplained(call_id, insight.why_not())}
    story, around = found
    drawing, setup = staged(story), setup_of(story)
    first = story.first
    return {
        "id": call_id,
        "recorded": True,
        "title": clean(call_id),
        "method": clean(story.method),
        "caller": _aor(first, "from"),
        "callee": _aor(first, "to"),
        "fromTag": _from_tag(first),
        "began": story.began,
        "live": story.live,
        "outcome": clean(story.outcome),
        "whole": story.whole,
        "leftOut": story.left_out,
        "lanes": [_lane(lane) for lane in drawing.lanes],
        "events": [_event(arrow, story, around) for arrow in drawing.arrows],
        "setup": {"whole": setup.whole, "answered": setup.answered, "parts": [list(part) for part in setup.parts]},
        "quality": [leg.shown for entry in story.entries if entry.kind == MEASURED for leg in entry.parts[0]],
        "explanation": explain(story, around),
    }


def _aor(entry: Entry | None, header: str) -> str:
    return clean(entry.header(header))[:200] if entry is not None else ""


def _from_tag(entry: Entry | None) -> str:
    try:
        return clean(entry.message.from_.tag or "") if entry is not None and entry.message is not None else ""
    except ParseError:
        return ""


def _lane(lane: Lane) -> dict[str, Any]:
    return {"id": lane.id, "kind": lane.kind, "name": lane.name or "?", "device": lane.device, "places": lane.places}


def _event(arrow: Arrow, story: Story, around: Around) -> dict[str, Any]:
    entry = arrow.entry
    event: dict[str, Any] = {
        "n": entry.n,
        "after": round(entry.when - story.began, 6),
        "kind": entry.kind,
        "room": arrow.room,
        "from": arrow.start,
        "to": arrow.end,
        "label": arrow.label,
        "short": short(arrow),
    }
    if entry.transport:
        event["transport"] = clean(entry.transport.lower())
        event["status"] = entry.status
        event["of"] = entry.of
    if is_repeat(arrow):
        event["repeat"] = True
    if is_lost(arrow):
        event["lost"] = True
    if entry.kind == DECIDED:
        event["code"] = around.code(entry.parts[1])
    return event


def message_view(insight: Insight, call_id: str, number: int) -> dict[str, Any]:
    """One event of a call; of a message its text, what it was made of or what was made of it, and who decided that."""
    found = insight.found(call_id)
    if found is None:
        return {"found": False, "whyNot": insight.why_not()}
    story, around = found
    if not 0 <= number < len(story.entries):
        return {"found": False, "whyNot": f"This record has events 0 to {len(story.entries) - 1}; {number} isn't one of them."}
    drawing = staged(story)
    arrow = drawing.arrows[number]
    entry = arrow.entry
    view: dict[str, Any] = {
        "found": True,
        **_event(arrow, story, around),
        "when": entry.when,
        "place": entry.place if entry.transport else "",
        "why": clean(entry.why),
        "text": text_of(entry.data) if entry.is_message else "",
    }
    if not entry.is_message:
        view["facts"] = [clean(str(part)) for part in _flat(entry.parts)]
        return view
    made = [each for each in story.entries if each.of == number]
    view["made"] = [{"n": each.n, "label": drawing.arrows[each.n].label, "to": drawing.arrows[each.n].end} for each in made]
    before, after = (story.entries[entry.of], entry) if entry.of >= 0 else (entry, made[0]) if made else (None, None)
    if before is not None and after is not None:
        view["before"], view["after_n"] = before.n, after.n
        relayed = any(each.kind == ANSWERED and each.parts[0] == MEDIA and not each.parts[2] for each in story.entries[before.n : after.n])
        lines = difference(text_of(before.data), text_of(after.data))
        view["diff"] = _reasoned(lines, before.is_request, relayed, around.code)
        view["between"] = [_event(drawing.arrows[each.n], story, around) for each in _led_to(story, before, after)]
    return view


def _reasoned(lines: list[list[str]], is_request: bool, relayed: bool, code: Callable[[str], str]) -> list[list[str]]:
    """Each changed line with the reason why, where one is known."""
    in_body = False
    for line in lines:
        in_body = in_body or not line[1]
        if line[0] != " ":
            why = reason_of(line[0], line[1], in_body, is_request, relayed, code)
            if why:
                line.append(why)
    return lines


def _led_to(story: Story, before: Entry, after: Entry) -> list[Entry]:
    """What happened between a message and the one that was made of it, and what the script decided, which may be told after that."""
    found = [entry for entry in story.entries[before.n + 1 : after.n] if not entry.is_message]
    for entry in story.entries[after.n + 1 :]:
        if entry.incoming:
            break
        if entry.kind == DECIDED and before.is_request and entry.parts[0] == before.method:
            found.append(entry)
            break
    return found


def _flat(parts: Any) -> list[Any]:
    flat: list[Any] = []
    for part in parts:
        if isinstance(part, (list, tuple)) and not hasattr(part, "shown"):
            flat += _flat(part)
        else:
            flat.append(part.shown if hasattr(part, "shown") else part)
    return flat[:100]


def difference(before: str, after: str) -> list[list[str]]:
    """Lines of both texts in their order, each with ``" "`` (in both), ``"-"`` (taken out) or ``"+"`` (put in)."""
    old, new = before.rstrip("\n").split("\n"), after.rstrip("\n").split("\n")
    if max(len(old), len(new)) > MOST_LINES:
        return []
    lines: list[list[str]] = []
    for kind, start, end, first, last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [[" ", line] for line in old[start:end]]
        else:
            lines += _paired(old[start:end], new[first:last])
    return lines


def _paired(old: list[str], new: list[str]) -> list[list[str]]:
    """Lines that stand for others, each behind the one of the same name that it replaces."""
    left = list(old)
    lines: list[list[str]] = []
    for line in new:
        name = _name(line)
        place = next((number for number, other in enumerate(left) if _name(other) == name), -1)
        if place >= 0:
            lines += [["-", other] for other in left[: place + 1]]
            del left[: place + 1]
        lines.append(["+", line])
    return lines + [["-", line] for line in left]


def _name(line: str) -> str:
    """What a line says something of: a header, a parameter of SDP, or the message itself."""
    head, colon, _ = line.partition(":")
    if line[1:2] == "=":
        return head if line[0] == "a" else line[:2]
    return head.lower() if colon and " " not in head else "SIP" if "SIP/2.0" in line else line
