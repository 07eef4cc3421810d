"""A CANCEL finds the INVITE that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.base.verdict import Verdict
from sipnode.dialog.request import Request as DialogRequest
from sipnode.transaction.keys import server_key
from sipnode.transaction.proof import names_of, same_address
from sipnode.transaction.states import PROCEEDING

if TYPE_CHECKING:
    from sipnode.base.request import Request
    from sipnode.base.server import Server


def cancel(core: Server, ctx: Request) -> Verdict:
    """CANCEL: 200 where it matches an INVITE, which then ends with 487; else 481 (RFC 3261 §9.2, §16.10).

    It can't be challenged, so it has to come from where the INVITE came from, and name the same call.
    """
    invite = core.transactions.servers.get(server_key(ctx.request, ctx.flow.remote[0], "INVITE"))
    if invite is None:
        core.counters["unmatched_cancels"] += 1
        return ctx.reply(481)
    begun = invite.user
    waiting = begun if invite.state == PROCEEDING and isinstance(begun, DialogRequest) else None
    if waiting is not None and not (
        same_address(waiting.request, invite.flow, ctx.flow) and names_of(waiting.request) == names_of(ctx.request)
    ):
        core.counters["refused_cancels"] += 1
        return ctx.reply(481)
    # Its 200 has the To tag that the 487 will have (§9.2).
    ctx.key = invite.key
    ctx.reply(200)
    if waiting is not None and invite.state == PROCEEDING and invite.user is waiting:
        if waiting.fork is None:
            waiting.reply(487)
        else:
            reason = ctx.request.get("reason")
            waiting.fork.cancel((("reason", reason),) if reason else ())
    return Verdict.ABSORBED
