"""Fakes of the registrar's neighbours, and builders of REGISTER requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks, maybeDeferred, succeed
from zope.interface import implementer

from sipnode.base.flow import Flow, Listener
from sipnode.base.flows import FlowTable
from sipnode.base.request import Request
from sipnode.base.server import Server
from sipnode.base.verdict import Verdict
from sipnode.errors import StorageBusy, StorageError
from sipnode.interfaces import ILocationBackend, ILocationFeed, ILocationWriter
from sipnode.records import Binding, LocationChange
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.timers import Timings

AOR = "alice@example.com"
NOW = 1_700_000_000.0


def register(
    *contacts: str,
    call_id: str = "call-1",
    cseq: int = 1,
    expires: str | None = None,
    to: str = "<sip:alice@example.com>",
    extra: Iterable[str] = (),
) -> SipRequest:
    """A REGISTER of alice, one Contact line for each contact."""
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKk1",
        "Max-Forwards: 70",
        "From: <sip:alice@example.com>;tag=f1",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *(f"Contact: {contact}" for contact in contacts),
        *extra,
    ]
    if expires is not None:
        lines.append(f"Expires: {expires}")
    data = "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode("utf-8", "surrogateescape")
    request = parse_message(data)
    assert isinstance(request, SipRequest)
    return request


def binding(contact: str = "<sip:a@192.0.2.1>", ruid: str = "r1", **fields: Any) -> Binding:
    """A binding of alice that lives for an hour."""
    values: dict[str, Any] = {
        "aor": AOR,
        "contact": contact.strip("<>"),
        "expires": NOW + 3600,
        "ruid": ruid,
        "call_id": "call-1",
        "cseq": 1,
        "socket": "udp:192.0.2.100:5060",
        "last_modified": NOW,
    }
    values.update(fields)
    return Binding(**values)


class FakeFlow(Flow):
    """A path to one peer."""

    def __init__(self, transport: str = "UDP", token: str = "", remote: tuple[str, int] = ("192.0.2.1", 5060)) -> None:
        listener = Listener(transport, "192.0.2.100", 5060, "192.0.2.100", 5060)
        super().__init__(transport, listener, ("192.0.2.100", 5060), remote, token)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def close(self, reason: str) -> None:
        """Mark it closed."""
        self.closed = True


class FakeFlows(FlowTable):
    """Live connections by token; nobody asks for anything else."""

    def __init__(self) -> None:
        self.live: dict[str, FakeFlow] = {}

    def by_token(self, token: str) -> FakeFlow | None:
        """The connection, if it is there."""
        return self.live.get(token)


class FakeServer(Server):
    """All hosts are its own."""

    def __init__(self) -> None:
        super().__init__(TransactionLayer(Timings(), lambda when: None), lambda: NOW)

    def is_local(self, host: str) -> bool:
        """Yes."""
        return True


SERVER = FakeServer()


class FakeContext(Request):
    """A request that is answered into ``replies``."""

    def __init__(self, request: SipRequest, flow: FakeFlow | None = None) -> None:
        super().__init__(SERVER, request, flow or FakeFlow(), "", NOW)
        self.identity = AOR
        self.replies: list[tuple[int, str, dict[str, list[str]]]] = []

    def reply(self, status: int, reason: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Verdict:
        """Keep it."""
        found: dict[str, list[str]] = {}
        for name, value in headers:
            found.setdefault(name, []).append(value)
        self.replies.append((status, reason, found))
        return Verdict.REPLIED

    @property
    def status(self) -> int:
        """Status of the only answer, 0 before it."""
        assert len(self.replies) <= 1, self.replies
        return self.replies[0][0] if self.replies else 0

    @property
    def contacts(self) -> list[str]:
        """Contact values of the answer."""
        return self.replies[0][2].get("contact", [])


@implementer(ILocationWriter)
class FakeWriter:
    """A writer whose writes succeed at once, wait for the test, fail, or are refused as the queue is full."""

    def __init__(self, mode: str = "succeed") -> None:
        self.mode = mode
        self.puts: list[list[LocationChange]] = []
        self.waiting: list[Deferred[None]] = []
        self.draining: Deferred[None] = succeed(None)
        self.rows: dict[str, Binding] = {}

    def put(self, changes: list[LocationChange]) -> Deferred[None]:
        """Take changes as the mode says."""
        self.puts.append(list(changes))
        if self.mode == "busy":
            raise StorageBusy("full")
        if self.mode == "fail":
            return fail(StorageError("disk full"))
        if self.mode == "wait":
            done: Deferred[None] = Deferred()
            done.addCallback(lambda _: self._commit(changes))
            self.waiting.append(done)
            return done
        self._commit(changes)
        return succeed(None)

    def _commit(self, changes: list[LocationChange]) -> None:
        for change in changes:
            if change.delete:
                self.rows.pop(change.binding.ruid, None)
            else:
                self.rows[change.binding.ruid] = change.binding

    def drain(self) -> Deferred[None]:
        """What the test has set."""
        return self.draining


@implementer(ILocationBackend)
class FakeBackend:
    """Rows that the test has set; fails so many times first."""

    def __init__(self, rows: Iterable[Binding] = (), failures: int = 0) -> None:
        self.rows = list(rows)
        self.failures = failures
        self.gate: Deferred[None] | None = None
        self.fetches = "succeed"
        self.asked: list[tuple[str, Deferred[list[Binding]]]] = []

    def load(self, take: Callable[[list[Binding]], Any]) -> Deferred[int]:
        """The rows."""
        if self.failures:
            self.failures -= 1
            return fail(StorageError("no such table"))
        if self.gate is not None:
            return self.gate.addCallback(lambda _: self._hand_over(take))
        return self._hand_over(take)

    @inlineCallbacks
    def _hand_over(self, take: Callable[[list[Binding]], Any]) -> Any:
        for start in range(0, len(self.rows), 2000):
            yield maybeDeferred(take, self.rows[start : start + 2000])
        return len(self.rows)

    def fetch(self, aor: str) -> Deferred[list[Binding]]:
        """The rows of one address-of-record: at once, never, or when the test says so."""
        if self.fetches == "fail":
            return fail(StorageError("away"))
        if self.fetches == "wait":
            self.asked.append((aor, Deferred()))
            return self.asked[-1][1]
        return succeed([replace(row) for row in self.rows if row.aor == aor])

    def watch(self, feed: ILocationFeed) -> None:
        """Keep it for the test."""
        self.feed = feed

    def purge(self, before: float) -> Deferred[None]:
        """Delete what expired before then."""
        self.rows = [row for row in self.rows if row.expires >= before]
        return succeed(None)

    def write(self, changes: list[LocationChange]) -> Deferred[None]:
        """Not called by the service."""
        raise AssertionError("the service writes through its writer")
