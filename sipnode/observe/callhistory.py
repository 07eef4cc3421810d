"""The life of each call, step by step, and one line about its outcome.

A step is noted where it happens, by one append to a list; it becomes a line of the log when the call has failed, at once with
``[log] calls = "all"``, and never with ``"none"``. The steps of calls that are up, and of the last that failed, stay in memory for who
asks by their Call-ID. Each line
begins with the Call-ID, so that one grep finds all of them. Lines about calls that went well, which are most, are written together a few
times a second: a line by itself costs as much as half of the call.

The invariant: whatever is sent, there are at most ``MOST_CALLS`` calls with ``MOST_STEPS`` steps, and no more lines a second than
the two buckets let through; what isn't written is summed up.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

MOST_CALLS: Final = 5000
MOST_STEPS: Final = 64
MOST_CHARACTERS: Final = 200
SUM_SECONDS: Final = 10.0
TOGETHER_SECONDS: Final = 0.2
MOST_TOGETHER: Final = 500
OUTCOMES_A_SECOND: Final = 50
"""Of calls that nobody answered; those that were answered cost their users too much for a flood."""
LIVES_A_SECOND: Final = 5

_SETTLED: Final = frozenset({"completed", "cancelled", "busy", "declined", "ended", "no answer", "not found"})


class Step(NamedTuple):
    """One step.

    Attributes:
        when: Epoch seconds.
        room: Which part of the server it was: ``wire``, ``auth``, ``location``, ``proxy``, ``media``, ``dialog``.
        text: What happened.
    """

    when: float
    room: str
    text: str


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
        """What the line says."""
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


class CallHistory(Service):
    """Steps and outcomes.

    Args:
        reactor: Clock and delayed calls.
        mode: ``[log] calls``: 'failed', 'all' or 'none'.

    Attributes:
        mode: The one in force.
        whole: Steps are noted that say nothing about why a call failed, too: what came after the answer, what was only passed on.
        outcomes: Calls that ended, by outcome.
        talked: Seconds that answered calls lasted, together.
    """

    name = "calls"

    def __init__(self, reactor: Any, mode: str) -> None:
        # Not on the class: there Twisted would make another one each time, and call it by the class.
        self.log: Any = Logger(namespace="sipnode.call")
        self.set_mode(mode)
        self.outcomes: Counter[str] = Counter()
        self.talked = 0.0
        self._clock: Callable[[], float] = reactor.seconds
        self._reactor = reactor
        self._settled: list[Any] = []
        self._call: IDelayedCall | None = None
        self._calls: OrderedDict[str, list[tuple[float, str, str, tuple[Any, ...]]]] = OrderedDict()
        self._left_out: Counter[str] = Counter()
        self._outcomes = self._lives = 0
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
        """Another mode."""
        self.mode = mode
        self.whole = mode == "all"

    # -- what rooms tell

    def step(self, call_id: str, room: str, text: str, *parts: Any) -> None:
        """Something happened to a call.

        Args:
            call_id: Call-ID.
            room: Which part of the server says so.
            text: What, in a few words, with a ``%s`` for each of the parts: most steps are never read.
            parts: Texts and numbers; they are kept as long as the call is.
        """
        steps = self._calls.get(call_id)
        if steps is None:
            if not call_id:
                # What has no Call-ID is no call.
                return
            steps = self._calls[call_id] = []
            if len(self._calls) > MOST_CALLS:
                self._calls.popitem(last=False)
        if len(steps) < MOST_STEPS:
            steps.append((self._clock(), room, text, parts))
            if self.whole:
                self._write(call_id, _step(steps[-1]), steps[0][0])

    def changed(self, kind: str, call: Any) -> None:
        """The watcher of ``core.dialogs`` for those that have ended: the line about the outcome, and the life of one that failed."""
        self.outcomes[call.outcome] += 1
        self.talked += call.duration
        steps = self._calls.get(call.call_id)
        if not call.answered and not self._may("outcome", OUTCOMES_A_SECOND):
            self._left_out[call.outcome] += 1
            return
        if call.outcome in _SETTLED:
            if call.outcome == "completed" and not self.whole:
                # Most calls end so, and nobody asks what led there: its memory is the next call's.
                self._calls.pop(call.call_id, None)
            self._settled.append(call)
            if len(self._settled) >= MOST_TOGETHER:
                self.write_settled()
            elif self._call is None:
                self._call = self._reactor.callLater(TOGETHER_SECONDS, self.write_settled)
            return
        if steps and self.mode == "failed" and self._may("life", LIVES_A_SECOND):
            for noted in steps:
                self._write(call.call_id, _step(noted), steps[0][0])
        self.log.warn("{call_id}: {text}", call_id=plain(call.call_id), text=sentence(call), outcome=facts_of(call))

    # -- who asks

    def history(self, call_id: str) -> list[Step]:
        """The steps of a call, oldest first; none where it isn't known (any more)."""
        return [_step(noted) for noted in self._calls.get(call_id, ())]

    def last(self, count: int = 20) -> list[str]:
        """Call-IDs that something was noted of, the newest last."""
        return list(self._calls)[-count:]

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
            self._second, self._outcomes, self._lives = second, 0, 0
        if what == "life":
            self._lives += 1
            return self._lives <= limit
        self._outcomes += 1
        return self._outcomes <= limit

    def sum_up(self) -> None:
        """One line for the outcomes that had none."""
        if self._left_out:
            left, self._left_out = self._left_out, Counter()
            self.log.warn(
                "{count} more calls ended unanswered within {seconds:g} s: {kinds}",
                count=left.total(), seconds=SUM_SECONDS, kinds=", ".join(f"{name} {count}" for name, count in left.most_common()),
            )  # fmt: skip


def _step(noted: tuple[float, str, str, tuple[Any, ...]]) -> Step:
    when, room, text, parts = noted
    return Step(when, room, text % parts if parts else text)


def plain(text: str) -> str:
    """One line of a log: no control characters that somebody sent, and not too long."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def facts_of(call: Any) -> dict[str, Any]:
    """What there is to say about a call that has ended; the names are those of the JSON form."""
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
