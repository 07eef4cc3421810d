"""PUBLISH: from a request to its 200, by way of the disk.

Implements: RFC 3903 §6. The invariant: a 200 goes out when its change is on disk, and only then watchers hear of it; requests for one
resource are decided one after the other, so that an entity-tag serves once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sipnode.errors import StorageError
from sipnode.presence import publication
from sipnode.presence.fields import event_of
from sipnode.presence.names import new_etag, new_ruid
from sipnode.presence.publication import PublishPlan
from sipnode.presence.store import RETRY_AFTER

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from sipnode.base.request import Request
    from sipnode.presence.state import PresenceState


def handle(state: PresenceState, ctx: Request, trusted: bool) -> Any:
    """Process a PUBLISH.

    Args:
        ctx: With a transaction; it is answered.
        trusted: Its source may publish for everybody.

    Returns:
        The result of ``ctx.reply``, or a Deferred of it.

    Raises:
        ParseError: a header can't be read.
    """
    request = ctx.request
    if not state.ready:
        return ctx.reply(503, "", RETRY_AFTER)
    package = state.packages.get(event_of(request)[0])
    if package is None or not package.publish_types:
        return ctx.reply(489, "", state.allow_events(True))
    uri = request.ruri
    if not uri.user:
        return ctx.reply(404)
    resource, sender = uri.aor, ctx.identity or request.from_.uri.aor
    if sender != resource and not trusted:
        return ctx.reply(403, "Not your state to publish")
    if len(resource) > 128 or not resource.isprintable():
        return ctx.reply(404)
    return state.queue.run((package.name, resource), lambda: _decide(state, ctx, package, resource, sender))


def _decide(state: PresenceState, ctx: Request, package: Any, resource: str, sender: str) -> Any:
    now = state.now()
    there = state.publications.at(package.name, resource, now)
    plan = publication.plan(ctx.request, resource, sender, package, there, now, state.settings, new_etag, new_ruid)
    if not plan.changes:
        return ctx.reply(plan.status, plan.reason, plan.headers)
    waiting = state.store.put(plan.changes)
    if waiting is None:
        return _stored(None, state, ctx, plan, package.name, resource)
    return waiting.addCallbacks(_stored, lambda failure: refused(failure, ctx), callbackArgs=(state, ctx, plan, package.name, resource))


def _stored(_result: object, state: PresenceState, ctx: Request, plan: PublishPlan, event: str, resource: str) -> Any:
    state.apply(plan.changes)
    verdict = ctx.reply(plan.status, plan.reason, plan.headers)
    if plan.news:
        state.changed(event, resource)
    return verdict


def refused(failure: Failure, ctx: Request) -> Any:
    """The store didn't take it: so nothing has changed."""
    failure.trap(StorageError)
    return ctx.reply(503, "", RETRY_AFTER)
