"""The life of each call, step by step, and one line about its outcome.

A step is noted where it happens, by one append to a list; it becomes a line of the log when the call has failed, at once with
``[log] calls = "all"``, and never with ``"none"``. The steps of the last calls stay in memory for who asks by their Call-ID. Each line
begins with the Call-ID, so that one grep finds all of them.

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

MOST_CALLS: Final = 5000
MOST_STEPS: Final = 64
MOST_CHARACTERS: Final = 200
SUM_SECONDS: Final = 10.0
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


class CallLog(Service):
    """Steps and outcomes.

    Args:
        reactor: Clock and delayed calls.
        mode: ``[log] calls``: 'failed', 'all' or 'none'.

    Attributes:
        mode: The one in force.
        outcomes: Calls that ended, by outcome.
        talked: Seconds that answered calls lasted, together.
    """

    name = "calls"
    log = Logger(namespace="sipnode.call")

    def __init__(self, reactor: Any, mode: str) -> None:
        self.mode = mode
        self.outcomes: Counter[str] = Counter()
        self.talked = 0.0
        self._clock: Callable[[], float] = reactor.seconds
        self._calls: OrderedDict[str, list[Step]] = OrderedDict()
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
        """Sum up once more."""
        if self._summing.running:
            self._summing.stop()
        self.sum_up()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    # -- what rooms tell

    def step(self, call_id: str, room: str, text: str) -> None:
        """Something happened to a call.

        Args:
            call_id: Call-ID.
            room: Which part of the server says so.
            text: What, in a few words.
        """
        steps = self._calls.get(call_id)
        if steps is None:
            steps = self._calls[call_id] = []
            if len(self._calls) > MOST_CALLS:
                self._calls.popitem(last=False)
        if len(steps) < MOST_STEPS:
            step = Step(self._clock(), room, text)
            steps.append(step)
            if self.mode == "all":
                self._write(call_id, step, steps[0].when)

    def changed(self, kind: str, call: Any) -> None:
        """The watcher of ``core.dialogs``: the line about the outcome, and the life of a call that failed."""
        if kind != "terminated":
            return
        self.outcomes[call.outcome] += 1
        self.talked += call.duration
        steps = self._calls.get(call.call_id)
        if not call.answered and not self._may("outcome", OUTCOMES_A_SECOND):
            self._left_out[call.outcome] += 1
            return
        facts = facts_of(call)
        failed = call.outcome not in _SETTLED
        if failed and steps and self.mode == "failed" and self._may("life", LIVES_A_SECOND):
            for step in steps:
                self._write(call.call_id, step, steps[0].when)
        text = sentence(facts)
        (self.log.warn if failed else self.log.info)("{call_id}: {text}", call_id=plain(call.call_id), text=text, outcome=facts)

    # -- who asks

    def life(self, call_id: str) -> list[Step]:
        """The steps of a call, oldest first; none where it isn't known (any more)."""
        return list(self._calls.get(call_id, ()))

    def last(self, count: int = 20) -> list[str]:
        """Call-IDs that something was noted of, the newest last."""
        return list(self._calls)[-count:]

    # -- writing

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
        "ended_by": call.ended_by,
        "ringing_seconds": round(ringing, 3),
        "talking_seconds": round(call.duration, 3),
        "from": f"{caller_transport.lower()}:{caller_host}:{caller_port}",
    }
    callee_transport, (callee_host, callee_port) = call.callee_flow
    if callee_transport:
        facts["to"] = f"{callee_transport.lower()}:{callee_host}:{callee_port}"
    if call.node:
        facts["media"] = call.node
    return facts


def sentence(facts: dict[str, Any]) -> str:
    """The same as a line of text."""
    parts = [f"{facts['caller']} -> {facts['callee']}: {facts['outcome']}"]
    if facts["status"]:
        parts.append(str(facts["status"]))
    parts.append(f"rang {facts['ringing_seconds']:.1f} s")
    if facts["talking_seconds"]:
        parts.append(f"talked {facts['talking_seconds']:.1f} s")
    if facts["ended_by"]:
        parts.append(f"ended by {facts['ended_by']}")
    parts.append(f"{facts['from']} -> {facts['to']}" if "to" in facts else facts["from"])
    if "media" in facts:
        parts.append(f"media by {facts['media']}")
    return ", ".join(parts)
