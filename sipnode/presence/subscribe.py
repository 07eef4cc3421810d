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
    from sipnode.presence.service import PresenceService


def handle(service: PresenceService, ctx: Request) -> Any:
    """Process a SUBSCRIBE, inside a dialog or not.

    Args:
        ctx: With a transaction; it is answered.

    Returns:
        The result of ``ctx.reply``, or a Deferred of it.

    Raises:
        ParseError: a header can't be read.
    """
    if not service.ready:
        return ctx.reply(503, "", RETRY_AFTER)
    package = service.packages.get(event_of(ctx.request)[0])
    if package is None:
        return ctx.reply(489, "", service.allow_events(False))
    tag = ctx.request.to.tag
    if tag:
        return service.queue.run(tag, lambda: _go_on(service, ctx, package, tag))
    return _begin(service, ctx, package)


def is_at_home(service: PresenceService, ctx: Request) -> bool:
    """Whether a SUBSCRIBE with a To tag needs no password: it comes from where its subscription is, or there is none, which it
    may be told.
    """
    there = service.subscriptions.by_tag.get(ctx.request.to.tag)
    if there is None or not subscription.is_of(ctx.request, there, service.now()):
        return True
    return is_same_place(there, service.origin(ctx), False)


def _begin(service: PresenceService, ctx: Request, package: Any) -> Any:
    request = ctx.request
    resource, watcher = request.ruri.aor, ctx.identity or request.from_.uri.aor
    if not request.ruri.user or len(resource) > 128 or not resource.isprintable() or len(watcher) > 128 or not watcher.isprintable():
        return ctx.reply(404)
    no = package.refusal(resource, watcher)
    if no is not None:
        return ctx.reply(*no)
    try:
        status = service.policy.admit(watcher, resource, package)
    except Refused as refusal:
        return ctx.reply(refusal.status, refusal.reason, refusal.headers)
    settings, table = service.settings, service.subscriptions
    if len(table) >= settings.subscriptions:
        service.counters["refused_full"] += 1
        return ctx.reply(503, "", RETRY_AFTER)
    if table.count(watcher) >= settings.subscriptions_per_watcher:
        service.counters["refused_per_watcher"] += 1
        return ctx.reply(403, "Too many subscriptions")
    origin, now = service.origin(ctx), service.now()
    address = (origin.host, origin.port) if origin.host else None
    if address is not None and ctx.identity and ctx.flow.shown == ctx.identity and address == ctx.flow.remote:
        # The challenge that it has answered went there.
        service.proving.showed(watcher, address)
    why, seconds = service.proving.refusal(watcher, address, now)
    if why:
        service.counters[f"refused_{why}"] += 1
        return ctx.reply(503, "", (("retry-after", str(ceil(seconds))),))
    plan = subscription.begin(request, resource, watcher, package, origin, status, ids.new_tag(), now, settings)
    made = plan.subscription
    if made is None:
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if address is not None and service.proving.is_proved(watcher, address):
        made.proved = text_of(address)
    if plan.ends:
        return _told(None, service, ctx, plan)
    made.reserved = RESERVE
    waiting = service.store.put([PresenceChange(made)])
    if waiting is None:
        return _told(None, service, ctx, plan)
    return waiting.addCallbacks(_told, lambda failure: refused(failure, ctx), callbackArgs=(service, ctx, plan))


def _told(_result: object, service: PresenceService, ctx: Request, plan: SubscribePlan) -> Any:
    made = plan.subscription
    assert made is not None
    ctx.to_tag = made.to_tag
    if not plan.ends:
        service.subscriptions.add(made)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    received = octets(ctx.request)
    if plan.ends:
        service.notifier.finish(made, "timeout", False, received)
    else:
        service.calls.watched(made.resource)
        service.notifier.at_once(made, received)
        service.watched(made)
    return verdict


def _go_on(service: PresenceService, ctx: Request, package: Any, tag: str) -> Any:
    there = service.subscriptions.by_tag.get(tag)
    may = there is not None and service.is_watcher(ctx, there)
    plan = subscription.go_on(ctx.request, there, package, service.origin(ctx), may, service.now(), service.settings)
    kept = plan.subscription
    if kept is None:
        service.counters["refused_not_watcher"] += plan.status == 403
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if kept.reserved - kept.local_cseq < RESERVE // 2:
        kept.reserved += RESERVE
    waiting = service.store.put([PresenceChange(kept, plan.ends)])
    if waiting is None:
        return _refreshed(None, service, ctx, plan)
    return waiting.addCallbacks(_refreshed, lambda failure: refused(failure, ctx), callbackArgs=(service, ctx, plan))


def _refreshed(_result: object, service: PresenceService, ctx: Request, plan: SubscribePlan) -> Any:
    kept = plan.subscription
    assert kept is not None
    if kept.to_tag not in service.subscriptions.by_tag:
        # It ended while its refresh was being written: a NOTIFY found nobody.
        service.store.delete([kept])
        return ctx.reply(481)
    live = service.subscriptions.refresh(kept)
    if plan.ends:
        service.subscriptions.remove(live.to_tag)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    if plan.ends:
        service.notifier.finish(live, "timeout", False, octets(ctx.request))
        service.watched(live)
    else:
        service.notifier.at_once(live, octets(ctx.request))
    return verdict
