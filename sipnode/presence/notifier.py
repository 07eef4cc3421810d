"""Sends NOTIFYs: one at a time to each subscriber, no faster than it should be, the newest state, down its own connection.

Traffic to a UDP address that has answered nothing yet is bounded by :mod:`sipnode.presence.proving`.

Implements: RFC 6665 §4.2.2, §4.1.3; RFC 3856 §6.10 (rate). The invariant: what one subscriber does or doesn't answer changes nothing
for another; a long list of watchers is worked off in slices, between which the rest of the server goes on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sipnode.presence.agenda import Agenda
from sipnode.presence.outgoing import ENDING, Outgoing, Teller, fitting, has_left, notify, retry_after, state_of
from sipnode.presence.proving import FAIR
from sipnode.presence.unproved import Unproved
from sipnode.records import SubscriptionStatus
from sipnode.sip import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from sipnode.base.flow import Flow
    from sipnode.presence.proving import Proving
    from sipnode.records import Subscription
    from sipnode.sip.message import SipRequest, SipResponse

_SLICE: Final = 50


class Notifier(Teller):
    """NOTIFYs of all subscriptions of this node.

    Args:
        clock: Epoch seconds and delayed calls.
        compose: ``(subscription, version) -> (content type, body)`` of the state now.
        reach: ``(subscription) -> flow``, or a Deferred of it, or None where there is no way to the subscriber now.
        transmit: ``(request, branch, flow, user) -> transaction``: sends in a client transaction.
        number: ``(subscription) -> None`` when its next CSeq may be used, else a Deferred that fires when it may.
        dead: ``(subscription, reason)``: it has ended by itself.
        seconds: ``(subscription) -> float``: between two NOTIFYs in the long run.
        proving: Addresses that have answered, and the turns at those that haven't.
        kept: ``(subscription) -> None``: the address that has proved itself to it is another one.
        burst: So many may come faster before that counts.

    Attributes:
        sent: NOTIFYs that went out.
        failed: Those that ended their subscription.
        shortened: NOTIFYs whose document was left out, as their address hasn't answered yet.
    """

    def __init__(
        self,
        clock: IReactorTime,
        compose: Callable[[Subscription, int], tuple[str, bytes]],
        reach: Callable[[Subscription], Any],
        transmit: Callable[[SipRequest, str, Any, Any], Any],
        number: Callable[[Subscription], Deferred[Any] | None],
        dead: Callable[[Subscription, str], None],
        seconds: Callable[[Subscription], float],
        proving: Proving[Outgoing],
        kept: Callable[[Subscription], None],
        burst: int = 5,
    ) -> None:
        self._clock = clock
        self._compose = compose
        self._reach = reach
        self._transmit = transmit
        self._number = number
        self._dead = dead
        self._seconds = seconds
        self.proving = proving
        self._unproved = Unproved(clock, proving, self._find, self._give_up, self._at, kept)
        self._burst = burst
        self._out: dict[str, Outgoing] = {}
        self._stranded: dict[str, set[str]] = {}
        self._ready: deque[Subscription] = deque()
        self._queued: set[str] = set()
        self._agenda = Agenda(clock, self._time_has_come)
        self._pumping: IDelayedCall | None = None
        self._stopped = False
        self._log = Logger()
        self.sent = 0
        self.failed = 0
        self.shortened = 0

    # -- what the service asks

    def changed(self, subscriptions: Iterable[Subscription]) -> None:
        """The state that these watch may be another one now."""
        for one in subscriptions:
            if one.to_tag not in self._queued:
                self._queued.add(one.to_tag)
                self._ready.append(one)
        if self._pumping is None and not self._stopped:
            self._pump()

    def at_once(self, subscription: Subscription, received: int = 0) -> None:
        """Tell a subscriber its state whatever the rate is (RFC 6665 §4.2.1.2). A message under way to a connection or address that it
        has left is given up.

        Args:
            received: Octets of the SUBSCRIBE that asked for it.
        """
        self._urge(self._of(subscription), received)

    def finish(self, subscription: Subscription, reason: str, bodiless: bool = False, received: int = 0) -> None:
        """Send the last NOTIFY of a subscription that has left the table.

        Args:
            reason: ``timeout``, ``rejected``, ``noresource``, ``deactivated`` (RFC 6665 §4.1.3).
            bodiless: Tell no state.
            received: Octets of the SUBSCRIBE that ended it.
        """
        outgoing = self._of(subscription)
        outgoing.final = f"terminated;reason={reason}"
        outgoing.bodiless = bodiless
        self._urge(outgoing, received)

    def _urge(self, outgoing: Outgoing, received: int) -> None:
        if outgoing.busy and has_left(outgoing):
            self._drop(outgoing)
        outgoing.credit += FAIR * received
        outgoing.dirty = outgoing.urgent = True
        outgoing.not_before = 0.0
        self._go(outgoing)

    def forget(self, subscription: Subscription) -> None:
        """Say no more to it: another node does."""
        outgoing = self._out.get(subscription.to_tag)
        if outgoing is not None:
            self._drop(outgoing)
            self._gone(outgoing)

    def wake(self, key: str) -> None:
        """A device has registered again: what waits for its connection goes out."""
        for tag in self._stranded.pop(key, ()):
            outgoing = self._out.get(tag)
            if outgoing is not None:
                self._go(outgoing)

    @property
    def waiting(self) -> int:
        """Subscriptions with something under way or to be told."""
        return len(self._out) + len(self._ready)

    @property
    def waits_for_keys(self) -> bool:
        """Whether :meth:`wake` has anything to do."""
        return bool(self._stranded)

    def stop(self) -> None:
        """No more timers."""
        self._stopped = True
        self._agenda.stop()
        if self._pumping is not None and self._pumping.active():
            self._pumping.cancel()

    # -- slices and times

    def _pump(self) -> None:
        self._pumping = None
        for _ in range(min(_SLICE, len(self._ready))):
            subscription = self._ready.popleft()
            self._queued.discard(subscription.to_tag)
            outgoing = self._of(subscription)
            outgoing.dirty = True
            try:
                self._go(outgoing)
            except Exception:
                self._log.failure("a NOTIFY failed")
        if self._ready and not self._stopped:
            self._pumping = self._clock.callLater(0, self._pump)

    def _at(self, when: float, outgoing: Outgoing) -> None:
        if 0.0 < outgoing.timed <= when:
            return
        outgoing.timed = when
        self._agenda.add(when, outgoing.subscription.to_tag)

    def _time_has_come(self, tag: str) -> None:
        outgoing = self._out.get(tag)
        if outgoing is not None:
            outgoing.timed = 0.0
            if not outgoing.next_try:
                self._go(outgoing)
            elif outgoing.flow is not None and self._unproved.is_time(outgoing) and self._number(outgoing.subscription) is None:
                self._out_with(outgoing, outgoing.flow)

    # -- one subscription

    def _of(self, subscription: Subscription) -> Outgoing:
        outgoing = self._out.get(subscription.to_tag)
        if outgoing is None:
            outgoing = self._out[subscription.to_tag] = Outgoing(self, subscription)
        return outgoing

    def _go(self, outgoing: Outgoing) -> None:
        """Send what there is to tell as soon as it may go out."""
        if outgoing.busy:
            return
        now = self._clock.seconds()
        if not outgoing.dirty:
            if outgoing.paced <= now:
                self._gone(outgoing)
            else:
                self._at(outgoing.paced, outgoing)
            return
        if not outgoing.urgent:
            seconds = self._seconds(outgoing.subscription)
            due = max(outgoing.paced - (self._burst - 1) * seconds, outgoing.not_before)
            if due > now:
                self._at(due, outgoing)
                return
            outgoing.paced = max(outgoing.paced, now) + seconds
        outgoing.busy = True
        waiting = self._number(outgoing.subscription)
        if waiting is None:
            self._find(outgoing)
        else:
            waiting.addBoth(lambda _: self._find(outgoing))

    def _find(self, outgoing: Outgoing) -> None:
        flow = self._reach(outgoing.subscription)
        if isinstance(flow, Deferred):
            flow.addCallbacks(lambda found: self._send(outgoing, found), lambda failure: self._nowhere(outgoing, failure))
            flow.addErrback(lambda failure: self._log.failure("a NOTIFY failed", failure))
        else:
            self._send(outgoing, flow)

    def _send(self, outgoing: Outgoing, flow: Flow | None) -> None:
        subscription = outgoing.subscription
        if self._out.get(subscription.to_tag) is not outgoing or self._stopped:
            return
        if flow is None:
            self.unsent(outgoing)
            return
        if not flow.reliable and not self._unproved.may(outgoing, flow.remote):
            return
        outgoing.dirty = outgoing.urgent = False
        self._out_with(outgoing, flow)

    def _out_with(self, outgoing: Outgoing, flow: Flow) -> None:
        subscription = outgoing.subscription
        content_type, body = "", b""
        if not outgoing.bodiless and subscription.status == SubscriptionStatus.ACTIVE:
            content_type, body = self._compose(subscription, subscription.local_cseq)
        branch = ids.new_branch()
        via = f"SIP/2.0/{flow.transport} {flow.listener.via_host}:{flow.listener.via_port};branch={branch}"
        if not flow.reliable:
            via += ";rport"
        state = state_of(outgoing, self._clock.seconds())
        if outgoing.address is None:
            request = notify(subscription, state, via, content_type, body)
        else:
            found = fitting(outgoing, state, via, content_type, body)
            if found is None:
                return
            request = found
            if body and not request.body:
                self.shortened += 1
                outgoing.dirty = outgoing.urgent = True
        self.sent += 1
        outgoing.flow = flow
        transaction = self._transmit(request, branch, flow, outgoing)
        if outgoing.busy:
            outgoing.transaction = transaction
            if outgoing.address is not None:
                self._unproved.sent(outgoing, transaction)

    def _give_up(self, outgoing: Outgoing) -> None:
        """Its address doesn't answer."""
        self._idle(outgoing)
        if outgoing.final:
            self._gone(outgoing)
        else:
            self._end(outgoing, "no answer")

    def _drop(self, outgoing: Outgoing) -> None:
        """Give up what is under way."""
        if outgoing.transaction is not None:
            outgoing.transaction.retransmit_at = 0.0
        self._idle(outgoing)
        self._unproved.leave(outgoing)
        outgoing.credit = 0

    def _gone(self, outgoing: Outgoing) -> None:
        subscription = outgoing.subscription
        self._out.pop(subscription.to_tag, None)
        self._unproved.leave(outgoing)
        stranded = self._stranded.get(subscription.key)
        if stranded is not None:
            stranded.discard(subscription.to_tag)
            if not stranded:
                del self._stranded[subscription.key]

    # -- what becomes of a NOTIFY

    def answered(self, outgoing: Outgoing, response: SipResponse) -> None:
        """A final response."""
        flow, status = outgoing.flow, response.status
        self._idle(outgoing)
        if status < 300 and flow is not None and not flow.reliable:
            self._unproved.answered(outgoing, flow.remote)
        else:
            self._unproved.leave(outgoing)
        if self._last(outgoing):
            return
        if status in ENDING:
            self._end(outgoing, f"answered with {status}")
            return
        if status == 408:
            self._end(outgoing, "no answer")
            return
        seconds = retry_after(response) if status >= 300 else 0.0
        if seconds:
            outgoing.dirty = True
            outgoing.not_before = self._clock.seconds() + seconds
        self._go(outgoing)

    def unanswered(self, outgoing: Outgoing) -> None:
        """No response came."""
        flow = outgoing.flow
        self._idle(outgoing)
        if flow is not None and not flow.reliable and self._unproved.unanswered(outgoing, flow.remote):
            return
        if not self._last(outgoing):
            self._end(outgoing, "no answer")

    def unsent(self, outgoing: Outgoing) -> None:
        """There is no way to the subscriber: the newest state waits until it is back, or until its subscription ends."""
        self._idle(outgoing)
        if outgoing.final:
            self._gone(outgoing)
            return
        outgoing.dirty = True
        outgoing.paced = 0.0
        key = outgoing.subscription.key
        if key:
            self._stranded.setdefault(key, set()).add(outgoing.subscription.to_tag)

    def _nowhere(self, outgoing: Outgoing, failure: Failure) -> None:
        if self._out.get(outgoing.subscription.to_tag) is outgoing:
            self._idle(outgoing)
            if outgoing.final:
                self._gone(outgoing)
            else:
                self._end(outgoing, failure.getErrorMessage())

    def _idle(self, outgoing: Outgoing) -> None:
        """Nothing is under way any more; what is heard of it from now on isn't meant."""
        transaction = outgoing.transaction
        outgoing.busy = False
        outgoing.transaction = outgoing.flow = None
        if transaction is not None:
            transaction.user = None
        for each in outgoing.tries:
            each.user = None
        outgoing.tries.clear()
        outgoing.next_try = 0.0

    def _last(self, outgoing: Outgoing) -> bool:
        """Whether that was the last NOTIFY; one that was asked for meanwhile goes out first."""
        if not outgoing.final:
            return False
        if outgoing.dirty and outgoing.urgent:
            self._go(outgoing)
        else:
            self._gone(outgoing)
        return True

    def _end(self, outgoing: Outgoing, reason: str) -> None:
        self.failed += 1
        self._gone(outgoing)
        self._dead(outgoing.subscription, reason)
