"""The effect of a SUBSCRIBE on a subscription: a decision, nothing is done here.

Implements: RFC 6665 §4.2.1 (subscribers' requests at the notifier), §4.4.1 (dialogs), RFC 3261 §12.1.1, §12.2.2. Pure. The invariant: a
plan is whole or refused; a subscription that is refused a refresh stays as it was (RFC 6665 §4.1.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sipnode.errors import ParseError
from sipnode.presence.fields import LONGEST, Refused, acceptable, event_of, expires_of, granted
from sipnode.records import Subscription, SubscriptionStatus
from sipnode.sip.address import NameAddr
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.settings import PresenceSettings
    from sipnode.sip.message import SipRequest

_ROUTES: Final = 1024


@dataclass(slots=True)
class Origin:
    """Where a SUBSCRIBE came from, as its subscription keeps it: see :class:`sipnode.records.Subscription`."""

    socket: str = ""
    local_contact: str = ""
    flow: str = ""
    key: str = ""
    host: str = ""
    port: int = 0
    websocket: bool = False
    node: int = 0
    source: str = ""


@dataclass(slots=True)
class SubscribePlan:
    """The answer to a SUBSCRIBE and what becomes of the subscription.

    Attributes:
        status: 200, or a refusal.
        headers: ``(canonical name, value)`` of the response.
        subscription: As it is after a 200; None for a refusal.
        ends: Expires was 0: it gets its state once more and is gone.
    """

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    subscription: Subscription | None = None
    ends: bool = False


def begin(
    request: SipRequest,
    resource: str,
    watcher: str,
    package: Any,
    origin: Origin,
    status: int,
    to_tag: str,
    now: float,
    settings: PresenceSettings,
) -> SubscribePlan:
    """Decide about a SUBSCRIBE outside of any dialog, from a watcher whom policy lets.

    Args:
        status: :class:`~sipnode.records.SubscriptionStatus` by policy: ACTIVE or PENDING.
        to_tag: Ours, of the new dialog.
    """
    try:
        _require(request)
        content_type = acceptable(request, package.content_types)
        seconds = granted(expires_of(request, package.default_expires), settings.min_expires, settings.max_expires)
        contact = _contact(request)
        event_id = event_of(request)[1]
        routes = ", ".join(request.values("record-route")) if "record-route" in request else ""
        if len(routes) > _ROUTES:
            raise ParseError("Record-Route too long")
        call_id, from_tag = request.call_id, request.from_.tag
        if len(call_id) > LONGEST or len(from_tag) > 128 or not from_tag:
            raise ParseError("Call-ID or tag can't be kept")
        made = Subscription(
            resource,
            package.name,
            event_id,
            watcher,
            to_tag,
            from_tag,
            call_id,
            _address(request.to),
            _address(request.from_),
            contact,
            now + seconds,
            request.cseq,
            0,
            0,
            routes,
            status,
            "",
            origin.socket,
            origin.local_contact,
            (request.get("user-agent") or "")[:LONGEST],
            content_type if content_type != package.content_types[0] else "",
            origin.flow,
            origin.key,
            origin.host,
            origin.port,
            origin.websocket,
            origin.node,
            now,
            origin.source,
        )
    except Refused as refusal:
        return SubscribePlan(refusal.status, refusal.reason, refusal.headers)
    except ParseError as error:
        return SubscribePlan(error.status, error.reason if error.status == 400 else "")
    return SubscribePlan(200, "", _answer(request, seconds, origin), made, not seconds)


def is_of(request: SipRequest, there: Subscription | None, now: float) -> bool:
    """Whether a subscription is the dialog that a request names."""
    return there is not None and request.call_id == there.call_id and request.from_.tag == there.from_tag and there.expires > now


def go_on(
    request: SipRequest,
    there: Subscription | None,
    package: Any,
    origin: Origin,
    is_watcher: bool,
    now: float,
    settings: PresenceSettings,
) -> SubscribePlan:
    """Decide about a SUBSCRIBE inside a dialog.

    Args:
        there: The subscription that its To tag names, None for an unknown one.
        package: The IEventPackage of that subscription.
        is_watcher: It comes from the one who subscribed.
    """
    try:
        event, event_id = event_of(request)
        if there is None or not is_of(request, there, now):
            raise Refused(481)
        if not is_watcher:
            raise Refused(403, "Not your subscription")
        if event != there.event or event_id != there.event_id:
            # Another usage of the same dialog would be one more subscription in it, which RFC 6665 §4.5.2 has abolished.
            raise Refused(481)
        if request.cseq <= there.remote_cseq:
            raise Refused(500, "CSeq out of order")
        _require(request)
        seconds = granted(expires_of(request, package.default_expires), settings.min_expires, settings.max_expires)
        kept = replace(
            there,
            contact=_contact(request) if "contact" in request else there.contact,
            expires=now + seconds,
            remote_cseq=request.cseq,
            socket=origin.socket,
            flow=origin.flow,
            key=origin.key or there.key,
            host=origin.host,
            port=origin.port,
            websocket=origin.websocket,
            node=origin.node,
            source=origin.source,
        )
    except Refused as refusal:
        return SubscribePlan(refusal.status, refusal.reason, refusal.headers)
    except ParseError as error:
        return SubscribePlan(error.status, error.reason if error.status == 400 else "")
    return SubscribePlan(200, "", _answer(request, seconds, origin), kept, not seconds)


def state_value(subscription: Subscription, now: float) -> str:
    """Subscription-State of one that lives (RFC 6665 §4.1.3)."""
    word = "pending" if subscription.status == SubscriptionStatus.PENDING else "active"
    return f"{word};expires={max(0, round(subscription.expires - now))}"


def _answer(request: SipRequest, seconds: int, origin: Origin) -> tuple[tuple[str, str], ...]:
    routes = tuple(("record-route", value) for value in request.get_all("record-route"))
    return (*routes, ("expires", str(seconds)), ("contact", f"<{origin.local_contact}>"))


def _require(request: SipRequest) -> None:
    if "require" in request:
        raise Refused(420, "", (("unsupported", ", ".join(request.get_all("require"))),))


def _contact(request: SipRequest) -> str:
    values = request.values("contact")
    if len(values) != 1:
        raise ParseError("a subscription needs one Contact")
    text = NameAddr.parse(values[0]).uri_text
    if len(text) > LONGEST or not text.isprintable() or SipUri.parse(text).scheme not in ("sip", "sips"):
        raise ParseError("a Contact that can't be used")
    return text


def _address(address: NameAddr) -> str:
    text = address.uri_text
    if len(text) > LONGEST or not text.isprintable():
        raise ParseError("From or To can't be kept")
    return text
