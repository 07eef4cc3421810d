"""Why a call failed: the first rule that finds something, with the proof and what was ruled out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from sipnode.base.tap import BRANCHED, COUNTED, DATABASE, DNS, LOCATED, MEDIA, PROVED
from sipnode.insight.finding import Around, Finding, found, phrase
from sipnode.insight.lanes import lanes_of
from sipnode.insight.ring import CLOSED, RECEIVED, RESENT
from sipnode.insight.rules import auth, callee, media, reach, server
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.finding import Rule
    from sipnode.insight.story import Story

RULES: Final[tuple[Rule, ...]] = (
    *server.RULES, *media.RULES, *auth.RULES, *reach.RULES, *callee.RULES, *server.LAST, *media.HEARD,
)  # fmt: skip
"""In the order in which they are asked; the first that finds something gives the sentence."""
HEALTHY: Final = frozenset(("busy", "declined", "caller_gave_up", "nobody_answered", "cancel_raced"))
"""Findings that tell of people, not of faults."""
NOTHING: Final = "nothing"
UNKNOWN: Final = "unknown"


class Proof(TypedDict):
    n: int
    after: float
    label: str


class Explanation(TypedDict):
    call_id: str
    recorded: bool
    rule: str
    fault: bool
    sentence: str
    mend: str
    proof: list[Proof]
    ruled_out: list[str]
    also: list[str]


def findings(story: Story, around: Around) -> list[Finding]:
    """All that the rules find, the one that matters most first."""
    made: dict[str, Finding] = {}
    for rule in RULES:
        finding = rule(story, around)
        if finding is not None:
            made.setdefault(finding.rule, finding)
    return list(made.values())


def explain(story: Story, around: Around) -> Explanation:
    """The explanation of a story; also of one that nothing is wrong with, and of one that no rule knows."""
    all_of_them = findings(story, around)
    first = all_of_them[0] if all_of_them else _nothing(story)
    labels = {arrow.entry.n: arrow.label for arrow in lanes_of(story)[1]}
    fault = first.rule not in HEALTHY and first.rule != NOTHING
    return Explanation(
        call_id=clean(story.call_id), recorded=True, rule=first.rule, fault=fault, sentence=first.sentence, mend=first.mend,
        proof=[Proof(n=n, after=round(story.entries[n].when - story.began, 3), label=labels.get(n, "")) for n in first.proof],
        ruled_out=ruled_out(story, first), also=[other.sentence for other in all_of_them[1:] if other.rule != "stage"][:3],
    )  # fmt: skip


def unexplained(call_id: str, why: str) -> Explanation:
    """The explanation of a call that isn't recorded."""
    return Explanation(
        call_id=clean(call_id), recorded=False, rule="", fault=False, sentence=f"{why[:1].upper()}{why[1:]}.", mend="", proof=[],
        ruled_out=[], also=[],
    )  # fmt: skip


def _nothing(story: Story) -> Finding:
    final = story.final()
    if final is None:
        kind = "The call is up or rings" if story.live else "The record has no final answer"
        return found(NOTHING, f"{kind}; so far nothing is wrong.", "", (story.first,))
    if final.status < 300:
        return found(NOTHING, "Nothing is wrong: the call was answered, and both ends were told what they need.", "", (story.first, final))
    return found(
        UNKNOWN, f"The call ended with {clean(phrase(final))}; no rule knows why.", "Read the ladder: sipnode ladder CALL-ID.",
        (story.first, final),
    )  # fmt: skip


def ruled_out(story: Story, finding: Finding) -> list[str]:
    """What it was not, as the events show."""
    said: list[str] = []
    proved, located = story.facts(PROVED), story.facts(LOCATED)
    if proved:
        said.append(f"the password: {clean(proved[-1].parts[1][0])} has proved it")
    if located:
        said.append(f"the registration: {clean(located[-1].parts[1][0])} is at {clean(', '.join(located[-1].parts[1][1][:3]))}")
    for whom, name in ((DNS, "the DNS"), (MEDIA, "the media relay"), (DATABASE, "the database")):
        if story.answers(whom) and not story.faults(whom):
            said.append(f"{name}: it gave good answers ({len(story.answers(whom))})")
    if story.facts(BRANCHED) and not story.facts(COUNTED):
        heard = [entry for entry in story.messages((RECEIVED,), "INVITE") if entry.status]
        if heard:
            said.append(f"the way to the callee: {heard[0].place} has answered")
    if not any(entry.kind == CLOSED for entry in story.entries):
        said.append("connections: none of the call was lost")
    if not any(entry.kind == RESENT for entry in story.entries):
        said.append("loss of packets: nothing had to be sent twice")
    return said


def text(explanation: Explanation) -> str:
    """The explanation for a terminal or a log."""
    lines = [explanation["sentence"]]
    if explanation["mend"]:
        lines += ["", f"What to do: {explanation['mend']}"]
    if explanation["proof"]:
        lines += ["", "Proof:", *(f"  {each['after']:+8.3f} s  #{each['n']:<3} {each['label']}" for each in explanation["proof"])]
    if explanation["ruled_out"]:
        lines += ["", "It was not:", *(f"  {each}" for each in explanation["ruled_out"])]
    if explanation["also"]:
        lines += ["", "Also seen:", *(f"  {each}" for each in explanation["also"])]
    return "\n".join(lines)
