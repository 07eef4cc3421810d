"""One branch of a fork: a copy of the request on its way to one target.

Implements: RFC 3261 §16.6, §16.7 (1)-(4), §16.8 (timer C), §9.1.

The invariant: replies of a branch go through one queue, so that a 200 never overtakes the 183 whose answer is still at
the media relay; and a branch that failed never hurts the others.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from sipnode.base.flow import Flow
from sipnode.base.outbox import CANCEL
from sipnode.base.waiting import deferred
from sipnode.errors import NoRoute
from sipnode.proxy import nexthop, unwanted
from sipnode.proxy.core import Branch
from sipnode.proxy.faults import SILENT, answer_to, blame_of
from sipnode.proxy.forkpolicy import CHALLENGES, LOCAL, RECEIVED
from sipnode.proxy.forward import forwarded_request
from sipnode.proxy.target import Target
from sipnode.sip import build, ids
from sipnode.sip.message import SipResponse
from sipnode.transaction.states import CALLING, PROCEEDING

if TYPE_CHECKING:
    from sipnode.proxy.core import Fork
    from sipnode.proxy.provider import Provider
    from sipnode.proxy.target import Target
    from sipnode.transaction.machine import ClientTransaction

_FLOW_LOST: Final = frozenset((408, 430))


class LiveBranch(Branch):
    """One branch: how it is sent, and what becomes of it."""

    __slots__ = ("_asked", "_cancel_reason", "_cancel_until", "_expired", "_queue", "_sent_to", "_transaction")

    def __init__(self, fork: Fork, target: Target, index: int) -> None:
        super().__init__(fork, target, index, ids.new_branch() + fork.loop_mark)
        self._cancel_reason: tuple[tuple[str, str], ...] | None = None
        self._cancel_until = 0.0
        self._expired = False
        self._queue: deque[SipResponse] | None = None
        self._transaction: ClientTransaction | None = None
        self._asked = 0
        self._sent_to = ""

    def ring_out(self) -> None:
        """It has rung for as long as it may, as by timer C; one that has said nothing yet can't be cancelled (§9.1) and has timer B."""
        if not self.ended and not self.cancelled:
            self._expired = True
            self.cancel(())

    def start(self) -> None:
        """Find the way, let the script manage the branch, send."""
        try:
            found = nexthop.flow_for(self)
            # What it nearly always is; to ask for a Deferred, which is an abstract class, takes a look at its registry.
            if isinstance(found, Flow):
                self._found(found)
                return
            found.addCallbacks(self._found, self._not_found)
            found.addErrback(self._policy_failed)
        except Exception:
            # Also what a Route or contact can't be read for: the other branches must go on.
            self._policy_failed(Failure())

    def _found(self, flow: Flow) -> None:
        self.flow = flow
        if self.cancelled:
            self.fail(408 if self._expired else 487)
            return
        waiting = self.fork.ctx.script.manage_branch(self)
        if waiting is None:
            self._send()
            return
        managed = deferred(waiting)
        managed.addCallback(lambda _: self._send())
        managed.addErrback(self._policy_failed)

    def _not_found(self, failure: Failure) -> None:
        error = failure.value
        status, told = (error.status, error.told) if isinstance(error, NoRoute) else (503, "")
        self.fail(*((430, "") if self.target.beyond else (status, told)), blame=blame_of(error))

    def _policy_failed(self, failure: Failure) -> None:
        answer = answer_to(failure.value)
        if answer is None:
            self.core.failed("branch route", failure)
            answer = (500, "", ())
        self.fail(*answer, blame=blame_of(failure.value))

    def _send(self) -> None:
        if self.cancelled:
            self.fail(408 if self._expired else 487)
            return
        core = self.core
        request = forwarded_request(self)
        if self.target.resolved and nexthop.too_large(self, request):
            nexthop.over_tcp(self).addCallback(self._again).addErrback(self._policy_failed)
            return
        budget = None
        if not self.flow.proved and (self.fork.ctx.stranger or self.fork.ctx.route is not None):
            # Inside a dialog it's the other end that named the address, and that one may be a stranger.
            budget = self.fork.budget_at(self.flow.remote[0], build.octets_of(request))
            if budget is None:
                self.fail(480)
                return
        if self.target.provider is not None:
            self._sent_to = request.uri
        transaction = core.transactions.send_request(request, self.branch_id, self.flow, self, core.clock(), budget)
        if not transaction.terminated:
            # One that failed at once has been told already, and may have been followed by another.
            self._transaction = transaction
            if self.target.beyond or self.target.flows or (self.hops and self.target.resolved):
                nexthop.hurry(core, transaction, self.target.beyond)
                if self.hops and not self.flow.reliable:
                    core.flows.sound(self.flow.remote, partial(self._refused, transaction))

    # -- what the transaction layer tells

    def response_received(self, response: SipResponse) -> None:
        """A response of this branch."""
        if response.status < 200 and self.hops and not self.fork.invite and self._transaction is not None:
            # Somebody is there: it has the time of any other request.
            self._transaction.expires_at = self.core.clock() + self.core.transactions.timings.timeout
        if self.cancelled and response.status < 200:
            if self._cancel_reason is not None:
                reason, self._cancel_reason = self._cancel_reason, None
                self._send_cancel(reason)
            elif self._transaction is not None:
                # A provisional response starts timer C anew, but not the wait for what a CANCEL brings.
                self._transaction.expires_at = self._cancel_until
        if self.unwanted is not None and self.unwanted.takes(response):
            return
        if self._queue is not None:
            self._queue.append(response)
            return
        self._take(response)

    def timed_out(self) -> None:
        """Timer B or F fired, or timer C (RFC 3261 §16.8): then the branch is cancelled and counts as a 408."""
        transaction = self._transaction
        if transaction is not None and not transaction.terminated:
            if not self.cancelled:
                self._expired = True
                self.cancel(())
                return
            self.core.transactions.end(transaction)
        if self._next_hop():
            return
        self.fail((430 if self.target.beyond and not self.status else 408) if self._expired or not self.cancelled else 487)

    def release(self) -> None:
        """It has ended, and so has its fork: nobody asks it for its transaction any more."""
        self._transaction = None

    def send_failed(self) -> None:
        """The flow closed: as a 503 (§16.9), or 430 where only this flow reached the target (RFC 5626 §5.3)."""
        if not self._next_hop():
            if self.target.flow:
                nexthop.is_gone(self)
            self.fail(430 if self.target.flow or self.target.beyond else 503, blame="callee, whose connection is gone")

    def _refused(self, transaction: ClientTransaction) -> None:
        """Nobody listens where a request of this branch went (an ICMP error, §18.4): as if its flow had closed, unless it was answered."""
        if transaction is self._transaction and not transaction.terminated and not self.status and not self.cancelled:
            self.core.transactions.end(transaction)
            self.send_failed()

    def _next_hop(self) -> bool:
        """RFC 3263 §4.3: another address of the same target, in a new transaction; others leave this one alone for a while."""
        if self.status > 100 or self.cancelled:
            return False
        if self.hop is not None:
            self.core.resolver.failed(self.hop)
        if not self.hops:
            return False
        self.status = 0
        self.branch_id = ids.new_branch() + self.fork.loop_mark
        found = nexthop.flow_to_hops(self)
        found.addCallbacks(self._again, self._not_found)
        found.addErrback(self._policy_failed)
        return True

    def _again(self, flow: Flow) -> None:
        self.flow = flow
        self._send()

    # -- replies, in order

    def _take(self, response: SipResponse) -> deque[SipResponse] | None:
        """Let the script see a reply, then the fork.

        Returns:
            None, or where the replies after this one have to wait.
        """
        status = response.status
        if status == 100:
            self.status = self.status or 100
            return None
        if status >= 300:
            self._final(response)
            return None
        try:
            managed = self.fork.ctx.script.manage_reply(self, response)
            if managed is None:
                self._pass(response)
                return None
            if isinstance(managed, SipResponse):
                self._pass(managed)
                return None
            waiting = deferred(managed)
        except Exception:
            self._answer_failed(Failure(), response)
            return None
        self._queue = deque()
        waiting.addBoth(self._managed, response)
        return self._queue

    def _managed(self, result: SipResponse | Failure | None, response: SipResponse) -> None:
        if isinstance(result, Failure):
            self._answer_failed(result, response)
        else:
            self._pass(result if result is not None else response)
        queue, self._queue = self._queue, None
        while queue:
            waiting = self._take(queue.popleft())
            if waiting is not None:
                waiting.extend(queue)
                return

    def _answer_failed(self, failure: Failure, response: SipResponse) -> None:
        """The script or the relay couldn't take a reply."""
        changed = unwanted.refused(self, failure, response)
        if changed is not None:
            self._pass(changed)

    def _pass(self, response: SipResponse) -> None:
        if self.ended and response.status < 200:
            # It waited for the relay while the branch came to its end.
            return
        before = self.response
        repeated = before is not None and 200 <= before.status < 300 and before.get("to") == response.get("to")
        self.response = response
        self.status = response.status
        self.source = RECEIVED
        if response.status >= 200:
            self.ended = True
        self.fork.on_response(self, response, repeated)

    def _final(self, response: SipResponse) -> None:
        self.contact_line = ""
        if response.status == 503 and self._next_hop():
            return
        if response.status in CHALLENGES and self.target.provider is not None and not self.cancelled:
            self._challenged(self.target.provider, response)
            return
        if response.status == 487 and self._expired:
            self.fail(408)
            return
        self.response = response
        self.status = response.status
        self.source = RECEIVED
        self._end(response)

    def _challenged(self, provider: Provider, response: SipResponse) -> None:
        """A trunk wants to know who we are (RFC 3261 §22.3). That is between it and us: no caller hears of it."""
        proof = provider.proof(self.request.method, self._sent_to, response, self.flow, self._asked)
        if proof is None:
            self.fail(502, "Trunk Takes Us Not", blame="trunk, which doesn't take our credentials")
            return
        self._asked += 1
        self.status = 0
        self.branch_id = ids.new_branch() + self.fork.loop_mark
        self.proof = (proof,)
        self._send()

    def fail(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = (), blame: str = SILENT) -> None:
        """End the branch with a final response of our own."""
        if self.ended:
            return
        self.response = build.response_to(self.request, status, reason, ids.new_tag(), headers)
        self.status = status
        self.source, self.blame = LOCAL, blame
        self._end(self.response)

    def _end(self, response: SipResponse) -> None:
        if self.ended:
            return
        core = self.core
        self.ended = True
        if self.target.provider is not None:
            self.target.provider.ended(response.status)
        tries = self.tries
        try:
            self.fork.ctx.script.branch_failure(self, response)
        except Exception:
            core.failed("branch failure route", Failure())
        if self.tries > tries or self._other_flow(response):
            self.ended = False
            self.status = 0
            self.response = self.media = self.body = self._transaction = None
            self.branch_id = ids.new_branch() + self.fork.loop_mark
            self.start()
            return
        self.fork.on_ended(self, response)

    def _other_flow(self, response: SipResponse) -> bool:
        """RFC 5626 §7: a flow that is lost (430), or where nobody says anything (408), leaves the other flows of the device."""
        target = self.target
        if not target.flows or self.cancelled:
            return False
        lost = response.status in _FLOW_LOST or (self.source == LOCAL and response.status in (480, 503))
        if not lost:
            return False
        self.target = target.flows[0]
        self.target.flows, self.target.seconds = target.flows[1:], target.seconds
        self.flags, self.hops, self.hop = self.target.flags, [], None
        self.core.counters["flows_passed_over"] += 1
        return True

    # -- CANCEL

    def cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        """End a pending branch: by CANCEL as soon as it has seen a 1xx (RFC 3261 §9.1), at once where nothing was sent."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        transaction = self._transaction
        if transaction is None or not self.fork.invite:
            # The flow, media or next address that it waits for finds it cancelled; only an INVITE has a CANCEL (§9.1).
            return
        if transaction.state == PROCEEDING:
            self._send_cancel(reason)
        elif transaction.state == CALLING:
            self._cancel_reason = reason

    def _send_cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        transaction = self._transaction
        if transaction is None or transaction.request is None:
            return
        core = self.core
        now = core.clock()
        # RFC 3261 §9.1: a final response that doesn't come within 64*T1 never will.
        transaction.expires_at = self._cancel_until = now + core.transactions.timings.timeout
        core.transactions.reschedule(transaction)
        cancel = build.cancel_for(transaction.request, reason)
        core.transactions.send_request(cancel, self.branch_id, self.flow, None, now, why=CANCEL)
