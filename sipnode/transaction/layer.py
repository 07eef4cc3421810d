"""The tables of live transactions, and the hand that does what the machines ask for.

Implements: RFC 3261 §17, §18 (what a transaction user sees of it). Pure: flows, the clock's wake-up and the users are
given; :meth:`TransactionLayer.advance` is called with the time.

The invariant: a key stands in the table exactly as long as its machine isn't terminated.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final, cast

from sipnode.base.flow import Flow
from sipnode.base.outbox import HOP_ACK, PASSED, REPLY, Outbox
from sipnode.base.why import Why
from sipnode.sip.build import ack_for, octets_of
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.transaction import states
from sipnode.transaction.budget import Budget
from sipnode.transaction.keys import client_key
from sipnode.transaction.machine import ClientTransaction, ServerTransaction, Transaction, TransactionUser, User
from sipnode.transaction.proof import from_same, hash_of, is_about
from sipnode.transaction.states import ACCEPTED, COMPLETED, TERMINATED
from sipnode.transaction.timers import TimerWheel, Timings

_RECV: Final = {1: states.RECV_1XX, 2: states.RECV_2XX}
_TU: Final = {1: states.TU_1XX, 2: states.TU_2XX}


class TransactionLayer:
    """All live transactions.

    Args:
        timings: Seconds of the timers.
        wake_at: Called with epoch seconds when :meth:`advance` has to be called earlier than asked for before.
        limit: Most live transactions; :attr:`full` says when it's reached.
        outbox: Where everything leaves; None for one of its own.

    Attributes:
        outbox: That one.
        limit: The one in force.
        servers: By :func:`sipnode.transaction.keys.server_key`.
        clients: By :func:`sipnode.transaction.keys.client_key`.
        dropped: Responses that belonged to nothing.
        absorbed: Retransmissions that went no further.
        created: Server transactions since the start.
        repeated: Messages that were sent once more.
        held: Live server transactions by where their request came from.
        place_of: Under what those of a flow are counted in ``held``.
        counters: What was refused how often: ``forged_responses`` had a branch of ours and came from elsewhere or named another
            call, ``foreign_repeats`` came by another flow than the request that they claim to repeat or acknowledge,
            ``unsent_unproved`` were too much for an address where nobody has proved to be.
    """

    def __init__(
        self, timings: Timings, wake_at: Callable[[float], None], limit: int = 200000, outbox: Outbox | None = None
    ) -> None:
        self.timings = timings
        self.outbox = Outbox() if outbox is None else outbox
        self.servers: dict[str, ServerTransaction] = {}
        self.clients: dict[str, ClientTransaction] = {}
        self.absorbed = 0
        self.created = 0
        self.repeated = 0
        self.held: dict[str, int] = {}
        self.place_of: Callable[[Flow], str] = lambda flow: flow.remote[0]
        self.counters = self.outbox.counters
        self.dropped = 0
        self._by_flow: dict[Flow, set[str]] = {}
        self._wheel = TimerWheel()
        self._wake_at = wake_at
        self.limit = limit

    def __len__(self) -> int:
        return len(self.servers) + len(self.clients)

    @property
    def full(self) -> bool:
        """Whether no more transactions are taken."""
        return len(self.servers) + len(self.clients) >= self.limit

    # -- server side

    def absorb(self, key: str, request: SipRequest, flow: Flow, now: float) -> bool:
        """Give a request to the server transaction that it repeats or acknowledges, if there is one.

        Args:
            flow: What it came by. Another connection of the same host repeats and acknowledges nothing.
        Returns: Whether nobody else has to see it.
        """
        transaction = self.servers.get(key)
        if transaction is None:
            return False
        if flow is not transaction.flow:
            if request.method == "ACK" and transaction.state == ACCEPTED:
                # End to end: it is judged by where it came from, as any other ACK of a 2xx.
                return False
            if not from_same(transaction.flow, flow):
                self.counters["foreign_repeats"] += 1
                return True
        if request.method == "ACK":
            self._run(transaction, transaction.feed(states.ACK), now, b"", request)
        else:
            self.absorbed += 1
            if transaction.budget is not None:
                transaction.budget.more(octets_of(request))
            self._run(transaction, transaction.feed(states.REQUEST), now, b"", None)
        return True

    def new_server(self, key: str, method: str, flow: Flow, user: User) -> ServerTransaction:
        """A server transaction for a request that is new."""
        transaction = ServerTransaction(key, method, flow, user)
        self.servers[key] = transaction
        self.created += 1
        transaction.place = place = self.place_of(flow)
        self.held[place] = self.held.get(place, 0) + 1
        return transaction

    def respond(self, transaction: ServerTransaction, status: int, data: bytes, now: float, why: Why = REPLY) -> None:
        """Send a response through its transaction.

        Args:
            data: The response's octets.
        """
        actions = transaction.feed(_TU.get(status // 100, states.TU_FINAL))
        if actions:
            # The rest of it, which isn't ignored, is sent.
            transaction.status, transaction.why = status, why
            self._run(transaction, actions, now, data, None)

    # -- client side

    def send_request(
        self, request: SipRequest, branch: str, flow: Flow, user: User, now: float, budget: Budget | None = None, why: Why = PASSED
    ) -> ClientTransaction:
        """Send a request in a client transaction of its own.

        Args:
            request: Whole, with our Via on top; kept, so it must not be changed any more.
            branch: The branch of that Via.
            budget: Of its repeats, None for any number; the first copy has been taken off.

        A flow that is closed is told to the user as ``send_failed()`` before this returns.
        """
        method = request.method
        transaction = ClientTransaction(f"{branch}\n{method}", flow, user, request, why)
        self.clients[transaction.key] = transaction
        transaction.budget = budget
        transaction.kept = request.to_bytes()
        timings = self.timings
        transaction.expires_at = now + timings.timeout
        if flow.reliable:
            self._by_flow.setdefault(flow, set()).add(transaction.key)
        else:
            transaction.interval = timings.t1
            transaction.retransmit_at = now + timings.t1
        self._schedule(transaction)
        if not self.outbox.send(now, transaction.kept, flow, why, method, 0, transaction):
            self._run(transaction, transaction.feed(states.TRANSPORT_ERROR), now, b"", None)
        return transaction

    def response_received(self, response: SipResponse, flow: Flow, now: float) -> bool:
        """Give a response to the client transaction that it belongs to, if it comes from where the request went and names the
        same call; else it is dropped and counted.

        Args:
            flow: What it came by.

        Returns:
            False when there is no such transaction.
        Raises:
            ParseError: its Via or CSeq can't be read.
        """
        transaction = self.clients.get(client_key(response))
        if transaction is None:
            self.dropped += 1
            return False
        asked, request = transaction.flow, transaction.request
        # Where it is completed a repeat passes nothing on, and the kept ACK goes where it always went.
        known = transaction.state == COMPLETED or (is_about(response, request) if request else hash_of(response) == transaction.about)
        if not known or (flow is not asked and not from_same(asked, flow)):
            self.counters["forged_responses"] += 1
            return True
        # Nobody else has seen the branch.
        asked.proved = True
        event = _RECV.get(response.status // 100, states.RECV_FINAL)
        self._run(transaction, transaction.feed(event), now, b"", response)
        return True

    def flow_closed(self, flow: Flow, now: float) -> None:
        """A connection is gone: every client transaction on it has failed (RFC 3261 §17.1.4)."""
        error: Exception | None = None
        for key in self._by_flow.pop(flow, ()):
            transaction = self.clients.get(key)
            if transaction is not None:
                try:
                    self._run(transaction, transaction.feed(states.TRANSPORT_ERROR), now, b"", None)
                except Exception as fault:
                    # One user's fault must not keep the news from the others.
                    error = error or fault
        if error is not None:
            raise error

    def end(self, transaction: Transaction) -> None:
        """Forget a transaction."""
        transaction.state = TERMINATED
        self._forget(transaction)
        transaction.user = None

    # -- time

    def next_wake(self, until: float = 0.0) -> float:
        """Epoch seconds when :meth:`advance` is needed, 0 for never.

        Args:
            until: Epoch seconds; what stands in the wheel for a time up to then is looked at, and what isn't wanted then any more is
                put where it is.
        """
        wheel = self._wheel
        while 0.0 < (when := wheel.next_wake()) <= until:
            wanted = False
            for item in wheel.advance(when):
                transaction = cast(Transaction, item)
                due = transaction.due() if transaction.state != TERMINATED else 0.0
                if due:
                    wheel.add(transaction, due)
                    wanted = wanted or due <= when
            if wanted:
                break
        return wheel.next_wake()

    def advance(self, now: float) -> None:
        """Run every timer whose time has come. A user's exception is raised when all have run."""
        error: Exception | None = None
        for item in self._wheel.advance(now):
            transaction = cast(Transaction, item)
            if transaction.state == TERMINATED:
                continue
            try:
                if transaction.expires_at and transaction.expires_at <= now:
                    transaction.expires_at = 0.0
                    self._run(transaction, transaction.feed(states.TIMEOUT), now, b"", None)
                elif transaction.retransmit_at and transaction.retransmit_at <= now:
                    self._run(transaction, transaction.feed(states.RETRANSMIT), now, b"", None)
            except Exception as fault:
                # One user's fault must not stop the timers of the others.
                error = error or fault
            if transaction.state != TERMINATED:
                self._schedule(transaction)
        if error is not None:
            raise error

    def reschedule(self, transaction: Transaction) -> None:
        """Its timers were set anew from outside (a cancelled branch)."""
        self._schedule(transaction)

    def _schedule(self, transaction: Transaction) -> None:
        when = transaction.due()
        if when and self._wheel.add(transaction, when):
            self._wake_at(self._wheel.next_wake())

    # -- actions

    def _run(
        self, transaction: Transaction, actions: tuple[int, ...], now: float, data: bytes, message: SipRequest | SipResponse | None
    ) -> None:
        """Do what a machine asked for.

        Args:
            data: The response that the event brought (SEND).
            message: The message that the event brought (PASS_UP, PASS_ACK, SEND_ACK).
        """
        timings = self.timings
        timed = False
        sent = True
        tell = -1
        for action in actions:
            if action == states.SEND:
                transaction.kept = data
                if transaction.budget is None or self._may_send(transaction, data):
                    sent = self.outbox.send(
                        now, data, transaction.flow, transaction.why, transaction.method, transaction.status, transaction
                    )
            elif action == states.PASS_UP:
                tell = action
            elif action == states.RESEND:
                if transaction.kept:
                    self.repeated += 1
                    if transaction.budget is None or self._may_send(transaction, transaction.kept):
                        sent = self.outbox.repeat(now, transaction.kept, transaction.flow, transaction.why, transaction)
            elif action == states.STOP_RETRANSMIT:
                transaction.retransmit_at = 0.0
            elif action == states.START_C:
                transaction.expires_at = now + timings.invite_timeout
            elif action == states.START_M or action == states.START_L:
                # Neither the request nor the response is needed any more: repeats are made by the far ends.
                transaction.kept = b""
                transaction.expires_at = now + timings.timeout
                timed = True
            elif action == states.START_K or action == states.START_I:
                transaction.kept = b""
                timed = self._linger(transaction, now, timings.t4)
            elif action == states.START_J or action == states.START_D:
                timed = self._linger(transaction, now, timings.timeout)
            elif action == states.START_G_H:
                transaction.expires_at = now + timings.timeout
                if not transaction.flow.reliable:
                    transaction.interval = timings.t1
                    transaction.retransmit_at = now + timings.t1
                timed = True
            elif action == states.BACK_OFF:
                interval = transaction.interval * 2
                if interval > timings.t2 and not (transaction.invite and transaction.state == states.CALLING):
                    interval = timings.t2
                self._again(transaction, now, interval)
            elif action == states.SLOW_DOWN:
                self._again(transaction, now, timings.t2)
            elif action == states.SEND_ACK:
                request = cast(ClientTransaction, transaction).request
                if request is not None:
                    transaction.kept = ack_for(request, cast(SipResponse, message)).to_bytes()
                    transaction.why = HOP_ACK
                    if transaction.budget is None or self._may_send(transaction, transaction.kept):
                        sent = self.outbox.send(now, transaction.kept, transaction.flow, HOP_ACK, "ACK", 0, transaction)
            else:
                tell = action
        state = transaction.state
        user = transaction.user
        if state == TERMINATED:
            self._forget(transaction)
        elif timed:
            self._schedule(transaction)
            if state >= ACCEPTED and isinstance(transaction, ClientTransaction):
                # Only an ACK or a CANCEL would still be built from it.
                if state == ACCEPTED and message is not None and transaction.request is not None:
                    transaction.about = hash_of(message) or -1
                transaction.request = None
        if state >= COMPLETED:
            # From here on it only absorbs repeats: whatever the user holds needn't wait for its last timer.
            transaction.user = None
        if tell >= 0 and user is not None:
            self._tell(transaction, user, tell, message)
        if not sent and transaction.state != TERMINATED:
            self._run(transaction, transaction.feed(states.TRANSPORT_ERROR), now, b"", None)

    def _again(self, transaction: Transaction, now: float, interval: float) -> None:
        """The next repeat, counted from when this one was due, so that the wheel's rounding doesn't add up."""
        transaction.interval = interval
        due = transaction.retransmit_at + interval
        transaction.retransmit_at = due if due > now else now + interval

    def _linger(self, transaction: Transaction, now: float, seconds: float) -> bool:
        """Wait for repeats where there can be any: a reliable transport has none, its timer is 0."""
        if transaction.flow.reliable:
            transaction.state = TERMINATED
            return False
        transaction.retransmit_at = 0.0
        # Nothing happens then but that it is forgotten: all of a second may wait for one another.
        transaction.expires_at = float(ceil(now + seconds))
        return True

    def _may_send(self, transaction: Transaction, data: bytes) -> bool:
        """Whether its budget allows for one more message; what it doesn't is as if it had been lost on its way."""
        budget = transaction.budget
        if budget is None or transaction.flow.proved or budget.take(len(data), transaction.state == states.PROCEEDING):
            return True
        self.counters["unsent_unproved"] += 1
        return False

    def _tell(self, transaction: Transaction, user: TransactionUser, action: int, message: SipRequest | SipResponse | None) -> None:
        if action == states.PASS_UP:
            user.response_received(cast(SipResponse, message))
        elif action == states.PASS_ACK:
            user.ack_received(cast(SipRequest, message))
        elif action == states.TELL_TIMEOUT:
            if isinstance(transaction, ClientTransaction):
                user.timed_out()
        elif isinstance(transaction, ClientTransaction):
            user.send_failed()

    def _forget(self, transaction: Transaction) -> None:
        # The user points back here; without the circle all of it is freed at once.
        transaction.user = None
        if isinstance(transaction, ServerTransaction):
            if self.servers.pop(transaction.key, None) is not None:
                place = transaction.place
                self.held[place] -= 1
                if not self.held[place]:
                    del self.held[place]
        else:
            self.clients.pop(transaction.key, None)
            cast(ClientTransaction, transaction).request = None
            if transaction.flow.reliable:
                keys = self._by_flow.get(transaction.flow)
                if keys is not None:
                    keys.discard(transaction.key)
                    if not keys:
                        del self._by_flow[transaction.flow]
