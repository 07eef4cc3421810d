"""The record of a call that failed as a file: what was seen, its line of the list, and what was known around it. Pure.

Two lines of JSON: the first is short, so that a folder of them is listed quickly; the second has the events. Octets are text of code points
below 256. The invariant: what is written is a story, whose secrets are covered; and whatever a file holds, reading it gives a story or
:class:`Unreadable`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, NamedTuple

from sipnode.acc.quality import Quality
from sipnode.insight.explain import findings
from sipnode.insight.finding import Around
from sipnode.insight.ring import BROKEN, KINDS, MESSAGES
from sipnode.insight.row import Row
from sipnode.insight.story import Entry, Story, message_of

VERSION: Final = 1
_QUALITY: Final = "quality"


class Unreadable(ValueError):
    """A file that isn't a kept record, or one of another release."""


class Kept(NamedTuple):
    """A record that was kept.

    Attributes:
        row: Its line of the list. around: What was known around it when it was kept.
    """

    story: Story
    row: Row
    around: Around


class _Noting:
    """Asks for what is around, and notes the answers."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self.gone: dict[str, tuple[float, str, str] | None] = {}
        self.trunk: dict[str, str] = {}
        self.code: dict[str, str] = {}
        self.foreign: dict[str, bool] = {}
        self.asking = Around(
            lambda aor: self.gone.setdefault(aor, around.gone(aor)), lambda host: self.trunk.setdefault(host, around.trunk(host)),
            lambda stage: self.code.setdefault(stage, around.code(stage)), lambda host: self.foreign.setdefault(host, around.foreign(host)),
        )  # fmt: skip


def _noted(story: Story, around: Around) -> dict[str, Any]:
    """All that its rules ask, and the lines of its stages."""
    noting = _Noting(around)
    findings(story, noting.asking)
    for entry in story.decisions():
        noting.asking.code(entry.parts[1])
    return {"gone": noting.gone, "trunk": noting.trunk, "code": noting.code, "foreign": noting.foreign}


def _known(noted: dict[str, Any]) -> Around:
    gone = {str(aor): (float(each[0]), str(each[1]), str(each[2])) for aor, each in noted["gone"].items() if each is not None}
    trunk, code = ({str(name): str(each) for name, each in noted[what].items()} for what in ("trunk", "code"))
    foreign = {str(host) for host, is_foreign in noted["foreign"].items() if is_foreign}
    return Around(gone.get, lambda host: trunk.get(host, ""), lambda stage: code.get(stage, ""), foreign.__contains__)


def name_of(call_id: str, ended: float) -> str:
    """The name of the file: when it was written, in milliseconds, and which call it is, whose Call-ID may be anything."""
    return f"failed-{int(ended * 1000):015d}-{mark_of(call_id)}.json"


def mark_of(call_id: str) -> str:
    """What stands for a Call-ID in names."""
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def written(kept: Kept) -> bytes:
    """The content of the file."""
    story = kept.story
    head = {"sipnode_record": VERSION, "row": kept.row}
    body = {
        "call_id": story.call_id, "left_out": story.left_out, "outcome": story.outcome, "around": _noted(story, kept.around),
        "entries": [_entry(entry) for entry in story.entries],
    }  # fmt: skip
    # Text of a header may have octets that are no UTF-8, so all that isn't ASCII is escaped.
    return f"{json.dumps(head)}\n{json.dumps(body, separators=(',', ':'))}\n".encode("ascii")


def _entry(entry: Entry) -> list[Any]:
    return [
        entry.when, entry.kind, entry.data.decode("latin-1"), entry.transport, entry.local, entry.remote, entry.token, entry.why,
        entry.repeat, entry.of, _plain(entry.parts),
    ]  # fmt: skip


def _plain(value: object) -> Any:
    if isinstance(value, Quality):
        return {_QUALITY: list(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def row_in(head: bytes) -> Row:
    """The first line of a file: what the list shows of it.

    Raises:
        Unreadable: it isn't one.
    """
    try:
        found = json.loads(head)
        version, row = found["sipnode_record"], found["row"]
        whole = set(row) >= Row.__required_keys__
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise Unreadable(f"it is no record of a call: {fault}") from None
    if version != VERSION or not whole:
        raise Unreadable(f"it is a record of version {version!r}, and this is {VERSION}")
    checked: Row = row
    return checked


def read(data: bytes) -> Kept:
    """A file.

    Raises:
        Unreadable: it isn't one.
    """
    head, _, rest = data.partition(b"\n")
    row = row_in(head)
    try:
        body = json.loads(rest)
        entries = [_read_entry(number, each) for number, each in enumerate(body["entries"])]
        story = Story(str(body["call_id"]), entries, int(body["left_out"]), False, str(body["outcome"]))
        return Kept(story, row, _known(body["around"]))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as fault:
        raise Unreadable(f"its events can't be read: {fault}") from None


def _read_entry(number: int, each: list[Any]) -> Entry:
    when, kind, text, transport, local, remote, token, why, repeat, of, parts = each
    if kind not in KINDS or not -1 <= of < number:
        raise ValueError(f"event {number} is unknown")
    data = text.encode("latin-1")
    message = message_of(data) if kind in MESSAGES and kind != BROKEN else None
    (here, port), (there, other) = local, remote
    return Entry(
        number, float(when), kind, data, message, str(transport), (str(here), int(port)), (str(there), int(other)), str(token), str(why),
        bool(repeat), of, _tuples(parts),
    )  # fmt: skip


def _tuples(value: Any) -> Any:
    """Lists as the tuples that they were, and numbers of media as those."""
    if isinstance(value, list):
        return tuple(_tuples(each) for each in value)
    if isinstance(value, dict):
        return Quality(*value[_QUALITY])
    return value
