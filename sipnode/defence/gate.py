"""Stands before the dispatcher: what is over a limit or shut out goes no further, unread.

Implements: RFC 3261 §21.5.4 (503 with Retry-After, on streams alone: over UDP an answer would go to whom the sender names). The
invariant: a message of a trusted source costs one dictionary look-up, one of any other a subtraction more, one that is shut
out no more than that; nothing here logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipnode.base.flow import Flow, MessageSink
from sipnode.base.outbox import TURNED
from sipnode.defence.bucket import Bucket
from sipnode.sip import build
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import BrokenMessage, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.outbox import Outbox
    from sipnode.defence.guard import Guard
    from sipnode.defence.sources import Source

ANSWERS: Final = 50.0
"""503s a second, to all together: who doesn't listen isn't told for ever."""
REST_SECONDS: Final = 0.5
"""So long nothing more is read from a connection whose source is over its limit."""
_WITHIN: Final = frozenset((b"SIP", b"ACK", b"BYE"))
"""Responses, and what only who called before sends: no scanner begins with it."""
_NEW: Final = frozenset((b"INV", b"REG", b"SUB", b"PUB", b"MES", b"OPT", b"REF"))


class Gate(MessageSink):
    """A message sink before another.

    Args:
        inner: Who gets what passes.
        guard: Who judges.
        seconds: Epoch seconds.
        held: Server transactions by :attr:`Source.place`.
        outbox: Where its answers leave.
    """

    def __init__(self, inner: MessageSink, guard: Guard, seconds: Callable[[], float], held: dict[str, int], outbox: Outbox) -> None:
        self._deliver = inner.received
        self._inner = inner
        self._guard = guard
        self._streams = guard.sources
        self._datagrams = guard.datagrams
        self._peers = guard.peers
        self._seconds = seconds
        self._held = held
        self._outbox = outbox
        self._answers = Bucket(ANSWERS, ANSWERS, seconds())

    def received(self, data: bytes, flow: Flow) -> None:
        """One message."""
        host = flow.remote[0]
        sources = self._streams if flow.reliable else self._datagrams
        source = sources.young.get(host) or sources.find(host)
        if source.free:
            self._deliver(data, flow)
            return
        now = self._seconds()
        if source.shut_until and self._guard.shut_out(source, now):
            if flow.reliable:
                flow.close("shut out")
            return
        passed = now - source.at
        tokens = source.tokens
        if passed > 0:
            tokens += passed * source.rate
            if tokens > source.burst:
                tokens = source.burst
                source.excess = 0
        source.at = now
        if tokens >= 1.0:
            source.tokens = tokens - 1.0
        else:
            source.tokens = tokens
            if flow.reliable or not self._peers.take(flow.remote, now):
                self._over(data, flow, source, now, "rate")
                return
        kind = data[:3]
        if not source.proved_until and kind not in _WITHIN:
            name = self._guard.names.find(data)
            if name:
                self._guard.scanner(source, name, now)
                return
        if (
            kind in _NEW
            and self._held.get(source.place, 0) >= self._guard.limits.transactions_per_source
            and (flow.reliable or not self._peers.take(flow.remote, now))
        ):
            self._over(data, flow, source, now, "transactions")
            return
        self._deliver(data, flow)

    def _over(self, data: bytes, flow: Flow, source: Source, now: float, kind: str) -> None:
        self._guard.over(source, now, kind)
        if source.shut_until:
            if flow.reliable:
                flow.close("shut out")
        elif flow.reliable:
            # Its messages wait meanwhile in its own kernel.
            flow.rest(REST_SECONDS)
            if self._answers.take(now):
                self._refuse(data, flow)

    def _refuse(self, data: bytes, flow: Flow) -> None:
        try:
            request = parse_message(data)
        except BrokenMessage:
            return
        if not isinstance(request, SipRequest) or request.method == "ACK" or "via" not in request:
            return
        now, watcher = self._seconds(), self._outbox.tap.on_request_received
        if watcher is not None:
            # The others that go no further are unread.
            watcher.request_received(now, data, request, flow)
        response = build.response_to(request, 503, "", f"{hash(request.get('call-id')) & 0xFFFFFFFF:x}", (("retry-after", "10"),))
        self._outbox.send(now, response.to_bytes(), flow, TURNED, request.method, 503)

    def broken(self, data: bytes, flow: Flow, error: Exception) -> None:
        """A stream lost its frame."""
        source = self._guard.source_of(flow)
        self._guard.broken(source)
        if not source.shut_until:
            self._inner.broken(data, flow, error)

    def opened(self, flow: Flow) -> None:
        """A connection is usable."""
        self._inner.opened(flow)

    def closed(self, flow: Flow, reason: str) -> None:
        """A connection is gone."""
        self._inner.closed(flow, reason)
