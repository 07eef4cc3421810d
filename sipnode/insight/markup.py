"""The ladder in Mermaid's words, and a whole report in Markdown. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sipnode.insight.explain import explain
from sipnode.insight.ladder import ladder
from sipnode.insight.lanes import lanes_of
from sipnode.insight.masking import text_of
from sipnode.insight.ring import RESENT, UNSENT
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.finding import Around
    from sipnode.insight.story import Story

MOST_ARROWS: Final = 200
_UNSAFE: Final = re.compile(r"[^\w .,:@/+()\[\]*?!'=-]")


def _said(text: str) -> str:
    """A text that Mermaid takes for nothing but text: what it, or HTML, could read as more becomes an entity."""
    return _UNSAFE.sub(lambda match: f"#{ord(match[0])};", clean(text))


def mermaid(story: Story) -> str:
    """A ``sequenceDiagram``."""
    lanes, arrows = lanes_of(story)
    lines = ["sequenceDiagram", "    autonumber"]
    lines += [f"    participant l{lane.id} as {_said(lane.title or (lane.places[0] if lane.places else '?'))}" for lane in lanes]
    for arrow in arrows[:MOST_ARROWS]:
        if arrow.start == arrow.end:
            lines.append(f"    Note over l{arrow.start}: {_said(arrow.label)}")
            continue
        shape = "-x" if arrow.entry.kind == UNSENT else "-->>" if arrow.entry.kind == RESENT or arrow.entry.repeat else "->>"
        lines.append(f"    l{arrow.start}{shape}l{arrow.end}: {_said(arrow.label)}")
    if len(arrows) > MOST_ARROWS:
        lines.append(f"    Note over l0: {len(arrows) - MOST_ARROWS} events more")
    return "\n".join(lines)


def _fenced(text: str) -> list[str]:
    """A block of code that its text can't end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [f"{fence}text", text, fence]


def _inline(text: str) -> str:
    """A text in a sentence of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~!])", r"\\\1", clean(text))


def markdown(story: Story, around: Around) -> str:
    """A report: why, proof, ladder, messages."""
    why = explain(story, around)
    began = datetime.fromtimestamp(story.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [f"# {_inline(story.method)} {_inline(story.call_id)}", "", f"Began {began}. {_inline(why['sentence'])}", ""]
    if why["mend"]:
        lines += [f"**What to do:** {_inline(why['mend'])}", ""]
    if why["proof"]:
        lines += ["## Proof", "", *(f"* {each['after']:+.3f} s, event {each['n']}: {_inline(each['label'])}" for each in why["proof"]), ""]
    if why["ruled_out"]:
        lines += ["## It was not", "", *(f"* {_inline(each)}" for each in why["ruled_out"]), ""]
    lines += ["## Ladder", "", *_fenced(ladder(story)), "", "## Messages", ""]
    for entry in story.entries:
        if entry.is_message:
            way = "from" if entry.incoming else "to"
            lines += [
                f"### Event {entry.n}, {entry.when - story.began:+.3f} s, {way} {_inline(entry.place)}",
                "",
                *_fenced(text_of(entry.data)),
                "",
            ]
    return "\n".join(lines)
