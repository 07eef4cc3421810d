"""Words that calls are found by, and where the time of their set-up went."""

from __future__ import annotations

from sipnode.acc.quality import Quality
from sipnode.insight.ring import ENDED, MEASURED, RECEIVED, RESENT, SENT, Record
from sipnode.insight.setup import setup_of
from sipnode.insight.staged import staged
from sipnode.insight.traits import Opening, opening_of, setup_seconds, traits
from tests.insight.kit import SDP, RecordedCase

ALICE, SERVER = ("192.0.2.9", 5060), ("192.0.2.1", 5060)
LOUD, SILENT = (Quality(tag, "192.0.2.9:4000", packets, 0, 0.0, 0.0, 0.0) for tag, packets in (("a", 100), ("b", 0)))


def message(start: bytes, via: bytes = b"192.0.2.9") -> bytes:
    """A message with that first line."""
    rest = b"From: <sip:a@b.test>;tag=1\r\nTo: <sip:c@d.test>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
    return start + b"\r\nVia: SIP/2.0/UDP " + via + b";branch=z9hG4bK1\r\n" + rest


INVITE = message(b"INVITE sip:c@d.test SIP/2.0")


def record(*events: tuple[float, str, bytes]) -> Record:
    """A record of messages."""
    made = Record("x", b"")
    made.events = [(when, kind, data, "UDP", SERVER, ALICE, "") for when, kind, data in events]
    return made


class TraitTests(RecordedCase):
    """traits()."""

    def words(self, made: Record) -> list[str]:
        """Of a record."""
        return traits(made, opening_of(made), setup_seconds(made))

    def test_slow(self) -> None:
        """Slow is a call that took more than three seconds until its caller heard that it rings; 100 and a challenge don't count."""
        events = [(0.0, RECEIVED, INVITE), (0.1, SENT, message(b"SIP/2.0 100 Trying")), (0.2, SENT, message(b"SIP/2.0 407 Proxy"))]
        self.assertEqual(setup_seconds(record(*events)), -1.0)
        slow = record(*events, (3.5, SENT, message(b"SIP/2.0 180 Ringing")))
        self.assertEqual((setup_seconds(slow), self.words(slow)), (3.5, ["slow-setup"]))
        self.assertEqual(self.words(record(*events, (2.0, SENT, message(b"SIP/2.0 200 OK")))), [])

    def test_heard(self) -> None:
        """One way, and not at all, by the packets that the relay has counted, once there was time to say something."""
        ended = (9.5, ENDED, "completed", 200, "caller", "", 0.0, 2.0, "n0")
        for legs, wanted in (((LOUD, LOUD), []), ((LOUD, SILENT), ["problems", "one-way"]), ((SILENT, SILENT), ["problems", "no-audio"])):
            made = record((0.0, RECEIVED, INVITE))
            made.events += [(9.0, MEASURED, legs), ended]
            self.assertEqual(self.words(made), wanted)
        made.events[-2] = (9.0, MEASURED, (LOUD._replace(mos=2.1), LOUD))
        self.assertEqual(self.words(made), ["bad-sound"])
        for short in ((3.5, *ended[1:]), (*ended[:7], 0.0, "n0")):
            made.events[-2:] = [(3.6, MEASURED, (LOUD, SILENT)), short]
            self.assertEqual(self.words(made), [], "it has just begun, or was never answered")

    def test_nat(self) -> None:
        """A caller whose Via names another address; a browser, whose name is no address, tells nothing."""
        for via, wanted in ((b"10.0.0.1:5060", ["nat"]), (b"192.0.2.9", []), (b"x.invalid", []), (b"[2001:db8::1]", ["nat"])):
            self.assertEqual(self.words(record((0.0, RECEIVED, message(b"INVITE sip:c@d.test SIP/2.0", via)))), wanted, via)

    def test_repeats(self) -> None:
        """Something had to be sent twice."""
        self.assertEqual(self.words(record((0.0, RECEIVED, INVITE), (0.5, RESENT, INVITE))), ["repeats"])

    def test_no_message(self) -> None:
        """A record without a message has an opening, too."""
        made = Record("websocket:203.0.113.9", b"")
        self.assertEqual(opening_of(made), Opening("", "", "", "", "", False))
        made.events = [(0.0, "handshake", "ws", SERVER, ("203.0.113.9", 4000), "x.test", None, 403, "no")]
        self.assertEqual(opening_of(made)[:5], ("WEBSOCKET", "", "x.test", "ws", "203.0.113.9:4000"))

    def test_nonsense(self) -> None:
        """Octets that are no message make no fault."""
        for data in (b"", b"\r\n\r\n", b"INVITE\r\n\r\n", b"SIP/2.0 abc\r\n\r\n", b"\xff" * 100):
            self.assertIsInstance(self.words(record((0.0, RECEIVED, data), (5.0, SENT, data))), list)


class SetupTests(RecordedCase):
    """setup_of() and staged()."""

    def test_parts(self) -> None:
        """Ringing, the callee's silence before it, and what is left make the whole."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        received = self.bob.got("INVITE")
        self.world.clock.advance(0.5)
        self.bob.reply(received, 180)
        self.world.clock.advance(2.0)
        setup = setup_of(self.story(invite.call_id))
        self.assertFalse(setup.answered)
        self.bob.reply(received, 200, body=SDP)
        setup = setup_of(self.story(invite.call_id))
        self.assertTrue(setup.answered)
        self.assertEqual(dict(setup.parts)["ring"], 2.0)
        self.assertAlmostEqual(dict(setup.parts)["callee"], 0.5)
        self.assertAlmostEqual(sum(seconds for _, seconds in setup.parts), setup.whole)

    def test_no_call(self) -> None:
        """What isn't a call has no set-up."""
        self.assertEqual(setup_of(self.story(self.alice.send("INVITE", self.bob.aor, (), SDP).call_id)).answered, False)
        empty = self.story(self.alice.send("INVITE", self.bob.aor, (), SDP).call_id)
        empty.entries = []
        self.assertEqual(setup_of(empty).whole, -1.0)

    def test_script(self) -> None:
        """What the script decided goes to its own lane, behind those who speak SIP and before the relay."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        drawing = staged(self.story(invite.call_id))
        self.assertEqual([lane.kind for lane in drawing.lanes], ["peer", "sipnode", "peer", "script", "media"])
        self.assertEqual([lane.id for lane in drawing.lanes], [0, 1, 2, 3, 4])
        self.assertEqual({(arrow.start, arrow.end) for arrow in drawing.arrows if arrow.room == "script"}, {(1, 3)})
        self.assertEqual({max(arrow.start, arrow.end) for arrow in drawing.arrows if arrow.room == "media"}, {4})
