"""The life of each call, step by step, and one line about its outcome.

Steps (:mod:`sipnode.observe.steps`) become lines of the log when the call has failed, at once with ``[log] calls = "all"``, and never
with ``"none"``. The steps of calls that are up, and of the last that failed, stay in memory for those who ask by their Call-ID. Each line
begins with the Call-ID, so that one grep finds all of them. Lines about calls that went well, which are most, are written together a few
times a second: a line by itself costs as much as half of the call.

The invariant: whatever is sent, there are no more lines a second than the buckets let through; what isn't written is summed up. What
strangers send who are refused has buckets of its own, so that their flood hides no call of a user.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.base.tap import Watcher
from sipnode.observe.sentences import Step, plain
from sipnode.observe.steps import Steps, StepTable, WholeSteps
from sipnode.observe.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from sipnode.base.tap import Tap

SUM_SECONDS: Final = 10.0
TOGETHER_SECONDS: Final = 0.2
MOST_TOGETHER: Final = 500
OUTCOMES_A_SECOND: Final = 50
"""Of calls that nobody answered; those that were answered cost their users too much for a flood."""
LIVES_A_SECOND: Final = 5
REASON_SECONDS: Final = 1.0
"""After the end of a call that failed its reason is looked for."""
MOST_OF_A_REASON: Final = 600
"""Characters."""
STRANGERS_A_SECOND: Final = 10
"""Of calls of strangers that this server has refused; their lives are written for the first of a second only."""

_SETTLED: Final = frozenset({"completed", "cancelled", "busy", "declined", "ended", "no answer", "not found"})


class Outcome:
    """The line about the outcome of a call, not made yet.

    Args:
        call: It has ended.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    @property
    def when(self) -> float:
        """Epoch seconds."""
        ended: float = self._call.ended
        return ended

    @property
    def call_id(self) -> str:
        """Call-ID, fit for a line."""
        return plain(self._call.call_id)

    @property
    def text(self) -> str:
        """The fields of the line."""
        return sentence(self._call)

    @property
    def facts(self) -> dict[str, Any]:
        """The same for the JSON form."""
        return facts_of(self._call)

    def __str__(self) -> str:
        return f"{self.call_id}: {self.text}"


class Together(list[Outcome]):
    """Outcomes that are one event of the log; whoever writes the log makes lines of them, else they are lines of one text."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


class IRecorded(Protocol):
    """Who has the steps of calls."""

    def life(self, call_id: str) -> list[Step]:
        """The steps of a call that may tell why it failed, oldest first; none where it isn't known (any more)."""

    def newest(self, count: int) -> list[str]:
        """Call-IDs of which something is known, the newest last."""


class _Ends(Watcher):
    """Watches the ends of calls.

    Args:
        told: Gets each call that has ended.
    """

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[Any], None]) -> None:
        self._told = told

    def ended(self, call: Any) -> None:
        """One has."""
        self._told(call)


