"""The list of calls, a line each. Pure but for the clock that its work is measured by.

The invariant: a line costs one parse of a message in its life, however often it is asked for, and the list is made in slices.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, TypedDict

from sipnode.insight.traits import Opening, opening_of, setup_seconds, traits
from sipnode.tables import clean

if TYPE_CHECKING:
    from sipnode.insight.ring import Record
    from sipnode.insight.row import Row
    from sipnode.insight.service import Insight

MOST_LINES: Final = 5000
PART: Final = 25
LEAST_SECONDS: Final = 1.0
SHARE: Final = 20.0


class Line(TypedDict):
    """A call as the list has it.

    ``id`` is its Call-ID as a request has to have it; ``began`` and ``last`` are epoch seconds; ``setup`` is in seconds, -1 where it isn't
    known; ``state`` is ``live``, ``failed``, ``ended``, or ``seen`` of what is no call or of which nobody has proved anything.
    """

    id: str
    method: str
    caller: str
    callee: str
    began: float
    last: float
    state: str
    outcome: str
    transport: str
    place: str
    events: int
    setup: float
    words: list[str]


class Listing:
    """Lines of the records that there are.

    Args:
        insight: Has them.
    """

    def __init__(self, insight: Insight) -> None:
        self._insight = insight
        self._openings: dict[str, tuple[Record, Opening]] = {}
        self._made: tuple[float, bytes] = (0.0, b"")

    def pieces(self, on: bool, seconds: Callable[[], float], flooded: bool) -> Iterator[bytes]:
        """The list as JSON, some lines at a time.

        Args:
            on: Something is recorded.
            seconds: Monotonic clock.
            flooded: More happens than pages are told line by line, so that they ask for the list again and again: then all of them get the
                same for a while, and making it takes no more than a twentieth of the server's time.
        """
        until, made = self._made
        if flooded and seconds() < until:
            yield made
            return
        spent, whole, source = 0.0, list[bytes](), self._encoded(on)
        while True:
            began = time.perf_counter()
            piece = next(source, b"")
            spent += time.perf_counter() - began
            if not piece:
                break
            if flooded:
                whole.append(piece)
            yield piece
        self._made = (seconds() + max(LEAST_SECONDS, SHARE * spent), b"".join(whole)) if flooded else (0.0, b"")

    def _encoded(self, on: bool) -> Iterator[bytes]:
        yield b'{"on":' + (b"true" if on else b"false") + b',"calls":['
        lines, separator = self.lines(), b""
        while part := list(islice(lines, PART)):
            yield separator + json.dumps(part, separators=(",", ":"))[1:-1].encode()
            separator = b","
        yield b"]}"

    def lines(self) -> Iterator[Line]:
        """The newest first, those on the disk last, at most :data:`MOST_LINES`; records that come or go meanwhile do no harm."""
        ring = self._insight.ring
        records = list(ring.records.values())[: -MOST_LINES - 1 : -1] if ring is not None else []
        for record in records:
            if record.events:
                yield self.line(record)
        archive = self._insight.archive
        if archive is None or ring is None:
            return
        for row in islice(archive.rows(), MOST_LINES - len(records)):
            if row["call_id"] not in ring.records:
                yield _kept(row)

    def line(self, record: Record) -> Line:
        """One."""
        opening = self._opening(record)
        setup = setup_seconds(record)
        words = traits(record, opening, setup)
        began = float(record.events[0][0]) if record.events else record.last
        state = "live" if record.live else "failed" if "failed" in words else "ended" if record.outcome else "seen"
        return Line(
            id=record.call_id, method=opening.method, caller=opening.caller, callee=opening.callee, began=began, last=record.last,
            state=state, outcome=clean(record.outcome), transport=opening.transport, place=opening.place, events=len(record.events),
            setup=round(setup, 3), words=words,
        )  # fmt: skip

    def forget(self) -> None:
        """Nobody looks any more."""
        self._openings.clear()
        self._made = (0.0, b"")

    def _opening(self, record: Record) -> Opening:
        known = self._openings.get(record.call_id)
        if known is not None and known[0] is record:
            return known[1]
        if len(self._openings) >= 2 * MOST_LINES:
            self._openings.clear()
        opening = opening_of(record)
        self._openings[record.call_id] = record, opening
        return opening


def _kept(row: Row) -> Line:
    """The line of a record on the disk, of which its head alone is read."""
    return Line(
        id=row["call_id"], method=row["method"], caller=row["caller"], callee=row["callee"], began=row["began"], last=row["last"],
        state=row["state"], outcome=row["outcome"], transport=row["transport"], place=row["place"], events=row["events"], setup=-1.0,
        words=["problems", "failed", "kept"] if row["state"] == "failed" else ["kept"],
    )  # fmt: skip
