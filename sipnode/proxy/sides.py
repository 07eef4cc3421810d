"""Both sides of a dialog that a branch makes: where each is reached, and the token that leads the other there.

Implements: RFC 3261 §12.1 as seen from the middle, §16.6 (4), §16.7 (8). The invariant: both sides are computed once, with the branch and
its answer; whatever carries the dialog on later (route tokens, the table of calls) has them from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.proxy.core import Answered, Branch
from sipnode.proxy.reach import as_named, by_connection, contact_of
from sipnode.proxy.record_route import beyond_us, with_token
from sipnode.proxy.seal import RouteState, mark_of
from sipnode.records import BindingFlag, Holder, Reach

if TYPE_CHECKING:
    from sipnode.proxy.record_route import RouteSigner
    from sipnode.sip.message import SipResponse


def holder_of(branch: Branch) -> Holder:
    """The end that a branch asks, as the one whom its token is for."""
    ctx, flow = branch.fork.ctx, branch.flow
    who = b""
    if ctx.route is None:
        asked = ctx.request.ruri
        who = mark_of(asked.aor) if asked.user and branch.core.is_local(asked.host) else b""
    return Holder(flow.remote[0], flow.token, branch.target.key, who)


def callee_side(branch: Branch, response: SipResponse) -> Reach:
    """How the other end of a new dialog is reached."""
    answered = branch.answered
    if answered is not None and answered.tag == response.to.tag:
        return answered.far
    return callee_reach(branch, response, [])


def callee_reach(branch: Branch, response: SipResponse, beyond: list[str]) -> Reach:
    """How the other end of a branch is reached later.

    Args:
        response: Its answer.
        beyond: What other proxies between it and us recorded, nearest first.
    """
    target, flow = branch.target, branch.flow
    natted = bool(target.host or target.flags & BindingFlag.NATB)
    if not target.beyond:
        if flow.reliable and (target.websocket or natted):
            where = by_connection(response, beyond, flow, target.key)
            where.websocket, where.natted = target.websocket, natted
            return where
        if target.host:
            return Reach("", "", target.host, target.port, "UDP", natted=True)
    reach = as_named(response, beyond, flow, branch.core.destinations.refusal)
    if flow.reliable and not target.beyond:
        reach.flow, reach.key = flow.token, target.key
    elif target.provider is not None:
        reach.key = target.key
    reach.websocket = target.websocket
    return reach


def route_token(branch: Branch) -> str:
    """The token of our Record-Route on a request: leads its receiver to its sender."""
    ctx = branch.fork.ctx
    core, request = branch.core, ctx.request
    signer: RouteSigner = core.signer
    recorded = request.values("record-route") if "record-route" in request else []
    mark = signer.mark(recorded, contact_of(request)) if recorded else b""
    state = dialog_state(branch, core.near_side(ctx), holder_of(branch), mark)
    route = ctx.route
    if route is None or route.from_caller:
        return signer.for_callee(state, request.call_id, request.from_.tag)
    # A NOTIFY, which goes to the end that subscribed.
    return signer.for_caller(state, request.call_id, request.to.tag, request.from_.tag)


def dialog_state(branch: Branch, far: Reach, holder: Holder, mark: bytes) -> RouteState:
    """The content of a token.

    Args:
        far: Where it leads. holder: Who gets it. mark: Of the other proxies on the way to ``far``.
    """
    media = branch.media
    until = branch.core.clock() + branch.core.dialog_seconds
    session = branch.fork.invite
    if media is None:
        return RouteState(far, holder, mark=mark, until=until, session=session)
    return RouteState(far, holder, True, media.node, media.call, session, mark=mark, until=until)


def answered_lines(branch: Branch, response: SipResponse) -> list[str]:
    """The header lines of a response on their way to the caller: its own token in our Record-Route (RFC 3261 §16.7 (8)).

    Raises:
        ParseError: its To can't be read.
    """
    kept, ctx, tag, contact = branch.answered, branch.fork.ctx, response.to.tag, response.get("contact")
    if not tag:
        # It makes no dialog.
        return response.lines.copy()
    if kept is None or kept.tag != tag or kept.contact != contact:
        signer: RouteSigner = branch.core.signer
        beyond: list[str] = []
        before, ours, _ = (response.get("record-route") or "").partition(branch.token)
        if not ours or "," in before:
            beyond = beyond_us(response.values("record-route"), branch.token)
        far = callee_reach(branch, response, beyond)
        near = branch.core.near_side(ctx)
        holder = Holder(ctx.flow.remote[0], ctx.flow.token, near.key, mark_of(ctx.identity))
        state = dialog_state(branch, far, holder, signer.mark(beyond, contact_of(response)) if beyond else b"")
        token = signer.for_caller(state, response.call_id, response.from_.tag, tag)
        kept = branch.answered = Answered(tag, contact, token, far)
    return with_token(response, branch.token, kept.token)
