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
    from sipnode.presence.service import PresenceService
    from sipnode.presence.subscription import Origin
    from sipnode.records import Subscription


def take_over(service: PresenceService, origin: Origin) -> None:
    """Have what another node told a device be told from here, beginning with the state as it is.

    Args:
        origin: How the device is reached now.
    """
    for row in service.subscriptions.of_device(origin.key):
        if row.node != service.node:
            service.queue.run(row.to_tag, partial(_take, service, row.to_tag, origin))


def _take(service: PresenceService, tag: str, origin: Origin) -> Any:
    row = service.subscriptions.by_tag.get(tag)
    if row is None or row.node == service.node or row.expires <= service.now():
        return None
    # A CSeq reserved there may have been used there.
    mine = replace(
        row,
        node=service.node,
        flow=origin.flow,
        socket=origin.socket,
        local_contact=origin.local_contact,
        local_cseq=max(row.local_cseq, row.reserved),
        reserved=max(row.local_cseq, row.reserved) + RESERVE,
    )
    waiting = service.store.put([PresenceChange(mine)])
    if waiting is None:
        return _taken(None, service, mine)
    # Else it is tried again when the device refreshes its registration.
    return waiting.addCallbacks(_taken, lambda failure: None, callbackArgs=(service, mine))


def _taken(_result: object, service: PresenceService, mine: Subscription) -> None:
    live = service.subscriptions.by_tag.get(mine.to_tag)
    if live is None:
        service.store.delete([mine])
        return
    service.subscriptions.refresh(mine)
    live.local_contact, live.local_cseq = mine.local_contact, max(live.local_cseq, mine.local_cseq)
    service.notifier.at_once(live)
