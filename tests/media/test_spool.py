"""Tests of `sipnode.media.spool`: a node that can't record is told from one that can, by its process."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode import machine
from sipnode.errors import MediaError
from sipnode.media import spool
from sipnode.media.bridge import RtpengineRelay
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.media.ongoing import OngoingMedia
from sipnode.media.service import MediaService
from sipnode.media.spool import NO_FOLDER, SECONDS, UNSEEN, Seen, Spools
from sipnode.records import MediaForm, MediaKey, MediaProfile
from sipnode.settings import MediaSettings
from tests.media.support import Nodes
from tests.media.test_service import Reactor

SDP = b"v=0\r\n"
PHONE = MediaProfile(MediaForm.PLAIN, protocol="RTP/AVP")


class LookTests(SynchronousTestCase):
    """One look at the machine."""

    def processes(self, *options: dict[str, list[str]]) -> None:
        self.patch(machine, "processes", lambda command: [machine.Process(os.getpid() + at, command, False) for at in range(len(options))])
        self.patch(spool, "options_of", lambda pid: options[pid - os.getpid()])

    def test_the_folder(self) -> None:
        """No folder, one that isn't there, one that is: the first two can't record, and each has its sentence."""
        there = self.mktemp()
        Path(there).mkdir()
        for folder, refusal in (("", NO_FOLDER), (f"{there}/x", f"--recording-dir={there}/x is no folder"), (there, "")):
            self.processes({"listen-ng": ["127.0.0.1:2223"], "recording-dir": [folder]})
            seen = spool.look("127.0.0.1", 2223)
            self.assertEqual((seen.pid, seen.mark), (os.getpid(), machine.mark_of(os.getpid())))
            self.assertIn(refusal, seen.refusal)
            self.assertEqual(bool(refusal), bool(seen.refusal))

    def test_who_cannot_be_seen(self) -> None:
        """Another machine's node, a port that no daemon here has, two that have it: nothing is known."""
        self.processes({"listen-ng": ["2223"]}, {"listen-ng": ["127.0.0.1:2223"]})
        for place in (("192.0.2.1", 2223), ("127.0.0.1", 2224), ("127.0.0.1", 2223)):
            self.assertEqual(spool.look(*place), UNSEEN)

    def test_a_later_process(self) -> None:
        """A process has a mark, and one that isn't there has none."""
        self.assertTrue(machine.mark_of(os.getpid()).isdigit())
        self.assertEqual(machine.mark_of(2**22 + 1), "")


class RefusalTests(SynchronousTestCase):
    """A relay that knows of its node's process."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wire = Nodes(self.clock)
        self.seen = Seen(os.getpid(), machine.mark_of(os.getpid()), NO_FOLDER)
        self.looks = 0
        self.nodes = NodeSet(parse_nodes(["127.0.0.1:2223"]), self.wire.send, self.clock, 60, 5)
        self.spools = Spools(maybeDeferred, self.clock, self.look)
        self.told: list[tuple[str, str]] = []

    def look(self, host: str, port: int) -> Seen:
        self.looks += 1
        return self.seen

    def relay(self, record: bool = False) -> RtpengineRelay:
        relay = RtpengineRelay(self.nodes, MediaSettings(record_call=record), self.clock)
        relay.spools = self.spools
        relay.unrecorded = lambda name, why: self.told.append((name, why))
        return relay

    def start(self) -> Deferred[None]:
        return OngoingMedia(self.relay(), "own", "call-1", self.nodes.nodes[0].name, ("f", "t")).start_recording()

    def test_an_order(self) -> None:
        """An order to record is refused with 501 and the node's name, isn't sent, and the call's record hears of it; a process that was
        seen isn't looked for again."""
        for _ in range(2):
            error = self.failureResultOf(self.start(), MediaError).value
            assert isinstance(error, MediaError)
            self.assertEqual((error.status, error.words, error.node), (501, NO_FOLDER, "127.0.0.1:2223"))
        self.assertEqual((self.wire.commands, self.looks), ([], 1))
        self.assertEqual(self.told, [("own", NO_FOLDER)] * 2)

    def test_started_anew(self) -> None:
        """A daemon that was started anew with a folder records at once."""
        self.failureResultOf(self.start(), MediaError)
        self.spools._seen[self.nodes.nodes[0].name] = self.seen._replace(mark="0")
        self.seen = self.seen._replace(refusal="")
        self.successResultOf(self.start())
        self.assertEqual([command["command"] for command in self.wire.commands], ["start recording"])

    def test_from_the_offer_on(self) -> None:
        """A call that is recorded from its offer on goes on, and its record says that it isn't; the machine is looked at now and then."""
        relay = self.relay(record=True)
        for name in ("a", "b"):
            self.successResultOf(relay.offer(MediaKey(name, "f"), SDP, PHONE))
        self.assertEqual(self.told, [("a", NO_FOLDER), ("b", NO_FOLDER)])
        self.seen = UNSEEN
        self.spools._seen.clear()
        self.successResultOf(relay.offer(MediaKey("c", "f"), SDP, PHONE))
        self.assertEqual((len(self.told), self.looks), (2, 1))
        self.clock.advance(SECONDS)
        self.successResultOf(relay.offer(MediaKey("d", "f"), SDP, PHONE))
        self.assertEqual((len(self.told), self.looks), (2, 2))

    def test_at_the_start(self) -> None:
        """Where each call is to be recorded it is looked at the start, and said before the first call; else it isn't."""
        for settings, looks in ((MediaSettings(record_call=True), 1), (MediaSettings(flags="record-call=on"), 1), (MediaSettings(), 0)):
            self.looks = 0
            service = MediaService(replace(settings, nodes=("127.0.0.1:2223", "127.0.0.1:2224")), Reactor())
            assert isinstance(service.relay, RtpengineRelay)
            service.relay.spools = Spools(maybeDeferred, self.clock, self.look)
            service.startService()
            self.assertEqual(self.looks, 2 * looks)
            service.stopService()

    def test_nobody_asks_for_it(self) -> None:
        """Where nothing is to be recorded nothing is looked at."""
        self.successResultOf(self.relay().offer(MediaKey("a", "f"), SDP, PHONE))
        self.assertEqual((self.looks, self.told), (0, []))
