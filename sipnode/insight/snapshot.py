"""A record as it is now, for a thread: the ring goes on changing its own. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.insight.ring import MESSAGES, RECORD_OVERHEAD, Record, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipnode.insight.ring import Event


def snapshot(record: Record, closings: Mapping[str, Event]) -> tuple[Record, dict[str, Event]]:
    """A copy, and those of the closed connections that it went by.

    Args:
        closings: All that are known, by their token.
    """
    copy = Record(record.call_id, record.mark)
    copy.events = list(record.events)
    copy.size = RECORD_OVERHEAD + sum(map(size_of, copy.events))
    copy.left_out, copy.outcome = record.left_out, record.outcome
    tokens = {event[6] for event in copy.events if event[1] in MESSAGES}
    return copy, {token: closings[token] for token in tokens if token in closings}
