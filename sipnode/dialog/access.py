"""The right to speak in a dialog: a known call belongs to its ends, and one that has ended is nobody's.

Pure. Implements: RFC 3261 §26.1.3 (session tampering and teardown by others), §16.3 (a spiral isn't an intruder). The invariant: only a
token that was sealed for a dialog gets this far, and nothing here widens what it opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.dialog import call as stages
from sipnode.dialog.ended import EndedDialogs
from sipnode.errors import Reject

if TYPE_CHECKING:
    from sipnode.dialog.table import CallTable
    from sipnode.proxy.core import Fork, Request
    from sipnode.proxy.seal import RouteState
    from sipnode.sip.message import SipRequest

MOST_PLACES: Final = 8
"""Addresses that the ends of a call may move to, one after the other."""
SESSION: Final = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "PRACK", "INFO"))
"""Methods that belong to a session itself; other methods in its dialog steer phones."""
_ENDING: Final = frozenset(("ACK", "BYE"))


class DialogAccess:
    """Judges requests by the calls that are known.

    Args:
        table: Of all calls.
        counters: Counts ``refused_known_call``: requests that showed a call of somebody else's; ``closed_dialogs``: those in a dialog
            that is over.

    Attributes:
        over: Dialogs that have ended or failed lately.
    """

    def __init__(self, table: CallTable, counters: dict[str, int]) -> None:
        self._table = table
        self._counters = counters
        self.over = EndedDialogs()

    def admit(self, ctx: Request) -> None:
        """A request outside of any dialog that shows the Call-ID and a tag of a call that is known: it has to come from who began
        that call, or be that very INVITE on its way back through us (a spiral).

        Raises:
            Reject: it is somebody else's.
        """
        request = ctx.request
        calls = self._table.of(request.call_id)
        if not calls:
            return
        tag = request.from_.tag
        for call in calls:
            if tag not in (call.from_tag, call.to_tag):
                continue
            if (ctx.identity and ctx.identity == call.caller) or call.caller_flow[1][0] == ctx.flow.remote[0]:
                continue
            if call.pending is not None and _passed_here(request, call.pending):
                continue
            self._counters["refused_known_call"] += 1
            raise Reject(403, "Not Your Call")

    def is_open(self, ctx: Request, route: RouteState) -> bool:
        """Whether the dialog that a route token was made for can be spoken in still, as far as this server knows.

        Args:
            route: What the token said.
        """
        request = ctx.request
        call_id, caller_tag, callee_tag = request.call_id, request.from_.tag, request.to.tag
        if not route.from_caller:
            caller_tag, callee_tag = callee_tag, caller_tag
        if self._table.get((call_id, caller_tag, callee_tag)) is not None:
            return True
        calls = [call for call in self._table.of(call_id) if call.from_tag == caller_tag]
        was_up = self.over.get(call_id, caller_tag)
        if calls:
            # Another branch of the fork was answered; while it rings, each has an early dialog of its own.
            found = request.method in _ENDING or any(call.state in (stages.TRYING, stages.EARLY) for call in calls)
        elif was_up is not None:
            # The other end may not have heard of the BYE that we saw; of a call that failed nobody has anything to end.
            found = was_up and request.method in _ENDING
        elif route.until < ctx.now:
            found = False
        else:
            # Of a session that may never have come about, as after a restart, a stranger carries on the session alone.
            found = not route.session or bool(route.holder.who) or request.method in SESSION
        if not found:
            self._counters["closed_dialogs"] += 1
        return found

    def is_at(self, request: SipRequest, host: str) -> bool:
        """Whether the sender's end of a call that is known is at an address: where its Contact is, or where it proved itself."""
        call = self._table.between(request.call_id, request.from_.tag, request.to.tag)
        if call is None:
            return False
        party = call.ends.party(request.from_.tag) if call.ends is not None else None
        return host in call.moved or (party is not None and party.side.host == host)

    def moved_to(self, request: SipRequest, host: str) -> None:
        """An end of a call has proved itself at another address."""
        call = self._table.between(request.call_id, request.from_.tag, request.to.tag)
        if call is not None and len(call.moved) < MOST_PLACES:
            call.moved |= {host}


def _passed_here(request: SipRequest, fork: Fork) -> bool:
    """Whether a request bears a Via that a branch of the fork put on: nobody but those it was sent to knows it."""
    vias = [line for name, line in zip(request.names, request.lines, strict=True) if name == "via"]
    return any(branch.branch_id in line for branch in fork.branches for line in vias)
