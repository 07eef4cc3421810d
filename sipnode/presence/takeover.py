"""A device that has come to this node brings its subscriptions along.

Implements: RFC 6665 §4.4.1 as far as it lets a notifier be several servers: the dialog is the same, its numbers go on. The invariant: a
subscription is told by the node that its device was last registered at, and by no other.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sipnode.presence.store import RESERVE
from sipnode.records import PresenceChange

if TYPE_CHECKING:
    from sipnode.presence.state import PresenceState
    from sipnode.presence.subscription import Origin
    from sipnode.records import Subscription


def take_over(state: PresenceState, origin: Origin) -> None:
    """Have what another node told a device be told from here, beginning with the state as it is.

    Args:
        origin: How the device is reached now.
    """
    for row in state.subscriptions.of_device(origin.key):
        if row.node != state.node:
            state.queue.run(row.to_tag, partial(_take, state, row.to_tag, origin))


def _take(state: PresenceState, tag: str, origin: Origin) -> Any:
    row = state.subscriptions.by_tag.get(tag)
    if row is None or row.node == state.node or row.expires <= state.now():
        return None
    # A CSeq reserved there may have been used there.
    mine = replace(
        row,
        node=state.node,
        flow=origin.flow,
        socket=origin.socket,
        local_contact=origin.local_contact,
        local_cseq=max(row.local_cseq, row.reserved),
        reserved=max(row.local_cseq, row.reserved) + RESERVE,
    )
    waiting = state.store.put([PresenceChange(mine)])
    if waiting is None:
        return _taken(None, state, mine)
    # Else it is tried again when the device refreshes its registration.
    return waiting.addCallbacks(_taken, lambda failure: None, callbackArgs=(state, mine))


def _taken(_result: object, state: PresenceState, mine: Subscription) -> None:
    live = state.subscriptions.by_tag.get(mine.to_tag)
    if live is None:
        state.store.delete([mine])
        return
    state.subscriptions.refresh(mine)
    live.local_contact, live.local_cseq = mine.local_contact, max(live.local_cseq, mine.local_cseq)
    state.notifier.at_once(live)
