"""What is recorded of whole calls in memory, and how much of it at most."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.insight.recorder import call_id_of
from sipnode.insight.ring import (
    CHUNK,
    FACT,
    FAILED,
    FIRST_EVENTS,
    FRESH,
    KNOWN,
    MOST_EVENTS,
    OVERHEAD,
    RECEIVED,
    RECORD_OCTETS,
    RECORD_OVERHEAD,
    Ring,
    size_of,
)
from sipnode.sip.parser import parse_message
from tests.insight.kit import SDP, RecordedCase


class CallTests(RecordedCase):
    """A call is recorded whole."""

    def test_good_call(self) -> None:
        """Each message that came and left is there, octets as they were, with what was decided, asked and known."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        story = self.story(call.invite.call_id)
        self.assertTrue(story.whole)
        self.assertFalse(story.live)
        self.assertEqual(story.outcome, "completed")
        requests = [(entry.incoming, entry.method) for entry in story.messages() if not entry.status]
        self.assertEqual(
            requests,
            [(True, "INVITE"), (False, "INVITE"), (True, "ACK"), (False, "ACK"), (True, "BYE"), (False, "BYE")],
        )
        self.assertEqual(self.ring.records[call.invite.call_id].events[0][2], call.invite.to_bytes())
        self.assertEqual([entry.parts[0] for entry in story.answers("media")], ["media", "media"])
        self.assertEqual([entry.parts[1] for entry in story.decisions("INVITE")], ["location"])
        self.assertEqual(story.first, story.entries[0])

    def test_registrations_only_where_wanted(self) -> None:
        """Without ``everything`` no other request has a record, nor its answers."""
        self.assertEqual(self.ring.records, {})
        self.alice.send("OPTIONS", self.bob.aor)
        self.alice.send("MESSAGE", self.bob.aor)
        self.assertEqual(self.ring.records, {})

    def test_live(self) -> None:
        """A call is live until it has ended."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.assertTrue(self.story(call.invite.call_id).live)
        self.assertEqual([row["state"] for row in self.insight.rows(10, "")], ["live"])

    def test_failed_is_kept_longer(self) -> None:
        """The record of a call that failed outlives those of calls that ended well."""
        failed = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.bob.reply(self.bob.got("INVITE"), 500)
        self.alice.take()
        good = self.world.call(self.alice, self.bob, SDP, SDP)
        good.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        self.assertEqual(self.ring.records[failed.call_id].queue, FAILED)
        self.assertEqual(self.ring.records[good.invite.call_id].queue, KNOWN)
        self.ring.forget_old(self.world.clock.seconds() + 700)
        self.assertEqual(list(self.ring.records), [failed.call_id])
        self.ring.forget_old(self.world.clock.seconds() + 4000)
        self.assertEqual(self.ring.records, {})
        self.assertEqual(self.ring.size, 0)

    def test_repeats(self) -> None:
        """What comes or leaves once more is there, and known to be a repeat."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.alice.send_again(invite)
        story = self.story(invite.call_id)
        self.assertEqual([entry.repeat for entry in story.messages((RECEIVED,), "INVITE", 0)], [False, True])
        self.assertEqual(len(story.requests_in("INVITE")), 1)
        self.assertIn("resent", [entry.kind for entry in story.entries])

    def test_connection_lost(self) -> None:
        """A connection that went is in the stories of the calls that went by it, with the reason."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.close(self.bob, "ping timeout")
        closed = [entry for entry in self.story(call.invite.call_id).entries if entry.kind == "closed"]
        self.assertEqual([entry.parts for entry in closed], [("ping timeout",)])

    def test_media_numbers(self) -> None:
        """Numbers of a call that the relay knows by another name are of the call that it was asked for; others are nobody's."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        now = self.world.clock.seconds()
        reply = {b"tags": {b"a": {b"medias": [{b"streams": [{b"flags": [b"RTP"], b"stats": {b"packets": 5}}]}]}}}
        self.recorder.answered(now, call.invite.call_id, "media", "offer", "", ("n0", "a name that nobody guesses", "flags"))
        for name in ("a name that nobody guesses", "another", call.invite.call_id):
            self.recorder.measured(now, name, reply)
        measured = [entry.parts[0][0].packets for entry in self.story(call.invite.call_id).entries if entry.kind == "measured"]
        self.assertEqual(measured, [5, 5])

    def test_off(self) -> None:
        """A tap that nobody records has no watchers for it."""
        self.world.core.tap.unsubscribe(self.recorder)
        self.assertIsNone(self.world.core.tap.on_sent)
        self.assertIsNone(self.world.core.tap.on_request_received)


