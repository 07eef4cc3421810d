"""A guard with a clock, and a gate with a flow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock

from sipnode.base.flow import MessageSink
from sipnode.base.outbox import Outbox
from sipnode.defence.gate import Gate
from sipnode.defence.guard import Guard
from sipnode.defence.service import DefenceService
from sipnode.settings import DefenceSettings
from sipnode.testing import FakeFlow

HOSTILE = "203.0.113.66"


def request(method: str = "OPTIONS", agent: str = "phone", call_id: str = "c1") -> bytes:
    """A request's octets."""
    return (
        f"{method} sip:example.test SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66;branch=z9hG4bK{call_id}\r\nFrom: <sip:a@x>;tag=1\r\n"
        f"To: <sip:example.test>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Sink(MessageSink):
    """What the gate lets through."""

    def __init__(self) -> None:
        self.passed: list[bytes] = []
        self.told: list[Any] = []

    def received(self, data: bytes, flow: Any) -> None:
        self.passed.append(data)

    def broken(self, data: bytes, flow: Any, error: Exception) -> None:
        self.told.append("broken")

    def opened(self, flow: Any) -> None:
        self.told.append("opened")

    def closed(self, flow: Any, reason: str) -> None:
        self.told.append(reason)


class Stand:
    """A gate between a flow and a sink.

    Args:
        settings: Of ``[defence]``, changed.
    """

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.guard = Guard(replace(DefenceSettings(), **settings), self.clock.seconds)
        self.sink = Sink()
        self.held: dict[str, int] = {}
        self.gate = Gate(self.sink, self.guard, self.clock.seconds, self.held, Outbox())
        self.misbehaved = DefenceService(self.guard, self.clock, {}, tuple).misbehaved

    def flow(self, host: str = HOSTILE, transport: str = "UDP") -> FakeFlow:
        """A flow from there."""
        return FakeFlow(transport, (host, 5060), token="" if transport == "UDP" else "f1")

    def send(self, count: int, host: str = HOSTILE, data: bytes = b"", transport: str = "UDP") -> int:
        """Messages from a host, at once; how many passed."""
        before = len(self.sink.passed)
        flow = self.flow(host, transport)
        for _ in range(count):
            self.gate.received(data or request(), flow)
        return len(self.sink.passed) - before
