"""One branch of a fork: a copy of the request on its way to one target.

Implements: RFC 3261 §16.6, §16.7 (1)-(4), §16.8 (timer C), §9.1.

The invariant: replies of a branch go through one queue, so that a 200 never overtakes the 183 whose answer is still at
the media relay; and a branch that failed never hurts the others.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sipnode.errors import FlowClosed, MediaError, NoRoute, Reject
from sipnode.proxy import nexthop
from sipnode.proxy.forkpolicy import LOCAL, RECEIVED
from sipnode.proxy.forward import forwarded_request
from sipnode.proxy.record_route import Side
from sipnode.proxy.target import Target
from sipnode.sip import build, ids
from sipnode.sip.message import SipRequest, SipResponse

if TYPE_CHECKING:
    from sipnode.proxy.fork import Fork
    from sipnode.transaction.machine import ClientTransaction


class Branch:
    """One branch.

    Attributes:
        fork: The fork that it belongs to.
        target: Where it goes.
        index: 0 for the first branch of the fork.
        branch_id: The ``branch`` of our Via: the transaction's, and what tells the media relay the branches apart.
        flags: Bits of BranchFlag.
        body: SDP to send in place of the request's body, or None.
        content_type: With ``body``, where it changes.
        response: The best that it got: the last provisional or the final response.
        status: Of ``response``; 0 before anything came.
        source: Whether the final response was received or made here.
        ended: A final response is known.
        media: Owned by the media control of the script.
        contact_line: The Contact header line that its replies go back with, "" for their own.
    """

    __slots__ = (
        "_cancel_reason",
        "_hops",
        "_queue",
        "_retried",
        "_transaction",
        "body",
        "branch_id",
        "cancelled",
        "contact_line",
        "ended",
        "flags",
        "flow",
        "fork",
        "index",
        "media",
        "response",
        "source",
        "status",
        "target",
    )

    def __init__(self, fork: Fork, target: Target, index: int) -> None:
        self.fork = fork
        self.target = target
        self.index = index
        self.branch_id = ids.new_branch() + self.fork.loop_mark
        self.flags = target.flags
        self.flow: Any = None
        self.body: bytes | None = None
        self.response: SipResponse | None = None
        self.status = 0
        self.source = LOCAL
        self.ended = False
        self.cancelled = False
        self.media: Any = None
        self.contact_line = ""
        self._cancel_reason: tuple[tuple[str, str], ...] | None = None
        self._hops: list[Any] = []
        self._queue: deque[SipResponse] | None = None
        self._retried = False
        self._transaction: ClientTransaction | None = None

    # -- policy's verbs

    def set(self, flag: int) -> None:
        """Set bits of BranchFlag (``setbflag``)."""
        self.flags |= flag

    def has(self, flag: int) -> bool:
        """Whether any of these bits is set (``isbflagset``)."""
        return bool(self.flags & flag)

    @property
    def request(self) -> SipRequest:
        """The request that the fork is about, as received."""
        return self.fork.ctx.request

    @property
    def far_websocket(self) -> bool:
        """Whether the callee of this request is a browser."""
        return self.target.websocket

    def callee_side(self) -> Side:
        """How the other end is reached later."""
        target, flow = self.target, self.flow
        side = Side(websocket=target.websocket, natted=bool(target.host))
        if flow.reliable:
            side.flow, side.key = flow.token, target.key
        elif target.host:
            side.host, side.port = target.host, target.port
        return side

    def retry(self) -> bool:
        """Send the branch once more with other flags (``t_next…`` after a 415 or 488). Once only.

        Returns:
            Whether it will be.
        """
        if self._retried or self.cancelled:
            return False
        self._retried = True
        return True

    # -- sending

    def start(self) -> None:
        """Find the way, let the script manage the branch, send."""
        try:
            found = nexthop.flow_for(self)
        except NoRoute as error:
            self.fail(error.status, error.reason)
            return
        if isinstance(found, Deferred):
            found.addCallbacks(self._found, self._not_found)
            found.addErrback(self._policy_failed)
            return
        self._found(found)

    def _found(self, flow: Any) -> None:
        self.flow = flow
        if self.cancelled:
            self.fail(487)
            return
        try:
            waiting = self.fork.ctx.core.script.manage_branch(self)
        except Exception:
            self._policy_failed(Failure())
            return
        if waiting is None:
            self._send()
            return
        waiting.addCallbacks(lambda _: self._send(), self._refused)
        waiting.addErrback(self._policy_failed)

    def _not_found(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, NoRoute):
            self.fail(error.status, error.reason)
        else:
            self.fail(503, "Next Hop Unreachable")

    def _refused(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, (MediaError, Reject)):
            self.fail(error.status, "", (("warning", f'399 sipnode "{_plain(error.reason)}"'), *_retry_after(error.status)))
            return
        self._policy_failed(failure)

    def _policy_failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Reject):
            self.fail(error.status, error.reason)
            return
        self.fork.ctx.core.failed("branch route", failure)
        self.fail(500)

    def _send(self) -> None:
        if self.cancelled:
            self.fail(487)
            return
        core = self.fork.ctx.core
        request = forwarded_request(self)
        if core.trace is not None:
            core.trace.sent(request.to_bytes(), self.flow)
        self._transaction = core.transactions.send_request(request, self.branch_id, self.flow, self, core.clock())

    # -- what the transaction layer tells

    def response_received(self, response: SipResponse) -> None:
        """A response of this branch."""
        if self._cancel_reason is not None and response.status < 200:
            reason, self._cancel_reason = self._cancel_reason, None
            self._send_cancel(reason)
        if self._queue is not None:
            self._queue.append(response)
            return
        self._take(response)

    def timed_out(self) -> None:
        """Timer B or F fired, or timer C (RFC 3261 §16.8)."""
        transaction = self._transaction
        if transaction is not None and not transaction.terminated and not self.cancelled:
            self.cancel(())
            return
        if transaction is not None and not transaction.terminated:
            self.fork.ctx.core.transactions.end(transaction)
        if self._next_hop():
            return
        self.fail(487 if self.cancelled else 408)

    def send_failed(self) -> None:
        """The flow closed: as a 503 (§16.9), or 430 where only this flow reached the target (RFC 5626 §5.3)."""
        if not self._next_hop():
            self.fail(430 if self.target.flow else 503)

    def _next_hop(self) -> bool:
        """RFC 3263 §4.3: another address of the same target, in a new transaction."""
        if self.status or self.cancelled or not self._hops:
            return False
        self.branch_id = ids.new_branch() + self.fork.loop_mark
        found = nexthop.flow_to_hops(self)
        found.addCallbacks(self._again, self._not_found)
        found.addErrback(self._policy_failed)
        return True

    def _again(self, flow: Any) -> None:
        self.flow = flow
        self._send()

    # -- replies, in order

    def _take(self, response: SipResponse) -> None:
        """Let the script see a reply, then the fork."""
        status = response.status
        core = self.fork.ctx.core
        if status == 100:
            self.status = self.status or 100
            return
        if status >= 300:
            self._final(response)
            return
        try:
            waiting = core.script.manage_reply(self, response)
        except Exception:
            core.failed("reply route", Failure())
            waiting = None
        if isinstance(waiting, Deferred):
            self._queue = deque()
            waiting.addBoth(self._managed, response)
            return
        self._pass(waiting if waiting is not None else response)

    def _managed(self, result: Any, response: SipResponse) -> None:
        if isinstance(result, Failure):
            self._answer_failed(result, response)
        else:
            self._pass(result if result is not None else response)
        while self._queue:
            queue, self._queue = self._queue, None
            following = queue.popleft()
            self._take(following)
            if self._queue is not None:
                self._queue.extend(queue)
                return
            self._queue = queue
        self._queue = None

    def _answer_failed(self, failure: Failure, response: SipResponse) -> None:
        """The relay couldn't take an answer: a provisional reply loses its body, a final one can't be hidden from the
        caller, who has to acknowledge and end the call; the addresses inside stay hidden in both.
        """
        if failure.check(MediaError) is None:
            self.fork.ctx.core.failed("reply route", failure)
        copy = response.copy()
        copy.set_body(b"")
        copy.remove("content-type")
        self._pass(copy)

    def _pass(self, response: SipResponse) -> None:
        self.response = response
        self.status = response.status
        self.source = RECEIVED
        if response.status >= 200:
            self.ended = True
        self.fork.on_response(self, response)

    def _final(self, response: SipResponse) -> None:
        core = self.fork.ctx.core
        if response.status == 503 and self._next_hop():
            return
        self.response = response
        self.status = response.status
        self.source = RECEIVED
        self._end(core, response)

    def fail(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """End the branch with a final response of our own."""
        if self.ended:
            return
        self.response = build.response_to(self.request, status, reason, self.branch_id[-12:].replace(".", ""), headers)
        self.status = status
        self.source = LOCAL
        self._end(self.fork.ctx.core, self.response)

    def _end(self, core: Any, response: SipResponse) -> None:
        already = self.ended
        self.ended = True
        if already:
            return
        retried = self._retried
        try:
            core.script.branch_failure(self, response)
        except Exception:
            core.failed("branch failure route", Failure())
        if self._retried and not retried:
            self.ended = False
            self.status = 0
            self.response = None
            self.branch_id = ids.new_branch() + self.fork.loop_mark
            self._found(self.flow)
            return
        self.fork.on_ended(self, response)

    # -- CANCEL

    def cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        """End a pending branch: by CANCEL as soon as it has seen a 1xx (RFC 3261 §9.1), at once where nothing was sent."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        transaction = self._transaction
        if transaction is None or transaction.terminated:
            if self.flow is None:
                return
            if transaction is not None:
                self.fail(487)
            return
        if self.status:
            self._send_cancel(reason)
        else:
            self._cancel_reason = reason

    def _send_cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        transaction = self._transaction
        if transaction is None or transaction.request is None:
            return
        core = self.fork.ctx.core
        now = core.clock()
        # RFC 3261 §9.1: a final response that doesn't come within 64*T1 never will.
        transaction.expires_at = now + core.transactions.timings.timeout
        core.transactions.reschedule(transaction)
        cancel = build.cancel_for(transaction.request, reason)
        if core.trace is not None:
            core.trace.sent(cancel.to_bytes(), self.flow)
        try:
            core.transactions.send_request(cancel, self.branch_id, self.flow, None, now)
        except FlowClosed:
            self.send_failed()

    @property
    def pending(self) -> bool:
        """No final response yet."""
        return not self.ended


def _plain(text: str) -> str:
    return text.replace("\\", "").replace('"', "'")


def _retry_after(status: int) -> tuple[tuple[str, str], ...]:
    return (("retry-after", "5"),) if status == 503 else ()
