"""SUBSCRIBE: from a request to its 200 and the NOTIFY behind it, by way of the disk.

Implements: RFC 6665 §4.2.1. The invariant: a subscription is told of with a 200 when it is on disk, and each 200 is followed by a NOTIFY.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from sipnode.presence import subscription
from sipnode.presence.fields import Refused, event_of
from sipnode.presence.outgoing import text_of
from sipnode.presence.proving import octets
from sipnode.presence.publish import refused
from sipnode.presence.store import RESERVE, RETRY_AFTER
from sipnode.presence.subscription import SubscribePlan
from sipnode.presence.whereto import is_same_place
from sipnode.records import PresenceChange
from sipnode.sip import ids

if TYPE_CHECKING:
    from sipnode.base.request import Request
    from sipnode.presence.state import PresenceState


def handle(state: PresenceState, ctx: Request) -> Any:
    """Process a SUBSCRIBE, inside a dialog or not.

    Args:
        ctx: With a transaction; it is answered.

    Returns:
        The result of ``ctx.reply``, or a Deferred of it.

    Raises:
        ParseError: a header can't be read.
    """
    if not state.ready:
        return ctx.reply(503, "", RETRY_AFTER)
    package = state.packages.get(event_of(ctx.request)[0])
    if package is None:
        return ctx.reply(489, "", state.allow_events(False))
    tag = ctx.request.to.tag
    if tag:
        return state.queue.run(tag, lambda: _go_on(state, ctx, package, tag))
    return _begin(state, ctx, package)


def is_at_home(state: PresenceState, ctx: Request) -> bool:
    """Whether a SUBSCRIBE with a To tag needs no password: it comes from where its subscription is, or there is none, which it
    may be told.
    """
    there = state.subscriptions.by_tag.get(ctx.request.to.tag)
    if there is None or not subscription.is_of(ctx.request, there, state.now()):
        return True
    return is_same_place(there, state.origin(ctx), False)


def _begin(state: PresenceState, ctx: Request, package: Any) -> Any:
    request = ctx.request
    resource, watcher = request.ruri.aor, ctx.identity or request.from_.uri.aor
    if not request.ruri.user or len(resource) > 128 or not resource.isprintable() or len(watcher) > 128 or not watcher.isprintable():
        return ctx.reply(404)
    no = package.refusal(resource, watcher)
    if no is not None:
        return ctx.reply(*no)
    try:
        status = state.policy.admit(watcher, resource, package)
    except Refused as refusal:
        return ctx.reply(refusal.status, refusal.reason, refusal.headers)
    settings, table = state.settings, state.subscriptions
    if len(table) >= settings.subscriptions:
        state.counters["refused_full"] += 1
        return ctx.reply(503, "", RETRY_AFTER)
    if table.count(watcher) >= settings.subscriptions_per_watcher:
        state.counters["refused_per_watcher"] += 1
        return ctx.reply(403, "Too many subscriptions")
    origin, now = state.origin(ctx), state.now()
    address = (origin.host, origin.port) if origin.host else None
    if address is not None and ctx.identity and ctx.flow.shown == ctx.identity and address == ctx.flow.remote:
        # The challenge that it has answered went there.
        state.proving.showed(watcher, address)
    why, seconds = state.proving.refusal(watcher, address, now)
    if why:
        state.counters[f"refused_{why}"] += 1
        return ctx.reply(503, "", (("retry-after", str(ceil(seconds))),))
    plan = subscription.begin(request, resource, watcher, package, origin, status, ids.new_tag(), now, settings)
    made = plan.subscription
    if made is None:
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if address is not None and state.proving.is_proved(watcher, address):
        made.proved = text_of(address)
    if plan.ends:
        return _told(None, state, ctx, plan)
    made.reserved = RESERVE
    waiting = state.store.put([PresenceChange(made)])
    if waiting is None:
        return _told(None, state, ctx, plan)
    return waiting.addCallbacks(_told, lambda failure: refused(failure, ctx), callbackArgs=(state, ctx, plan))


def _told(_result: object, state: PresenceState, ctx: Request, plan: SubscribePlan) -> Any:
    made = plan.subscription
    assert made is not None
    ctx.to_tag = made.to_tag
    if not plan.ends:
        state.subscriptions.add(made)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    received = octets(ctx.request)
    if plan.ends:
        state.notifier.finish(made, "timeout", False, received)
    else:
        state.watched_anew(made.resource)
        state.notifier.at_once(made, received)
        state.watched(made)
    return verdict


def _go_on(state: PresenceState, ctx: Request, package: Any, tag: str) -> Any:
    there = state.subscriptions.by_tag.get(tag)
    may = there is not None and state.is_watcher(ctx, there)
    plan = subscription.go_on(ctx.request, there, package, state.origin(ctx), may, state.now(), state.settings)
    kept = plan.subscription
    if kept is None:
        state.counters["refused_not_watcher"] += plan.status == 403
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if kept.reserved - kept.local_cseq < RESERVE // 2:
        kept.reserved += RESERVE
    waiting = state.store.put([PresenceChange(kept, plan.ends)])
    if waiting is None:
        return _refreshed(None, state, ctx, plan)
    return waiting.addCallbacks(_refreshed, lambda failure: refused(failure, ctx), callbackArgs=(state, ctx, plan))


def _refreshed(_result: object, state: PresenceState, ctx: Request, plan: SubscribePlan) -> Any:
    kept = plan.subscription
    assert kept is not None
    if kept.to_tag not in state.subscriptions.by_tag:
        # It ended while its refresh was being written: a NOTIFY found nobody.
        state.store.delete([kept])
        return ctx.reply(481)
    live = state.subscriptions.refresh(kept)
    if plan.ends:
        state.subscriptions.remove(live.to_tag)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    if plan.ends:
        state.notifier.finish(live, "timeout", False, octets(ctx.request))
        state.watched(live)
    else:
        state.notifier.at_once(live, octets(ctx.request))
    return verdict
