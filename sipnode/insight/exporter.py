"""Traces of calls that have ended, to a collector of OpenTelemetry: in batches, by OTLP over HTTP, as JSON.

The invariant: nobody waits for the collector. Spans are made in a thread, after the call; calls that wait, for the thread or for a
collector that is away, are bounded, and those that find no room are counted.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.defer import succeed
from twisted.logger import Logger

from sipnode.insight.snapshot import snapshot
from sipnode.insight.spans import spans
from sipnode.insight.story import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from sipnode.base.trace import Tracing
    from sipnode.insight.finding import Around
    from sipnode.insight.ring import Event, Record

SOON: Final = 1.0
"""Seconds that calls are collected."""
MOST_WAITING: Final = 2000
"""Calls."""
MOST_MAKING: Final = 200
"""Of them those that wait for the thread."""
BATCH: Final = 100
BATCH_OCTETS: Final = 1 << 20
AGAIN: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds until a collector that is away is tried again; then the last for ever."""
_LATER: Final = frozenset((408, 429, 502, 503, 504))
"""OTLP/HTTP §failures: these may be tried again."""


class Exporter(Service):
    """Traces.

    Args:
        reactor: Clock.
        tracing: Identities of traces.
        around: What is known around calls. closings: Connections that were closed last, by their token.
        run: Calls a function in a thread, one after the other; a Deferred of its result.
        post: Sends a body; a Deferred of the status that the collector answers.
        resource: What all traces say of who made them.
        version: Of the program.
        after: Called when all is done.

    Attributes:
        sent: Calls whose traces the collector has. dropped: Those that found no room, or that it refused.
        fault: What is wrong with the collector, "" for nothing.
    """

    name = "otel"
    log: ClassVar[Logger] = Logger(namespace="sipnode.otel")

    def __init__(
        self,
        reactor: Any,
        tracing: Tracing,
        around: Callable[[], Around],
        closings: Mapping[str, Event],
        run: Callable[..., Deferred[Any]],
        post: Callable[[bytes], Deferred[int]],
        resource: Mapping[str, str],
        version: str,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._tracing = tracing
        self._around = around
        self._closings = closings
        self._run = run
        self._post = post
        attributes = [{"key": name, "value": {"stringValue": value}} for name, value in resource.items()]
        # The spans stand between these.
        about, scope = json.dumps({"attributes": attributes}), json.dumps({"name": "sipnode", "version": version})
        self._head = f'{{"resourceSpans":[{{"resource":{about},"scopeSpans":[{{"scope":{scope},"spans":['
        self._after = after
        self._ready: deque[str] = deque()
        self._making = 0
        self._busy = False
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self.sent = self.dropped = 0
        self.fault = ""

    @property
    def waiting(self) -> int:
        """Calls that aren't sent yet."""
        return self._making + len(self._ready)

    # -- what ends

    def take(self, record: Record) -> None:
        """A call has ended."""
        if not self._tracing.sampled(record.call_id):
            return
        if self._making >= MOST_MAKING or self.waiting >= MOST_WAITING:
            self.dropped += 1
            return
        self._making += 1
        self._run(self._make, *snapshot(record, self._closings)).addCallbacks(self._made, self._unmade)

    def _make(self, copy: Record, closings: dict[str, Event]) -> str:
        return json.dumps(spans(read(copy, closings), self._tracing, self._around()), separators=(",", ":"))[1:-1]

    def _made(self, text: str) -> None:
        self._making -= 1
        self._ready.append(text)
        self._soon(SOON)

    def _unmade(self, failure: Failure) -> None:
        self._making -= 1
        self.dropped += 1
        self.log.failure("a call has no trace", failure)

    # -- to the collector

    def _soon(self, seconds: float) -> None:
        if self._timer is None and not self._busy and self.running:
            self._timer = self._reactor.callLater(seconds, self._send)

    def _batch(self) -> list[str]:
        found: list[str] = []
        octets = 0
        while self._ready and len(found) < BATCH and octets < BATCH_OCTETS:
            found.append(self._ready.popleft())
            octets += len(found[-1])
        return found

    def _send(self) -> Deferred[None]:
        self._timer = None
        batch = self._batch()
        if not batch:
            return succeed(None)
        self._busy = True
        body = f"{self._head}{','.join(batch)}]}}]}}]}}".encode("ascii")
        return self._post(body).addCallbacks(self._answered, self._unanswered, (batch,), errbackArgs=(batch,))

    def _answered(self, status: int, batch: list[str]) -> None:
        if status in _LATER:
            self._unwell(f"it answers {status}", batch)
            return
        self._busy = False
        if 200 <= status < 300:
            self.sent += len(batch)
            if self.fault:
                self.log.info("the collector takes traces again")
            self._failures, self.fault = 0, ""
        else:
            self.dropped += len(batch)
            self._tell(f"it refuses traces with {status}")
        if self._ready:
            self._soon(0 if len(self._ready) >= BATCH else SOON)

    def _unanswered(self, failure: Failure, batch: list[str]) -> None:
        self._unwell(failure.getErrorMessage(), batch)

    def _unwell(self, fault: str, batch: list[str]) -> None:
        self._busy = False
        self._tell(fault)
        # In their old order, and the oldest go where there are too many.
        self._ready.extendleft(reversed(batch))
        while self.waiting > MOST_WAITING and self._ready:
            self._ready.popleft()
            self.dropped += 1
        self._soon(AGAIN[min(self._failures, len(AGAIN) - 1)])
        self._failures += 1

    def _tell(self, fault: str) -> None:
        if not self.fault:
            self.log.error("traces of calls wait for the collector: {fault}", fault=fault)
        self.fault = fault

    # -- life

    def stopService(self) -> Any:
        """Send what there is once more; a collector that is away isn't waited for."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        made = self._run(lambda: None).addErrback(lambda _: None)
        return made.addCallback(lambda _: None if self._busy else self._send()).addCallback(lambda _: self._after())
