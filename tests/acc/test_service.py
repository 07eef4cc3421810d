"""Calls through a server in memory become records; what is slow or away keeps no call waiting."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.acc.journal import Journal
from sipnode.acc.record import CallRecord
from sipnode.acc.service import RETRY, Accounting
from sipnode.dialog.call import CONFIRMED, TERMINATED
from sipnode.errors import StorageError
from sipnode.testing import RecordingMediaRelay, World

from .test_quality import REPLY

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Taker:
    """A sink that takes, or doesn't."""

    name = "taker"
    batch = 2

    def __init__(self) -> None:
        self.taken: list[CallRecord] = []
        self.fault = ""
        self.hold: Deferred[None] | None = None

    def take(self, records: Sequence[CallRecord]) -> Deferred[None]:
        """As it is told to."""
        if self.fault:
            return fail(StorageError(self.fault))
        self.taken += records
        return self.hold or succeed(None)


class AccountingTests(SynchronousTestCase):
    """A server with a sink."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.taker = Taker()
        self.media = RecordingMediaRelay()
        self.world = World(media=self.media)
        self.disk: Callable[..., Deferred[Any]] = maybeDeferred
        self.acc = self.start()
        self.alice, self.bob = self.world.phone("alice", "WSS"), self.world.phone("bob")
        self.alice.register()
        self.bob.register()

    def start(self) -> Accounting:
        """What the composition root does, for the world that is there."""
        dialogs = self.world.core.dialogs

        def living() -> list[tuple[str, str, str]]:
            return [(call.call_id, call.from_tag, call.to_tag) for call in dialogs.list()]

        acc = Accounting(
            self.world.clock, lambda: Journal(self.path, (self.taker.name,), False, 100), lambda *call: self.disk(*call), [self.taker], 3,
            7200.0, living,
        )  # fmt: skip
        dialogs.on_change(acc.confirmed, CONFIRMED)
        dialogs.on_change(acc.terminated, TERMINATED)
        dialogs.on_unknown = acc.passed
        acc.startService()
        self.addCleanup(lambda: acc.stopService() if acc.running else None)
        return acc

    def record(self) -> CallRecord:
        """The one that there is."""
        self.world.advance(10)
        (record,) = self.taker.taken
        return record

    def test_answered(self) -> None:
        """One record: who, how long, by whom it was ended, and the numbers of its media."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.advance(60)
        self.assertEqual(self.taker.taken, [])
        call.from_callee("BYE")
        self.alice.reply(self.alice.got("BYE"), 200)
        names = [key.call_id for name, key in self.media.log if name == "delete"]
        self.acc.deleted(names[-1], REPLY)
        record = self.record()
        self.assertEqual((record.caller, record.callee, record.node), ("alice@example.test", "bob@example.test", 3))
        self.assertEqual((record.outcome, record.ended_by, record.status), ("completed", "callee", 200))
        self.assertEqual(round(record.duration_seconds), 60)
        self.assertEqual([leg["packets"] for leg in record.quality], [500, 480])

    def test_unrecorded(self) -> None:
        """A call that should have been recorded, and wasn't, has the reason in its record; the next one hasn't."""
        for why in ("no folder", ""):
            call = self.world.call(self.alice, self.bob, SDP, SDP)
            name = [key.call_id for _, key in self.media.log][-1]
            if why:
                self.acc.unrecorded(name, why)
            call.from_callee("BYE")
            self.alice.reply(self.alice.got("BYE"), 200)
            self.assertEqual(self.record().unrecorded, why)
            self.taker.taken.clear()

    def test_no_numbers(self) -> None:
        """A node that doesn't answer costs the record its numbers, and some seconds."""
        self.world.call(self.alice, self.bob, SDP, SDP).from_caller("BYE")
        self.world.advance(1)
        self.assertEqual(self.taker.taken, [])
        self.assertEqual(self.record().quality, [])

    def test_missed(self) -> None:
        """Busy: a record without an answer."""
        self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 486)
        record = self.record()
        self.assertEqual((record.missed, record.status, record.outcome), (True, 486, "busy"))

    def test_nobody_there(self) -> None:
        """A call to nobody, refused by this server: a stranger's leaves nothing, however many there are."""
        mallory = self.world.phone("mallory", domain="foreign.test")
        for _ in range(5):
            mallory.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.world.advance(10)
        self.assertEqual(self.taker.taken, [])

    def test_killed(self) -> None:
        """A server that is killed in a call, and its successor which gets the BYE, make one record with the whole time."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.advance(20)
        self.world = self.world.restart()
        self.acc = self.start()
        self.world.advance(10)
        for _ in range(3):
            self.acc.passed("BYE", call.invite.call_id, call.answer.to.tag, call.answer.from_.tag)
        record = self.record()
        self.assertEqual(round(record.duration_seconds), 30)
        self.assertEqual(record.ended_by, "callee")

    def test_sink_away(self) -> None:
        """Records wait for a sink that is away, and come in their order when it is back; what is wrong can be seen meanwhile."""
        self.taker.fault = "it is away"
        for _ in range(3):
            self.world.call(self.alice, self.bob).from_caller("BYE")
            self.bob.reply(self.bob.got("BYE"), 200)
            self.alice.take()
        self.world.advance(10)
        self.assertEqual(self.acc.sinks, [("taker", 3, "it is away")])
        self.taker.fault = ""
        self.world.advance(RETRY[-1])
        self.assertEqual(len(self.taker.taken), 3)
        self.assertEqual([record.started for record in self.taker.taken], sorted(record.started for record in self.taker.taken))
        self.assertEqual(self.acc.sinks, [("taker", 0, "")])

    def test_sink_away_over_a_restart(self) -> None:
        """They wait for the next process too."""
        self.taker.fault = "it is away"
        self.world.call(self.alice, self.bob).from_caller("BYE")
        self.world.advance(10)
        self.acc.stopService()
        self.taker.fault = ""
        self.start()
        self.world.advance(1)
        self.assertEqual(len(self.taker.taken), 1)

    def test_disk_full(self) -> None:
        """While the disk takes nothing calls go on, and it is told once; then everything is written."""
        self.disk = lambda function, *rest: fail(StorageError("the disk is full"))
        call = self.world.call(self.alice, self.bob)
        self.world.advance(100)
        self.assertEqual((self.acc.fault, self.acc.unwritten), ("the disk is full", 1))
        self.disk = maybeDeferred
        self.world.advance(RETRY[-1])
        call.from_caller("BYE")
        self.assertEqual(self.record().outcome, "completed")
        self.assertEqual(self.acc.fault, "")

    def test_slow_disk(self) -> None:
        """While a write is on its way what comes is written together behind it; nothing is asked of the disk meanwhile."""
        waiting: list[tuple[Deferred[Any], Any]] = []
        ran: list[str] = []

        def slow(function: Callable[..., Any], *rest: Any) -> Deferred[Any]:
            ran.append(function.__name__)
            done: Deferred[Any] = Deferred()
            waiting.append((done, lambda: function(*rest)))
            return done

        self.disk = slow
        for _ in range(5):
            self.world.call(self.alice, self.bob)
            self.world.advance(0)
            self.alice.take()
        self.assertEqual(ran, ["write"])
        done, work = waiting.pop()
        done.callback(work())
        self.world.advance(0)
        self.assertEqual(ran[-1], "write")
        self.assertEqual(self.acc.unwritten, 0)

    def test_file(self) -> None:
        """Nothing of it is readable by others."""
        self.assertEqual(Path(self.path).stat().st_mode & 0o077, 0)
        self.assertTrue(json.loads(CallRecord("i", 0, *["x"] * 8, 1.0).to_json()))
