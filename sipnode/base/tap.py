"""The tap: all that happens to messages and calls, as typed events for those who watch. Pure.

Where something happens one attribute is looked at, and where nobody has subscribed that is all that it costs::

    watcher = tap.on_sent
    if watcher is not None:
        watcher.sent(now, data, flow, why, method, status, transaction)

An event holds what is at hand: octets and messages as they are, never a copy, and never a sentence; sentences for people are made in
``sipnode.observe``. The invariant: a watcher that raises costs no message, and hides nothing from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from sipnode.base.native import mypyc_attr

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.base.why import Why
    from sipnode.sip.message import SipRequest, SipResponse

PROVED: Final = "proved"
"""The caller has proved a password. ``(user@domain,)``"""
LOCATED: Final = "located"
"""The callee is registered. ``(user@domain, [contact, …])``"""
BRANCHED: Final = "branched"
"""A branch goes out. ``(index, method, uri, transport, (host, port))``"""
COUNTED: Final = "counted"
"""A branch has ended without a final response from its callee. ``(index, status it counts as, who is behind it)``"""
BARRED: Final = "barred"
"""A branch mayn't go where its message says. ``(index, why)``"""
ABANDONED: Final = "abandoned"
"""The caller's connection is gone, so the call is cancelled. ``()``"""
LOST: Final = "lost"
"""A branch can't go by its connection, as that is gone. ``(index, which, whose, seconds since, why)``; which is "" where nobody knows."""
REFUSED: Final = "refused"
"""A refusal goes to the caller. ``(status, method, transport, (host, port), stage that decided it or "")``"""
TRACED: Final = "traced"
"""The routing script has named a trace that the call belongs to. ``(traceparent,)``"""

MEDIA: Final = "media"
DNS: Final = "dns"
DATABASE: Final = "database"


@mypyc_attr(allow_interpreted_subclasses=True)
class Watcher:
    """Events as methods that do nothing: a watcher overrides those of the events that it wants.

    All times are epoch seconds. A watcher keeps what it likes of an event, and changes nothing.

    Attributes:
        never_raises: It is called without a net.
    """

    never_raises: ClassVar[bool] = False

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """A request came that can be read, repeats included; its Via hasn't been stamped yet.

        Args:
            data: Octets as they came. flow: By which.
        """

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """The same of a response, whether it belongs to something or not."""

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        """A message that came can't be read."""

    def begun(self, now: float, request: SipRequest, flow: Flow) -> None:
        """A request is new: it goes to the routing script.

        Args:
            flow: By which its answers go.
        """

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """A message has left.

        Args:
            method: Of the request, or of the one that a response answers.
            status: Of a response; 0 for a request.
            transaction: The client's or server's that it belongs to; None for one without state.
        """

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        """The same octets have left once more: nobody has answered them, or the other end has repeated what they answer."""

    def unsent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        """A message couldn't leave: its connection is gone."""

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        """The routing script has decided on a request.

        Args:
            stage: Its stage that did. verdict: Name of the verdict, or the status of its refusal.
        """

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[object, ...]) -> None:
        """Something became known of a call.

        Args:
            fact: A constant of this module, which says what the parts are.
        """

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        """Something outside was asked on behalf of a call.

        Args:
            whom: ``media``, ``dns`` or ``database``. what: The command, or the name that was looked for.
        """

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[object, ...]) -> None:
        """The answer to that came.

        Args:
            fault: "" for a good one, else what was wrong.
            parts: Of a good one: for ``media`` ``(node, what the node calls the call, what it was asked for)``, for ``dns`` the addresses.
        """

    def ended(self, call: object) -> None:
        """A call has ended: :class:`sipnode.dialog.call.Call`, with its outcome."""

    def closed(self, now: float, flow: Flow, reason: str) -> None:
        """A connection is gone; what that means for its calls and bindings is told after it.

        Args:
            reason: In words, from whoever closed it.
        """


EVENTS: Final = (
    "request_received", "response_received", "broken_received", "begun", "sent", "resent", "unsent", "decided", "noted", "asked",
    "answered", "ended", "closed",
)  # fmt: skip


