"""Decisions of presentities about their watchers, and what becomes of the subscriptions that are there.

Implements: RFC 3857 §4.7.1 (the watcher's states). The invariant: a decision is on disk before a subscription follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sipnode.presence.policy import PICKUP
from sipnode.records import PresenceChange, Subscription, SubscriptionStatus, Watcher

if TYPE_CHECKING:
    from sipnode.presence.state import PresenceState

_log: Final = Logger()


def decide(state: PresenceState, resource: str, watcher: str, event: str, allowed: bool | None, pickup: bool) -> Deferred[None]:
    """Keep a presentity's word on a watcher; see :meth:`sipnode.presence.service.PresenceService.decide`."""
    status = SubscriptionStatus.ACTIVE if allowed else SubscriptionStatus.TERMINATED
    reason = (PICKUP if pickup else "") if allowed else "rejected"
    row = Watcher(resource, watcher, event, status, reason, state.now())
    waiting = state.store.put([PresenceChange(row, allowed is None)])

    def stored(_result: object) -> None:
        if allowed is None:
            state.decisions.remove(row)
        else:
            state.decisions.save(row)
        again(state, resource, watcher, event)

    return (waiting if waiting is not None else succeed(None)).addCallback(stored)


def again(state: PresenceState, resource: str, watcher: str, event: str) -> None:
    """Have the subscriptions of a watcher of this node be as policy says now."""
    package = state.packages.get(event)
    if package is None:
        return
    for one in state.subscriptions.at(event, resource):
        if one.watcher == watcher and one.node == state.node and is_as_judged(state, one) and getattr(package, "private", False):
            # It may see more now, or less.
            state.notifier.changed([one])


def is_as_judged(state: PresenceState, one: Subscription) -> bool:
    """Have a subscription be as policy says now; gives whether it has been so before. Where a site's hook fails it stays as it is."""
    package = state.packages.get(one.event)
    try:
        status = one.status if package is None else state.policy.status(one.watcher, one.resource, package)
    except Exception:
        _log.failure("presence_policy failed")
        return True
    if one.status == status:
        return True
    if status == SubscriptionStatus.TERMINATED:
        state.end(one, "rejected")
        return False
    if one.status == SubscriptionStatus.PENDING:
        one.reason = "approved"
    one.status = status
    state.store.behind([PresenceChange(one)])
    state.notifier.at_once(one)
    state.watched(one)
    return False