class CallHistory(Service):
    """Steps and outcomes.

    Args:
        reactor: Clock and delayed calls.
        mode: ``[log] calls``: 'failed', 'all' or 'none'.
        tap: What it watches.

    Attributes:
        mode: The one in force.
        steps: Those of each call.
        outcomes: Calls that ended, by outcome. timings: How long they took to begin, as histograms.
        explained: Gives the reason of a call that failed, and what to do about it, by its Call-ID, "" where that isn't
            known; None where nobody can tell.
        talked: Seconds that answered calls lasted, together.
    """

    name = "calls"

    def __init__(self, reactor: Any, mode: str, tap: Tap) -> None:
        # Not on the class: there Twisted would make another one each time, and call it by the class.
        self.log: Any = Logger(namespace="sipnode.call")
        self.steps = StepTable()
        self._tap = tap
        self._watcher: Steps | None = None
        self._recorded: IRecorded | None = None
        self.set_mode(mode)
        tap.subscribe(_Ends(self.ended))
        self.outcomes: Counter[str] = Counter()
        self.timings = Timings()
        self.talked = 0.0
        self._clock: Callable[[], float] = reactor.seconds
        self._reactor = reactor
        self.explained: Callable[[str], str] | None = None
        self._settled: list[Any] = []
        self._call: IDelayedCall | None = None
        self._left_out: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()
        self._summing = LoopingCall(self.sum_up)
        self._summing.clock = reactor
        self._second = 0

    def startService(self) -> None:
        """Begin to sum up."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._summing.start(SUM_SECONDS, now=False)

    def stopService(self) -> Any:
        """Write what waits."""
        if self._summing.running:
            self._summing.stop()
        self.write_settled()
        self.sum_up()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def set_mode(self, mode: str) -> None:
        """Another mode; with 'none' nobody pays for steps."""
        self.mode = mode
        self.steps.written = self._write if mode == "all" else None
        if self._watcher is not None:
            self._tap.unsubscribe(self._watcher)
        noted = mode == "all" or (mode == "failed" and self._recorded is None)
        self._watcher = None if not noted else WholeSteps(self.steps) if mode == "all" else Steps(self.steps)
        if self._watcher is not None:
            self._tap.subscribe(self._watcher)

    def recorded_by(self, recorded: IRecorded) -> None:
        """Calls are recorded anyway: from now on their steps are read there, and nobody notes them a second time."""
        self._recorded = recorded
        self.set_mode(self.mode)

    # -- what the tap tells

    def ended(self, call: Any) -> None:
        """A call has ended: the line about its outcome, and the life of one that failed."""
        self.outcomes[call.outcome] += 1
        self.talked += call.duration
        stranger = call.ended_by == "server" and not call.proved
        if not stranger:
            self.timings.ended(call)
        if stranger:
            if not self._may("stranger", STRANGERS_A_SECOND):
                self._refused[call.rule or call.outcome] += 1
                # Nobody will ask; the steps of others keep their place.
                self.steps.forget(call.call_id)
                return
        elif not call.answered and not self._may("outcome", OUTCOMES_A_SECOND):
            self._left_out[call.outcome] += 1
            return
        if call.outcome in _SETTLED:
            if call.outcome == "completed" and self.mode != "all":
                # Most calls end so, and nobody asks what led there: its memory is the next call's.
                self.steps.forget(call.call_id)
            self._settled.append(call)
            if len(self._settled) >= MOST_TOGETHER:
                self.write_settled()
            elif self._call is None:
                self._call = self._reactor.callLater(TOGETHER_SECONDS, self.write_settled)
            return
        if self.mode == "failed":
            steps = self.history(call.call_id)
            if steps and (self._may("stranger's life", 1) if stranger else self._may("life", LIVES_A_SECOND)):
                for each in steps:
                    self._write(call.call_id, each, steps[0].when)
        self.log.warn("{call_id}: {text}", call_id=plain(call.call_id), text=sentence(call), outcome=facts_of(call))
        if self.explained is not None and not stranger and self._may("reason", LIVES_A_SECOND):
            # Its answer hasn't left yet.
            self._reactor.callLater(REASON_SECONDS, self._give_reason, call.call_id)

    def _give_reason(self, call_id: str) -> None:
        reason = self.explained(call_id) if self.explained is not None else ""
        if reason:
            self.log.warn("{call_id}: why: {text}", call_id=plain(call_id), text=plain(reason, MOST_OF_A_REASON))

    # -- who asks

    def history(self, call_id: str) -> list[Step]:
        """The steps of a call, oldest first; none where it isn't known (any more)."""
        if self._recorded is not None and self.mode == "failed":
            return self._recorded.life(call_id)
        return self.steps.of(call_id)

    def last(self, count: int = 20) -> list[str]:
        """Call-IDs that something was noted of, the newest last."""
        if self._recorded is not None and self.mode == "failed":
            return self._recorded.newest(count)
        return self.steps.last(count)

    # -- writing

    def write_settled(self) -> None:
        """Write the outcomes that wait."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        calls, self._settled = self._settled, []
        if calls:
            self.log.info("{together}", together=Together(map(Outcome, calls)))

    def _write(self, call_id: str, step: Step, first: float) -> None:
        self.log.info(
            "{call_id}: {after:+.3f} {step_room}: {text}",
            call_id=plain(call_id), after=step.when - first, step_room=step.room, text=plain(step.text),
        )  # fmt: skip

    def _may(self, what: str, limit: int) -> bool:
        """Whether one more line fits into this second."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._lines.clear()
        self._lines[what] += 1
        return self._lines[what] <= limit

    def sum_up(self) -> None:
        """One line for the outcomes that had none, and one for those of strangers that were refused."""
        left, self._left_out = self._left_out, Counter()
        if left:
            self.log.warn(
                "{count} more calls ended unanswered within {seconds:g} s: {kinds}",
                count=left.total(), seconds=SUM_SECONDS, kinds=_kinds(left),
            )  # fmt: skip
        refused, self._refused = self._refused, Counter()
        if refused:
            self.log.warn(
                "{count} more calls whose caller had proved nothing were refused within {seconds:g} s: {kinds}",
                count=refused.total(), seconds=SUM_SECONDS, kinds=_kinds(refused),
            )  # fmt: skip


def _kinds(counts: Counter[str]) -> str:
    return plain(", ".join(f"{name} {count}" for name, count in counts.most_common()))


def facts_of(call: Any) -> dict[str, Any]:
    """The report about a call that has ended; the names are those of the JSON form."""
    ringing = (call.answered or call.ended) - call.started
    caller_transport, (caller_host, caller_port) = call.caller_flow
    facts: dict[str, Any] = {
        "caller": plain(call.caller or call.from_uri),
        "callee": plain(call.callee or call.uri),
        "outcome": call.outcome,
        "status": call.status,
        "ended_by": plain(call.ended_by),
        "rule": plain(call.rule),
        "ringing_seconds": round(ringing, 3),
        "talking_seconds": round(call.duration, 3),
        "from": f"{caller_transport.lower()}:{caller_host}:{caller_port}",
    }
    callee_transport, (callee_host, callee_port) = call.callee_flow
    if callee_transport:
        facts["to"] = f"{callee_transport.lower()}:{callee_host}:{callee_port}"
    if call.media_place:
        facts["media"] = call.media_place
    return facts


def sentence(call: Any) -> str:
    """The same as a line of text."""
    caller_transport, (caller_host, caller_port) = call.caller_flow
    callee_transport, (callee_host, callee_port) = call.callee_flow
    status = f", {call.status}" if call.status else ""
    talked = f", talked {call.duration:.1f} s" if call.duration else ""
    by = f", ended by {plain(call.ended_by)}{', ' + plain(call.rule) if call.rule else ''}" if call.ended_by else ""
    to = f" -> {callee_transport.lower()}:{callee_host}:{callee_port}" if callee_transport else ""
    media = f", media by {call.media_place}" if call.media_place else ""
    rang = (call.answered or call.ended) - call.started
    who = f"{plain(call.caller or call.from_uri)} -> {plain(call.callee or call.uri)}"
    how = f"{call.outcome}{status}, rang {rang:.1f} s{talked}{by}"
    return f"{who}: {how}, {caller_transport.lower()}:{caller_host}:{caller_port}{to}{media}"