class Tap:
    """The watchers of each event.

    Attributes:
        on_request_received: Whom to tell of that event, None while nobody wants to know; so for each event of :class:`Watcher`.
        failed: Told of a watcher that has raised, while the exception is handled.
    """

    __slots__ = (
        "_watchers", "failed", "on_answered", "on_asked", "on_begun", "on_broken_received", "on_closed", "on_decided", "on_ended",
        "on_noted", "on_request_received", "on_resent", "on_response_received", "on_sent", "on_unsent",
    )  # fmt: skip

    def __init__(self) -> None:
        self._watchers: tuple[Watcher, ...] = ()
        self.failed: Callable[[Watcher], None] = _nobody
        self.on_request_received: Watcher | None = None
        self.on_response_received: Watcher | None = None
        self.on_broken_received: Watcher | None = None
        self.on_begun: Watcher | None = None
        self.on_sent: Watcher | None = None
        self.on_resent: Watcher | None = None
        self.on_unsent: Watcher | None = None
        self.on_decided: Watcher | None = None
        self.on_noted: Watcher | None = None
        self.on_asked: Watcher | None = None
        self.on_answered: Watcher | None = None
        self.on_ended: Watcher | None = None
        self.on_closed: Watcher | None = None

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """All that have subscribed."""
        return self._watchers

    def subscribe(self, watcher: Watcher) -> None:
        """Tell a watcher from now on of the events whose methods it overrides; one that is told already stays where it is."""
        if watcher not in self._watchers:
            self._watchers = (*self._watchers, watcher)
            self._settle()

    def unsubscribe(self, watcher: Watcher) -> None:
        """Tell it no more; one that isn't told is no fault."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)
        self._settle()

    def _settle(self) -> None:
        for event in EVENTS:
            wanted = tuple(each for each in self._watchers if getattr(type(each), event) is not getattr(Watcher, event))
            told: Watcher | None = None
            if len(wanted) == 1 and wanted[0].never_raises:
                told = wanted[0]
            elif wanted:
                told = _Several(wanted, self)
            setattr(self, f"on_{event}", told)


def _nobody(_watcher: Watcher) -> None:
    """Nobody wants to know."""


class _Several(Watcher):
    """Tells each of several watchers, whatever another one raises."""

    __slots__ = ("_tap", "_watchers")

    def __init__(self, watchers: tuple[Watcher, ...], tap: Tap) -> None:
        self._watchers = watchers
        self._tap = tap

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        for watcher in self._watchers:
            try:
                watcher.request_received(now, data, request, flow)
            except Exception:
                self._tap.failed(watcher)

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        for watcher in self._watchers:
            try:
                watcher.response_received(now, data, response, flow)
            except Exception:
                self._tap.failed(watcher)

    def broken_received(self, now: float, data: bytes, flow: Flow) -> None:
        for watcher in self._watchers:
            try:
                watcher.broken_received(now, data, flow)
            except Exception:
                self._tap.failed(watcher)

    def begun(self, now: float, request: SipRequest, flow: Flow) -> None:
        for watcher in self._watchers:
            try:
                watcher.begun(now, request, flow)
            except Exception:
                self._tap.failed(watcher)

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        for watcher in self._watchers:
            try:
                watcher.sent(now, data, flow, why, method, status, transaction)
            except Exception:
                self._tap.failed(watcher)

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        for watcher in self._watchers:
            try:
                watcher.resent(now, data, flow, why, transaction)
            except Exception:
                self._tap.failed(watcher)

    def unsent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object | None) -> None:
        for watcher in self._watchers:
            try:
                watcher.unsent(now, data, flow, why, transaction)
            except Exception:
                self._tap.failed(watcher)

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        for watcher in self._watchers:
            try:
                watcher.decided(now, request, stage, verdict)
            except Exception:
                self._tap.failed(watcher)

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[object, ...]) -> None:
        for watcher in self._watchers:
            try:
                watcher.noted(now, call_id, fact, parts)
            except Exception:
                self._tap.failed(watcher)

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        for watcher in self._watchers:
            try:
                watcher.asked(now, call_id, whom, what)
            except Exception:
                self._tap.failed(watcher)

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[object, ...]) -> None:
        for watcher in self._watchers:
            try:
                watcher.answered(now, call_id, whom, what, fault, parts)
            except Exception:
                self._tap.failed(watcher)

    def ended(self, call: object) -> None:
        for watcher in self._watchers:
            try:
                watcher.ended(call)
            except Exception:
                self._tap.failed(watcher)

    def closed(self, now: float, flow: Flow, reason: str) -> None:
        for watcher in self._watchers:
            try:
                watcher.closed(now, flow, reason)
            except Exception:
                self._tap.failed(watcher)
