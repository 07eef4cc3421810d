"""``t_relay``: send a request on.

Implements: RFC 3261 §16.6, §16.11; RFC 5393 (loop detection, Max-Breadth).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipnode.errors import NoRoute, Reject
from sipnode.proxy.ack import AckBranch
from sipnode.proxy.fork import LiveFork
from sipnode.proxy.forward import stateless_branch
from sipnode.proxy.target import Target
from sipnode.sip.ids import BRANCH_PREFIX
from sipnode.sip.message import SipRequest
from sipnode.transaction.states import ACCEPTED

if TYPE_CHECKING:
    from sipnode.proxy.core import Request

MAX_BREADTH: Final = 60
"""RFC 5393 §5.3.3: what a request may be forked into at the same time, whatever it says itself."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def relay(ctx: Request, contact_line: str = "") -> None:
    """Send a request to its targets, or to its Request-URI where it has none.

    Args:
        contact_line: The Contact header line to send instead of the request's, "" for none.

    Raises:
        Reject: 482 for a loop, 440 for too broad a fork, 503 where no transaction can be taken, 503 or 486 where too much waits
            for an answer.
    """
    request = ctx.request
    if request.method == "ACK":
        _relay_ack(ctx, contact_line)
        return
    core = ctx.proxy
    if ctx.transaction is not None and ctx.transaction.state >= ACCEPTED:
        # A CANCEL came while a stage waited.
        return
    if core.transactions.full:
        raise Reject(503, "", (("retry-after", "5"),))
    targets = ctx.targets or [Target()]
    fork = LiveFork(ctx)
    fork.contact_line = contact_line
    fork.loop_mark = _loop_mark(request)
    if len(targets) > 1 or "max-breadth" in request or fork.loop_mark:
        fork.extra = (("max-breadth", str(_breadth(ctx, len(targets)))),)
    core.pending.enter(ctx)
    ctx.begin()
    if ctx.identity and ctx.transaction is not None:
        # It was begun while its sender was still to be asked who it is.
        ctx.transaction.budget = None
    fork.start(targets)


def _breadth(ctx: Request, targets: int) -> int:
    """Max-Breadth of each branch: what came in, spent over them. The header that came doesn't go on.

    Raises:
        Reject: 440, it is less than one each.
    """
    request = ctx.request
    allowed = MAX_BREADTH
    if "max-breadth" in request:
        said = [int(value) for value in request.get_all("max-breadth") if _NUMBER.fullmatch(value)]
        allowed = min(said, default=MAX_BREADTH)
        ctx.dropped += [position for position, name in enumerate(request.names) if name == "max-breadth"]
    share = min(allowed, MAX_BREADTH) // min(targets, ctx.proxy.max_branches)
    if not share:
        raise Reject(440)
    return share


def _loop_mark(request: SipRequest) -> str:
    """The mark that tells a loop from a spiral: a hash of all that routing depends on, as the tail of our branch (RFC 5393 §4.2.3).

    Raises:
        Reject: the request was here before, and nothing of it has changed since.
    """
    if request.names.count("via") == 1 and BRANCH_PREFIX not in request.lines[request.index()["via"]]:
        return ""
    seen = [line for line, name in zip(request.lines, request.names, strict=True) if name == "via" and BRANCH_PREFIX in line]
    if not seen:
        return ""
    mark = f"-{hash((request.uri, request.from_.tag, request.to.tag, request.call_id, request.cseq, request.get('route'))) & 0xFFFFFFFF:x}"
    if any(mark in line for line in seen):
        raise Reject(482)
    return mark


def _relay_ack(ctx: Request, contact_line: str) -> None:
    """An ACK of a 2xx goes on without state (§16.11); what can't go on is dropped, an ACK is never answered."""
    fork = LiveFork(ctx)
    fork.contact_line = contact_line
    targets = ctx.targets or [Target()]
    branch = AckBranch(fork, targets[0], 0)
    branch.branch_id = stateless_branch(ctx.request)
    fork.branches.append(branch)
    try:
        branch.start()
    except NoRoute:
        return