class RingTests(SynchronousTestCase):
    """The bounds hold whatever comes."""

    def event(self, octets: int = 100) -> tuple[object, ...]:
        """A message that came."""
        return (0.0, RECEIVED, b"x" * octets, "UDP", ("", 0), ("", 0), "")

    def note(self, ring: Ring, call_id: str, octets: int = 100, now: float = 0.0) -> None:
        """One more of them."""
        ring.note(call_id, (now, *self.event(octets)[1:]), octets)

    def test_memory(self) -> None:
        """Junk of ever new Call-IDs, and events of one, never take more than the ring has."""
        ring = Ring(100_000, 1000, 60, 60)
        for number in range(5000):
            self.note(ring, f"junk{number}", 500)
            self.assertLessEqual(ring.size, 100_000)
        for _ in range(3000):
            self.note(ring, "one", 500)
        self.assertLessEqual(ring.size, 100_000)
        self.assertEqual(ring.size, sum(record.room for record in ring.records.values()))
        for record in ring.records.values():
            self.assertLessEqual(record.size, record.room)
            self.assertEqual(record.size, RECORD_OVERHEAD + sum(map(size_of, record.events)))

    def test_calls(self) -> None:
        """No more records than wanted."""
        ring = Ring(10_000_000, 50, 60, 60)
        for number in range(500):
            self.note(ring, f"call{number}")
            self.assertLessEqual(len(ring.records), 50)

    def test_strangers_push_nobody_out(self) -> None:
        """A flood of Call-IDs that nobody proved anything in leaves the calls of users where they are."""
        ring = Ring(4_000_000, 800, 600, 600)
        for number in range(300):
            self.note(ring, f"call{number}", 500)
            ring.promote(ring.records[f"call{number}"], KNOWN if number % 2 else FAILED)
        for number in range(5000):
            self.note(ring, f"junk{number}", 500)
        self.assertEqual(sum(record.queue != FRESH for record in ring.records.values()), 300)
        self.assertGreater(ring.forgotten[FRESH], 4000)

    def test_live_calls_stay(self) -> None:
        """A call that is up has its record when others that began later had to go."""
        ring = Ring(1_000_000, 20, 600, 600)
        self.note(ring, "up")
        ring.promote(ring.records["up"], KNOWN)
        ring.records["up"].live = True
        for number in range(100):
            self.note(ring, f"call{number}")
            ring.promote(ring.records[f"call{number}"], KNOWN)
        self.assertIn("up", ring.records)

    def test_all_live(self) -> None:
        """Where every call is up, the bound holds all the same."""
        ring = Ring(1_000_000, 100, 600, 600)
        for number in range(300):
            self.note(ring, f"call{number}")
            ring.promote(ring.records[f"call{number}"], KNOWN)
            ring.records[f"call{number}"].live = True
        self.assertEqual(len(ring.records), 100)

    def test_long_call(self) -> None:
        """One record keeps its beginning and its end, and counts what it lacks."""
        ring = Ring(10_000_000, 10, 60, 60)
        for number in range(2000):
            ring.note("one", (float(number), RECEIVED, b"x", "UDP", ("", 0), ("", 0), ""), 1)
        record = ring.records["one"]
        self.assertLessEqual(len(record.events), MOST_EVENTS + CHUNK // OVERHEAD)
        self.assertEqual(len(record.events) + record.left_out, 2000)
        self.assertEqual((record.events[FIRST_EVENTS - 1][0], record.events[-1][0]), (FIRST_EVENTS - 1, 1999))
        for _ in range(20):
            self.note(ring, "large", 60_000)
        self.assertLessEqual(ring.records["large"].size, RECORD_OCTETS + CHUNK)

    def test_nobody_holds_the_queue(self) -> None:
        """A stranger's record that never grows old keeps nothing behind it: what calls have left is let go."""
        ring = Ring(10_000_000, 50, 60, 60)
        stranger = ring.begin("stranger", b"", 0.0)
        for number in range(5000):
            now = number / 10
            stranger.events[:] = [(now, FACT, "", ())]
            record = ring.begin(f"call-{number}", b"", now)
            record.events.append((now, FACT, "", ()))
            ring.promote(record, KNOWN)
        self.assertLess(sum(map(len, ring._queues)), 500)
        self.assertIn("stranger", ring.records)
        self.assertIn("call-4999", ring.records)

    def test_a_moved_record_is_counted_once(self) -> None:
        """Sizes stay right when a record moves, grows and goes."""
        ring = Ring(1_000_000, 10, 60, 60)
        self.note(ring, "one")
        ring.promote(ring.records["one"], KNOWN)
        self.note(ring, "one")
        ring.promote(ring.records["one"], FAILED)
        self.assertEqual(ring.size, CHUNK)
        self.note(ring, "one", 9000)
        self.assertEqual(ring.size, 2 * CHUNK)
        ring.forget("one")
        ring.forget("one")
        self.assertEqual((ring.size, ring.records), (0, {}))


class CallIdTests(SynchronousTestCase):
    """The Call-ID of octets is the one that the parser finds."""

    HEAD = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bKd\r\nFrom: <sip:a@b>;tag=e\r\nTo: <sip:a@b>\r\nCSeq: 1 OPTIONS\r\n"

    def test_spellings(self) -> None:
        """Long, short, in any case, with spaces; the body doesn't count."""
        for line in (b"Call-ID: x@y", b"i: x@y", b"CALL-id  :   x@y  ", b"I:x@y"):
            data = self.HEAD + line + b"\r\nContent-Length: 22\r\n\r\n\r\nCall-ID: other\r\n1234"
            self.assertEqual(call_id_of(data), "x@y", line)
            self.assertEqual(parse_message(data).get("call-id"), "x@y")

    def test_none(self) -> None:
        """Without one there is none, also where the body has one."""
        for data in (b"", b"\r\n\r\n", self.HEAD + b"\r\n", self.HEAD + b"\r\nbody\r\nCall-ID: other\r\n"):
            self.assertEqual(call_id_of(data), "", data)
