"""One subscription's NOTIFYs on their way: at most one at a time. Pure.

Implements: RFC 6665 §4.2.2 (what a NOTIFY holds), RFC 5057 §5.1 (which answers end a subscription). The invariant: each NOTIFY of a
subscription has a higher CSeq than the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.presence.proving import octets
from sipnode.presence.subscription import state_value
from sipnode.sip.message import SipRequest
from sipnode.transaction.machine import TransactionUser

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.presence.proving import Address
    from sipnode.records import Subscription
    from sipnode.sip.message import SipResponse
    from sipnode.transaction.machine import ClientTransaction

ENDING: Final = frozenset((404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604))
"""Answers to a NOTIFY after which the subscription is gone."""


class Teller:
    """The one who made a NOTIFY and is told what becomes of it: :class:`~sipnode.presence.notifier.Notifier`."""

    def answered(self, outgoing: Outgoing, response: SipResponse) -> None:
        """A final response."""
        raise NotImplementedError

    def unanswered(self, outgoing: Outgoing) -> None:
        """No response came."""
        raise NotImplementedError

    def unsent(self, outgoing: Outgoing) -> None:
        """There is no way to the subscriber."""
        raise NotImplementedError


class Outgoing(TransactionUser):
    """A NOTIFY on its way to a subscriber: the user of the NOTIFY's client transaction.

    Attributes:
        subscription: Whose it is.
        busy: A NOTIFY is under way, or waits for its connection or its number.
        dirty: There is something newer to tell.
        urgent: It goes out whatever the rate is: it answers a SUBSCRIBE, or is the last one.
        final: Subscription-State of the last NOTIFY, "" while the subscription lives.
        bodiless: The last NOTIFY tells no state.
        paced: Epoch seconds up to which the rate has been used.
        not_before: Epoch seconds before which the subscriber wants nothing (Retry-After).
        timed: Epoch seconds at which the notifier looks at it again; 0 for never.
        transaction: The client transaction, None while there is none.
        flow: Of that transaction.
        address: Where it has its turn or waits for it (:mod:`sipnode.presence.proving`), None at an address that has proved itself.
        credit: Octets that may go to such an address yet.
        tries: Client transactions of what was sent to it; the last is ``transaction``.
        next_try: Epoch seconds of the next one, 0 for none.
    """

    __slots__ = (
        "_notifier", "address", "bodiless", "busy", "credit", "dirty", "final", "flow", "next_try", "not_before", "paced", "subscription",
        "timed", "transaction", "tries", "urgent",
    )  # fmt: skip

    def __init__(self, notifier: Teller, subscription: Subscription) -> None:
        self._notifier = notifier
        self.subscription = subscription
        self.busy = False
        self.dirty = False
        self.urgent = False
        self.final = ""
        self.bodiless = False
        self.paced = 0.0
        self.not_before = 0.0
        self.timed = 0.0
        self.transaction: ClientTransaction | None = None
        self.flow: Flow | None = None
        self.address: Address | None = None
        self.credit = 0
        self.tries: list[ClientTransaction] = []
        self.next_try = 0.0

    def response_received(self, response: SipResponse) -> None:
        """An answer to the NOTIFY."""
        if response.status >= 200:
            self._notifier.answered(self, response)

    def timed_out(self) -> None:
        """There was no answer."""
        if len(self.tries) > 1:
            # The first of them is the first to time out.
            del self.tries[0]
        else:
            self._notifier.unanswered(self)

    def send_failed(self) -> None:
        """Its connection is gone; over UDP the kernel will never deliver it."""
        if self.address is not None:
            self._notifier.unanswered(self)
        else:
            self._notifier.unsent(self)


def notify(subscription: Subscription, state: str, via: str, content_type: str, body: bytes) -> SipRequest:
    """The NOTIFY with the subscription's next number, which it takes.

    Args:
        state: Subscription-State.
        via: Value of Via.
        content_type: "" for none.
    """
    subscription.local_cseq += 1
    event = f"{subscription.event};id={subscription.event_id}" if subscription.event_id else subscription.event
    names = ["via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "event", "subscription-state"]
    lines = [
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: <{subscription.local_uri}>;tag={subscription.to_tag}",
        f"To: <{subscription.remote_uri}>;tag={subscription.from_tag}",
        f"Call-ID: {subscription.call_id}",
        f"CSeq: {subscription.local_cseq} NOTIFY",
        f"Contact: <{subscription.local_contact}>",
        f"Event: {event}",
        f"Subscription-State: {state}",
    ]
    if subscription.routes:
        names.insert(1, "route")
        lines.insert(1, f"Route: {subscription.routes}")
    if body:
        names.append("content-type")
        lines.append(f"Content-Type: {content_type}")
    names.append("content-length")
    lines.append(f"Content-Length: {len(body)}")
    return SipRequest("NOTIFY", subscription.contact, names, lines, body)


def state_of(outgoing: Outgoing, now: float) -> str:
    """Subscription-State of the next NOTIFY."""
    return outgoing.final or state_value(outgoing.subscription, now)


def retry_after(response: SipResponse, most: float = 300.0) -> float:
    """Seconds of Retry-After, bounded; 0 where there is none that can be read."""
    text = (response.get("retry-after") or "").partition(";")[0].partition("(")[0].strip()
    return min(float(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def fitting(outgoing: Outgoing, state: str, via: str, content_type: str, body: bytes) -> SipRequest | None:
    """The same for an address that has answered nothing yet, paid from its credit: without the document where that is too much.

    Returns:
        None where it has no credit for a further one. A first one goes out in any case.
    """
    subscription = outgoing.subscription
    request = notify(subscription, state, via, content_type, body)
    cost = octets(request)
    if body and cost >= outgoing.credit:
        subscription.local_cseq -= 1
        request = notify(subscription, state, via, "", b"")
        cost = octets(request)
    if outgoing.tries and cost >= outgoing.credit:
        subscription.local_cseq -= 1
        return None
    outgoing.credit -= cost
    return request


def text_of(address: Address) -> str:
    """An address as :class:`~sipnode.records.Subscription` keeps it."""
    return f"{address[0]}:{address[1]}"


def has_left(outgoing: Outgoing) -> bool:
    """Whether a subscriber is reached elsewhere by now than where its NOTIFY is under way to, or waits for its turn."""
    subscription, flow, there = outgoing.subscription, outgoing.flow, outgoing.address
    if flow is not None:
        if flow.token != subscription.flow:
            return True
        there = None if flow.reliable else flow.remote
    elif there is not None and subscription.flow:
        return True
    return there is not None and bool(subscription.host) and there != (subscription.host, subscription.port)
