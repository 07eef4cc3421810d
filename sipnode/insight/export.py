"""A story in the forms that people pass on: a ladder as text or SVG, Mermaid, a report in Markdown, JSON, and pcap. Pure.

The invariant: whatever was in a message, a text form holds no control characters but its own line ends, and nothing that its readers (a
terminal, Mermaid, a browser, a renderer of Markdown) would take for a command.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypedDict

from sipnode.insight.document import document
from sipnode.insight.explain import explain, text
from sipnode.insight.ladder import ladder
from sipnode.insight.markup import markdown, mermaid
from sipnode.insight.pcap import pcap
from sipnode.insight.svg import svg

if TYPE_CHECKING:
    from sipnode.insight.finding import Around
    from sipnode.insight.story import Story


class Export(TypedDict):
    found: bool
    form: str
    text: str
    base64: bool


def _text(make: Callable[[Story, Around], str], form: str) -> Callable[[Story, Around], Export]:
    return lambda story, around: Export(found=True, form=form, text=make(story, around), base64=False)


def _pcap(story: Story, around: Around) -> Export:
    return Export(found=True, form="pcap", text=base64.b64encode(pcap(story)).decode("ascii"), base64=True)


def _json(story: Story, around: Around) -> str:
    return json.dumps({"story": document(story, -1, around.code), "explanation": explain(story, around)}, indent=2)


FORMS: Final[dict[str, Callable[[Story, Around], Export]]] = {
    "text": _text(lambda story, around: ladder(story), "text"),
    "svg": _text(svg, "svg"),
    "mermaid": _text(lambda story, around: mermaid(story), "mermaid"),
    "markdown": _text(markdown, "markdown"),
    "json": _text(_json, "json"),
    "explanation": _text(lambda story, around: text(explain(story, around)), "explanation"),
    "pcap": _pcap,
}
"""What makes each form, by its name."""
