"""A summary of incoming messages that are no good: one line a period, however much it was.

The invariant: no message from outside makes a line of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sipnode.observe.sentences import plain

PERIOD_SECONDS: Final = 10.0
MOST_NAMED: Final = 5
"""Foreign domains in a line."""
WORDS: Final = {
    "broken_requests": "requests that can't be read",
    "broken_messages": "messages that can't be read",
    "broken_responses": "responses that can't be read",
    "dropped_responses": "responses that the script dropped",
    "stray_responses": "answers to calls that are gone",
    "unproved_responses": "of these, such as nothing proves to be answers",
    "forged_responses": "answers that came from elsewhere than asked, or named another call",
    "foreign_repeats": "repeats and ACKs that came by another connection",
    "refused_cancels": "CANCELs that weren't the caller's",
    "unsent_unproved": "messages too many for an address where nobody has proved to be",
    "refused_call_id": "requests too many of one Call-ID",
    "refused_callee": "calls too many at one callee",
    "refused_callee_strangers": "calls of strangers too many at one callee",
    "refused_source": "calls too many of one stranger",
    "refused_strangers": "calls of strangers too many in all",
    "unsent_responses": "answers whose connection was gone",
    "refused_busy": "new calls refused with 503",
}


class HostileSummary(Service):
    """Looks at counters once a period.

    Args:
        reactor: Delayed calls.
        counters: All numbers that only grow, by name; those in :data:`WORDS` and those given as ``words`` are told.
        words: Further names with what to say.
        foreign: REGISTERs by a domain that isn't ours, emptied by each look.
    """

    name = "summary"
    log = Logger(namespace="sipnode.input")

    def __init__(
        self, reactor: Any, counters: Callable[[], Mapping[str, float]], words: Mapping[str, str] | None = None,
        foreign: Counter[str] | None = None,
    ) -> None:  # fmt: skip
        self._counters = counters
        self._words = {**WORDS, **(words or {})}
        self._foreign: Counter[str] = Counter() if foreign is None else foreign
        self._before: dict[str, float] = {}
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Begin to look."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        self._before = dict(self._counters())
        self._loop.start(PERIOD_SECONDS, now=False)

    def stopService(self) -> Any:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()
        return super().stopService()  # type: ignore[no-untyped-call]  # as above

    def look(self) -> None:
        """Say what has grown since the last look."""
        now = dict(self._counters())
        grown = {name: now[name] - self._before.get(name, 0) for name in self._words if now.get(name, 0) > self._before.get(name, 0)}
        self._before = now
        if grown:
            text = ", ".join(f"{count:g} {self._words[name]}" for name, count in grown.items())
            self.log.warn("within {seconds:g} s: {text}", seconds=PERIOD_SECONDS, text=text)
        if self._foreign:
            named = ", ".join(f"{plain(domain)} ({count})" for domain, count in self._foreign.most_common(MOST_NAMED))
            self._foreign.clear()
            self.log.warn(
                "within {seconds:g} s REGISTERs were refused, since their domains are none of [core] domains: {named}",
                seconds=PERIOD_SECONDS, named=named,
            )  # fmt: skip
