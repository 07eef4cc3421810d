"""SUBSCRIBE: from a request to its 200 and the NOTIFY behind it, by way of the disk.

Implements: RFC 6665 §4.2.1. The invariant: a subscription is told of with a 200 when it is on disk, and each 200 is followed by a NOTIFY.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode.presence import subscription
from sipnode.presence.fields import Refused, event_of
from sipnode.presence.publish import refused
from sipnode.presence.store import RESERVE, RETRY_AFTER
from sipnode.presence.subscription import SubscribePlan
from sipnode.records import PresenceChange
from sipnode.sip import ids

if TYPE_CHECKING:
    from sipnode.presence.service import PresenceService


def handle(service: PresenceService, ctx: Any) -> Any:
    """Process a SUBSCRIBE, inside a dialog or not.

    Args:
        ctx: IRequestContext with a transaction; it is answered.

    Returns:
        What ``ctx.reply`` returned, or a Deferred of it.

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
        return service.turns.run(tag, lambda: _go_on(service, ctx, package, tag))
    return _begin(service, ctx, package)


def _begin(service: PresenceService, ctx: Any, package: Any) -> Any:
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
        return ctx.reply(503, "", RETRY_AFTER)
    if table.count(watcher) >= settings.subscriptions_per_watcher:
        return ctx.reply(403, "Too many subscriptions")
    plan = subscription.begin(request, resource, watcher, package, service.origin(ctx), status, ids.new_tag(), service.now(), settings)
    made = plan.subscription
    if made is None:
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if plan.ends:
        return _told(None, service, ctx, plan)
    made.reserved = RESERVE
    waiting = service.store.put([PresenceChange(made)])
    if waiting is None:
        return _told(None, service, ctx, plan)
    return waiting.addCallbacks(_told, lambda failure: refused(failure, ctx), callbackArgs=(service, ctx, plan))


def _told(_result: object, service: PresenceService, ctx: Any, plan: SubscribePlan) -> Any:
    made = plan.subscription
    assert made is not None
    ctx.to_tag = made.to_tag
    if not plan.ends:
        service.subscriptions.add(made)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    if plan.ends:
        service.notifier.finish(made, "timeout")
    else:
        service.calls.watched(made.resource)
        service.notifier.at_once(made)
        service.watched(made)
    return verdict


def _go_on(service: PresenceService, ctx: Any, package: Any, tag: str) -> Any:
    there = service.subscriptions.by_tag.get(tag)
    plan = subscription.go_on(ctx.request, there, package, service.origin(ctx), service.now(), service.settings)
    kept = plan.subscription
    if kept is None:
        return ctx.reply(plan.status, plan.reason, plan.headers)
    if kept.reserved - kept.local_cseq < RESERVE // 2:
        kept.reserved += RESERVE
    waiting = service.store.put([PresenceChange(kept, plan.ends)])
    if waiting is None:
        return _refreshed(None, service, ctx, plan)
    return waiting.addCallbacks(_refreshed, lambda failure: refused(failure, ctx), callbackArgs=(service, ctx, plan))


def _refreshed(_result: object, service: PresenceService, ctx: Any, plan: SubscribePlan) -> Any:
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
        service.notifier.finish(live, "timeout")
        service.watched(live)
    else:
        service.notifier.at_once(live)
    return verdict
