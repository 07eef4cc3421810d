"""What a watcher of the tap hears of a whole call: enough for a ladder of it, without reading an octet."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.flow import Flow
from sipnode.base.outbox import Why
from sipnode.base.tap import Watcher
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.testing import RecordingMediaRelay, World
from sipnode.transaction.machine import Transaction

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Ladder(Watcher):
    """Draws arrows."""

    def __init__(self, names: dict[int, str]) -> None:
        self.rows: list[str] = []
        self.times: list[float] = []
        self._names = names

    def _row(self, now: float, text: str) -> None:
        self.times.append(now)
        self.rows.append(text)

    def request_received(self, now: float, data: bytes, request: SipRequest, flow: Flow) -> None:
        """An arrow to us."""
        self._row(now, f"{self._names[id(flow)]} -> {request.method}")

    def response_received(self, now: float, data: bytes, response: SipResponse, flow: Flow) -> None:
        """An arrow to us."""
        self._row(now, f"{self._names[id(flow)]} -> {response.status} {response.cseq_method}")

    def sent(self, now: float, data: bytes, flow: Flow, why: Why, method: str, status: int, transaction: object | None) -> None:
        """An arrow from us, with its reason and its transaction."""
        state = f" [{transaction.method}]" if isinstance(transaction, Transaction) else ""
        self._row(now, f"-> {self._names[id(flow)]} {status or ''}{' ' if status else ''}{method} ({why.name}){state}")

    def decided(self, now: float, request: SipRequest, stage: str, verdict: str) -> None:
        """A note in our own lane."""
        self._row(now, f"{request.method}: {stage} {verdict}")

    def asked(self, now: float, call_id: str, whom: str, what: str) -> None:
        """An arrow to somebody else's lane."""
        self._row(now, f"ask {whom}: {what}")

    def answered(self, now: float, call_id: str, whom: str, what: str, fault: str, parts: tuple[Any, ...]) -> None:
        """And back."""
        self._row(now, f"{whom} {what}: {fault or 'good'}")

    def ended(self, call: Any) -> None:
        """The last line."""
        self._row(call.ended, f"ended: {call.outcome}")


class EventTests(SynchronousTestCase):
    """In the order in which it happens."""

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay()
        self.world = World(media=self.relay)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WS")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()
        self.ladder = Ladder({id(self.alice.flow): "alice", id(self.bob.flow): "bob"})
        self.world.core.tap.subscribe(self.ladder)

    def test_call(self) -> None:
        """A call over the relay, from the INVITE to the end."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.clock.advance(3)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        self.assertEqual(
            self.ladder.rows,
            [
                "alice -> INVITE",
                "-> alice 100 INVITE (reply) [INVITE]",
                "ask media: offer",
                "media offer: good",
                "-> bob INVITE (passed) [INVITE]",
                "INVITE: location RELAYED",
                "bob -> 200 INVITE",
                "ask media: answer",
                "media answer: good",
                "-> alice 200 INVITE (passed) [INVITE]",
                "alice -> ACK",
                "-> bob ACK (ack)",
                "ACK: withindlg RELAYED",
                "alice -> BYE",
                "ended: completed",
                "-> bob BYE (passed) [BYE]",
                "BYE: withindlg RELAYED",
                "bob -> 200 BYE",
                "-> alice 200 BYE (passed) [BYE]",
            ],
        )
        self.assertEqual(self.ladder.times, sorted(self.ladder.times))
        self.assertEqual(self.ladder.times[-1] - self.ladder.times[0], 3)

    def test_refused(self) -> None:
        """A refusal has the stage that decided it before the message that says so."""
        self.alice.send("INVITE", "sip:nobody@example.test")
        wanted = ["alice -> INVITE", "INVITE: location 404", "ended: not found", "-> alice 404 INVITE (reply)"]
        self.assertEqual(self.ladder.rows, wanted)

    def test_one_that_raises(self) -> None:
        """A watcher that raises at each event costs the call nothing, and is told in the log."""

        class Broken(Ladder):
            def _row(self, now: float, text: str) -> None:
                raise ValueError(text)

        self.world.core.tap.subscribe(Broken({id(self.alice.flow): "alice", id(self.bob.flow): "bob"}))
        self.world.call(self.alice, self.bob, SDP, SDP).from_caller("BYE")
        self.assertEqual(self.bob.got("BYE").method, "BYE")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), len(self.ladder.rows))
