"""One request on its way to one or more targets.

Implements: RFC 3261 §16.6, §16.7, §16.10; RFC 5393 §5 (Max-Breadth). Moves messages; what to do with a final response is
decided by :mod:`sipnode.proxy.forkpolicy`.

The invariant: at most one final response goes to the caller, but every 2xx of an INVITE does.
"""

from __future__ import annotations

from typing import Final

from twisted.python.failure import Failure

from sipnode.base.outbox import PASSED
from sipnode.base.tap import COUNTED
from sipnode.base.waiting import deferred
from sipnode.proxy import forkpolicy
from sipnode.proxy.branch import LiveBranch
from sipnode.proxy.core import Branch, Fork, Request
from sipnode.proxy.faults import answer_to
from sipnode.proxy.forward import challenges, own_headers, renumbered, returned_response
from sipnode.proxy.identity import is_harmless, remove_claims
from sipnode.proxy.ringing import Ringing
from sipnode.proxy.sides import answered_lines
from sipnode.proxy.target import Target
from sipnode.sip.build import octets_of
from sipnode.sip.message import SipResponse
from sipnode.transaction.budget import Budget

ELSEWHERE: Final = (("reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
"""Reason of the CANCEL that tells a phone not to count a missed call (RFC 3326)."""


class LiveFork(Fork):
    """The fork of one request: how it is sent, and which of its responses go back."""

    __slots__ = ("_budgets", "_ringing", "_serial", "_waiting")

    def __init__(self, ctx: Request) -> None:
        super().__init__(ctx)
        self._budgets: dict[str, Budget] | None = None
        self._serial: list[list[Target]] = []
        self._ringing: Ringing | None = None
        self._waiting = False
        ctx.fork = self

    def start(self, targets: list[Target]) -> None:
        """Send to the targets: all at once, or by groups of equal q (RFC 3261 §16.6)."""
        ctx = self.ctx
        if self.invite and (ctx.transaction is None or not ctx.transaction.kept):
            ctx.reply(100)
        if self.invite:
            self.core.calling(self)
        for target in targets:
            if target.after:
                targets = self._put_off(targets)
                break
        self.add_targets(targets)
        self._next_group()

    def _put_off(self, targets: list[Target]) -> list[Target]:
        """Those that ring at once; the others wait for their time."""
        for after in {target.after for target in targets if target.after}:
            self.ring([target for target in targets if target.after == after], after)
        return [target for target in targets if not target.after]

    def ring(self, targets: list[Target], after: float = 0.0, seconds: float = 0.0) -> int:
        """See :meth:`sipnode.proxy.core.Fork.ring`."""
        tried = {(branch.target.uri, branch.target.flow) for branch in self.branches}
        targets = [target for target in targets if (target.uri, target.flow) not in tried][: self._room()]
        if self.finished or self.cancelled or not targets:
            return 0
        for target in targets:
            target.seconds = seconds or target.seconds
        if after > 0:
            self._later().later(after, targets)
        elif any(branch.pending for branch in self.branches):
            self._start(targets)
        else:
            self._serial.append(targets)
        return len(targets)

    def _later(self) -> Ringing:
        if self._ringing is None:
            self._ringing = Ringing(self.core.reactor, self._start)
        return self._ringing

    def _room(self) -> int:
        waiting = len(self._ringing) if self._ringing is not None else 0
        most = self.core.max_branches
        return max(0, most - len(self.branches) - waiting - sum(len(group) for group in self._serial))

    def _forget_waiting(self) -> None:
        """Nobody is rung any more that doesn't ring yet."""
        self._serial.clear()
        if self._ringing is not None:
            self._ringing.forget()

    def add_targets(self, targets: list[Target]) -> None:
        """Try these when what runs has failed (serial forking; also from ``manage_failure``)."""
        core = self.core
        targets = targets[: self._room()]
        if not targets:
            return
        if not core.serial or len(targets) == 1:
            self._serial.append(targets)
            return
        groups: dict[float, list[Target]] = {}
        for target in targets:
            groups.setdefault(target.q, []).append(target)
        self._serial.extend(groups[q] for q in sorted(groups, reverse=True))

    def _next_group(self) -> bool:
        if self._serial:
            self._start(self._serial.pop(0))
            return True
        targets = self._ringing.first() if self._ringing is not None else []
        if targets:
            self._start(targets)
        return bool(targets)

    def _start(self, targets: list[Target]) -> None:
        begun = list[LiveBranch]()
        for target in targets:
            begun.append(LiveBranch(self, target, len(self.branches) + len(begun)))
        # Every branch is there before the first can end, or that one's failure would look like that of all.
        self.branches.extend(begun)
        for branch in begun:
            if branch.target.seconds and self.invite:
                self._later().limit(branch.target.seconds, branch.ring_out)
            branch.start()

    def budget_at(self, host: str, octets: int) -> Budget | None:
        """The rest that a stranger's request may draw at an unproved host, over all branches there.

        Args:
            octets: Of the copy that is to be sent now; they are taken off. One copy may go to each host.

        Returns:
            None where it mayn't be sent.
        """
        budgets = self._budgets
        if budgets is None:
            budgets = self._budgets = {}
        budget = budgets.get(host)
        if budget is None:
            budget = budgets[host] = Budget(octets_of(self.ctx.request))
            budget.left = max(budget.left, octets)
        if budget.take(octets):
            return budget
        self.core.counters["unsent_unproved"] += 1
        return None

    # -- what branches tell

    def on_response(self, branch: Branch, response: SipResponse, repeated: bool) -> None:
        """A provisional or 2xx response of a branch.

        Args:
            repeated: It's a 2xx that the branch gave before.
        """
        if response.status < 200:
            if not self.finished:
                self._forward(branch, response)
                if self.invite:
                    self.core.call_early(self, response)
            return
        if self.finished and not self.invite:
            return
        first = not self.finished
        self.finished = True
        self._forward(branch, response)
        if first:
            self._forget_waiting()
            if len(self.branches) > 1:
                for other in self.branches:
                    if other is not branch:
                        other.cancel(ELSEWHERE)
        if self.invite and not repeated:
            self.core.call_established(self, branch, response)
        if first:
            self._release()

    def _release(self) -> None:
        """Nobody asks for the fork any more: let go of what points in a circle, so that all of it is freed with its last
        transaction and not by the garbage collector.
        """
        self.ctx.done()
        if self._ringing is not None:
            self._ringing.end()
        for branch in self.branches:
            if branch.ended:
                branch.release()
        self.branches = []

    def on_ended(self, branch: Branch, response: SipResponse) -> None:
        """A branch has ended with 300..699, received or made here."""
        core = self.core
        watcher = core.tap.on_noted
        if watcher is not None and self.invite and branch.source == forkpolicy.LOCAL:
            parts = (branch.index, response.status, branch.blame or "server")
            watcher.noted(core.clock(), self.ctx.request.get("call-id") or "", COUNTED, parts)
        if self.finished:
            return
        if forkpolicy.cancels_others(response.status):
            self._forget_waiting()
            for other in self.branches:
                if other is not branch:
                    other.cancel(())
        if self._waiting or any(other.pending for other in self.branches):
            return
        if not self.cancelled and self._next_group():
            return
        self._all_ended()

    def _all_ended(self) -> None:
        """failure_route: the script may add targets; else the best response goes to the caller."""
        if self.invite and not self.cancelled:
            try:
                managed = self.ctx.script.manage_failure(self)
                if managed is not None:
                    self._waiting = True
                    waiting = deferred(managed)
                    waiting.addCallback(lambda _: self._failure_managed())
                    waiting.addErrback(self._failure_failed)
                    return
            except Exception:
                self._failure_failed(Failure())
                return
        self._failure_managed()

    def _failure_failed(self, failure: Failure) -> None:
        self._waiting = False
        if self.finished:
            return
        answer = answer_to(failure.value)
        if answer is None:
            self.core.failed("failure route", failure)
            answer = (500, "", ())
        self.finished = True
        self.blame = "server, failure route"
        self.ctx.reply(*answer)

    def _failure_managed(self) -> None:
        self._waiting = False
        if self.finished or (not self.cancelled and self._next_group()):
            return
        self.finished = True
        self._answer_failure()
        self._release()

    def _answer_failure(self) -> None:
        if self.cancelled and self.invite:
            self.blame = "caller"
            self.ctx.reply(487)
            return
        answers = [branch for branch in self.branches if not branch.followed] or self.branches
        branch = answers[forkpolicy.best((branch.status, branch.source) for branch in answers)]
        response = branch.response
        self.blame = "callee" if branch.source != forkpolicy.LOCAL else branch.blame or "server"
        if branch.source == forkpolicy.LOCAL or response is None:
            self._reply_local(branch, response)
            return
        status = forkpolicy.upstream_status(response.status, len(self.branches) == 1)
        if status != response.status:
            self.ctx.reply(status)
            return
        if status in forkpolicy.CHALLENGES and len(self.branches) > 1:
            response = self._gathered(branch, response)
        self.ctx.rule = ""
        self._forward(branch, response)

    def _reply_local(self, branch: Branch, response: SipResponse | None) -> None:
        """Take a final response made here. A non-INVITE that nobody answered isn't answered with 408 (RFC 4320 §4.2)."""
        status = branch.status
        if status == 408 and not self.invite:
            if self.ctx.transaction is not None:
                self.core.transactions.end(self.ctx.transaction)
            return
        if status == 430:
            # Between an edge and its registrar; a caller is told who isn't there (RFC 5626 §5.3).
            self.ctx.reply(480 if self.ctx.route is None else 481)
            return
        self.ctx.reply(status, "" if response is None else response.reason, () if response is None else own_headers(response))

    def _gathered(self, best: Branch, response: SipResponse) -> SipResponse:
        copy = response.copy()
        for branch in self.branches:
            if branch is not best and branch.response is not None and branch.status in forkpolicy.CHALLENGES:
                for name, value in challenges(branch.response):
                    copy.append(name, value)
        return copy

    def _forward(self, branch: Branch, response: SipResponse) -> None:
        changed, core = None, self.core
        if branch.token and "record-route" in response and self.ctx.route is None:
            if response.status < 300:
                changed = answered_lines(branch, response)
            else:
                # It makes no dialog, so nobody needs a way into one.
                response = response.copy()
                response.remove("record-route")
        elif core.renumbering.any and self.ctx.route is not None:
            response = renumbered(response, self.ctx.request)
        back = returned_response(response, branch.contact_line, changed)
        if not is_harmless(response) and not core.authenticator.trusts(branch.flow):
            core.counters["removed_claims"] += remove_claims(back)
        self.ctx.send_response(response.status, back.to_bytes(), PASSED)

    # -- CANCEL

    def turn_away(self, status: int, headers: tuple[tuple[str, str], ...], reason: tuple[tuple[str, str], ...]) -> None:
        """Have the caller try elsewhere: a final response of ours at once, and CANCEL for what was begun.

        Args:
            headers: ``(name, value)`` of the response.
            reason: The same for the CANCEL.
        """
        if self.finished or self.cancelled:
            return
        self.cancelled = self.finished = True
        self.blame = "server, as it stops"
        self._forget_waiting()
        self.ctx.reply(status, "", headers)
        for branch in self.branches:
            branch.cancel(reason)

    def cancel(self, reason: tuple[tuple[str, str], ...]) -> None:
        """The caller gave up (RFC 3261 §16.10)."""
        if self.finished or self.cancelled:
            return
        self.cancelled = True
        self._forget_waiting()
        if self._waiting:
            self.finished = True
            self.blame = "caller"
            self.ctx.reply(487)
            return
        for branch in self.branches:
            branch.cancel(reason)
