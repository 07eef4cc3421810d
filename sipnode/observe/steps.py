"""The steps of each call, as they happen: watchers of the tap that keep facts, and make sentences of them for those who ask.

The invariant: whatever is sent, there are at most ``MOST_CALLS`` calls with ``MOST_STEPS`` steps each.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipnode.base.tap import DATABASE, Watcher
from sipnode.errors import ParseError
from sipnode.observe.sentences import AGAIN, ANSWER, BACK, CAME, DECIDED, FAULT, WENT, Noted, Step, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.base.why import Why
    from sipnode.sip.message import SipRequest, SipResponse

MOST_CALLS: Final = 5000
MOST_STEPS: Final = 64

CALL_METHODS: Final = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "REFER", "INFO"))
"""Methods that belong to the life of a call."""
_TELLING: Final = CALL_METHODS - {"ACK", "BYE"}
"""Facts noted where only failures are of interest: a good end is told by the line about the outcome."""
_CALL_ID: Final = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$")


class StepTable:
    """Steps by Call-ID; the calls that were noted first are forgotten first.

    Attributes:
        calls: All of them.
        written: Told of each step at once: Call-ID, the step, epoch seconds of the first; None while nobody wants that.
    """

    __slots__ = ("calls", "written")

    def __init__(self) -> None:
        self.calls: OrderedDict[str, list[Noted]] = OrderedDict()
        self.written: Callable[[str, Step, float], None] | None = None

    def note(self, call_id: str, noted: Noted) -> None:
        """Something happened to a call; what has no Call-ID is no call."""
        steps = self.calls.get(call_id)
        if steps is None:
            if not call_id:
                return
            steps = self.calls[call_id] = []
            if len(self.calls) > MOST_CALLS:
                self.calls.popitem(last=False)
        if len(steps) < MOST_STEPS:
            steps.append(noted)
            if self.written is not None:
                self.written(call_id, step(noted), steps[0][0])

    def of(self, call_id: str) -> list[Step]:
        """The steps of a call, oldest first; none where it isn't known (any more)."""
        return [step(noted) for noted in self.calls.get(call_id, ())]

    def forget(self, call_id: str) -> None:
        """Nobody will ask for them."""
        self.calls.pop(call_id, None)

    def last(self, count: int) -> list[str]:
        """Call-IDs that something was noted of, the newest last."""
        return list(self.calls)[-count:]


class Steps(Watcher):
    """Notes what may tell why a call failed.

    Args:
        table: Where.
    """

    __slots__ = ("_table",)

    never_raises: ClassVar[bool] = True

    def __init__(self, table: StepTable) -> None:
        self._table = table

    def begun(self, now: float, request: SipRequest, flow: Flow) -> None:
        """A new request of a call."""
        method = request.method
        if method in _TELLING:
            self._table.note(request.get("call-id") or "", (now, CAME, (method, request.uri, flow.transport, flow.remote)))

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """It rings, or refuses; the call that is up didn't fail."""
        status = response.status
        if status >= 300 or 100 < status < 200:
            self._answer(now, response, flow)

    def _answer(self, now: float, response: SipResponse, flow: Flow) -> None:
        try:
            method = response.cseq_method
        except ParseError:
            return
        if method in CALL_METHODS:
            parts = (response.status, response.reason, method, flow.transport, flow.remote)
            self._table.note(response.get("call-id") or "", (now, ANSWER, parts))

    def noted(self, now: float, call_id: str, fact: str, parts: tuple[Any, ...]) -> None:
        """Kept as it is."""
        table = self._table
        steps = table.calls.get(call_id)
        if steps is not None and table.written is None and len(steps) < MOST_STEPS:
            # As nearly always; one call less.
            steps.append((now, fact, parts))
        else:
            table.note(call_id, (now, fact, parts))

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """Note answers of the media relay and DNS; of the database only that it failed."""
        if fault:
            self._table.note(call_id, (now, FAULT, (whom, what, fault)))
        elif whom != DATABASE:
            self._table.note(call_id, (now, whom, (what, *parts)))


class WholeSteps(Steps):
    """Notes everything, what only passes something on too."""

    __slots__ = ()

    def begun(self, now: float, request: SipRequest, flow: Flow) -> None:
        """A new request of a call."""
        method = request.method
        if method in CALL_METHODS:
            self._table.note(request.get("call-id") or "", (now, CAME, (method, request.uri, flow.transport, flow.remote)))

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """Any answer but 100."""
        if response.status > 100:
            self._answer(now, response, flow)

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """Note what is passed on; a branch with its INVITE, and a refusal, are facts of their own."""
        if method not in CALL_METHODS:
            return
        if 100 < status < 300:
            self._table.note(_call_id(data), (now, BACK, (status, method, flow.transport, flow.remote)))
        elif not status and method != "INVITE":
            self._table.note(_call_id(data), (now, WENT, (_start(data), flow.transport, flow.remote)))

    def resent(self, now: float, data: bytes, flow: Flow, why: Why, transaction: object) -> None:
        """It goes once more."""
        if getattr(transaction, "method", "") in CALL_METHODS:
            self._table.note(_call_id(data), (now, AGAIN, (_start(data), flow.transport, flow.remote)))

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        """Which stage decided on a request of a call, and how."""
        if request.method in CALL_METHODS:
            self._table.note(request.get("call-id") or "", (now, DECIDED, (request.method, stage, verdict)))

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """Note any question."""
        noted = (now, FAULT, (whom, what, fault)) if fault else (now, whom, (what, *parts))
        self._table.note(call_id, noted)


def _call_id(data: bytes) -> str:
    """The Call-ID in octets that leave."""
    found = _CALL_ID.search(data)
    return found[1].decode("utf-8", "surrogateescape") if found else ""


def _start(data: bytes) -> str:
    """The start line, without the version."""
    return data.partition(b"\r\n")[0].decode("utf-8", "replace").removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")
