"""Steps and outcomes of calls, from whole calls in memory."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.tap import ABANDONED
from sipnode.errors import MediaError
from sipnode.log import apart, json_line
from sipnode.media.bridge import _at
from sipnode.media.nodes import parse_node
from sipnode.observe import callhistory
from sipnode.observe.callhistory import CallHistory
from sipnode.observe.sentences import CAME, MOST_CHARACTERS, plain
from sipnode.observe.steps import MOST_CALLS, MOST_STEPS
from sipnode.observe.summary import PERIOD_SECONDS, HostileSummary
from sipnode.records import Hop
from sipnode.testing import RecordingMediaRelay, World

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Lines:
    """Takes the place of a Logger."""

    def __init__(self, flush: Any = lambda: None) -> None:
        self.events: list[dict[str, Any]] = []
        self._flush = flush

    def info(self, text: str, /, **values: Any) -> None:
        """Twisted's name."""
        self.events.append({"log_format": text, **values})

    warn = info

    @property
    def lines(self) -> list[str]:
        """As text, with what waits to be written."""
        self._flush()
        return [line for event in self.events for line in event["log_format"].format(**event).split("\n")]


class CallHistoryCase(SynchronousTestCase):
    """A world whose calls are noted."""

    mode = "failed"

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay()
        self.world = World(media=self.relay)
        self.calls = CallHistory(self.world.clock, self.mode, self.world.core.tap)
        self.calls.log = self.said = Lines(self.calls.write_settled)
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob", "WS")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()


class LifeTests(CallHistoryCase):
    """What is noted and written."""

    def test_completed(self) -> None:
        """A call that was good has one line: who, whom, outcome, seconds, who ended it; its steps are kept as long as it is up."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        steps = [f"{step.room}: {step.text}" for step in self.calls.history(call.invite.call_id)]
        self.world.clock.advance(31)
        call.from_caller("BYE")
        bye = self.bob.got("BYE")
        self.bob.reply(bye, 200)
        self.assertEqual(len(self.said.lines), 1)
        line = self.said.lines[0]
        self.assertTrue(line.startswith(f"{bye.call_id}: alice@example.test -> bob@example.test: completed, 200, rang "), line)
        self.assertIn("talked 31.0 s, ended by caller, udp:", line)
        self.assertIn("media by n0", line)
        self.assertEqual(self.calls.history(bye.call_id), [])
        for wanted in ("wire: INVITE", "location: bob@", "media: offer taken by n0", "proxy: branch 0: INVITE", "media: answer taken"):
            self.assertTrue(any(step.startswith(wanted) for step in steps), (wanted, steps))

    def test_together(self) -> None:
        """Lines about calls that went well are one event, a fraction of a second later, or as soon as they are many."""
        for _ in range(3):
            self.world.call(self.alice, self.bob).from_caller("BYE")
            self.alice.take(), self.bob.take()
        self.assertEqual(self.said.events, [])
        self.world.clock.advance(callhistory.TOGETHER_SECONDS)
        self.assertEqual([len(event["together"]) for event in self.said.events], [3])
        for _ in range(callhistory.MOST_TOGETHER):
            self.world.call(self.alice, self.bob).from_caller("BYE")
            self.alice.take(), self.bob.take()
        self.assertEqual([len(event["together"]) for event in self.said.events], [3, callhistory.MOST_TOGETHER])
        self.world.clock.advance(1)
        self.assertEqual(len(self.said.events), 2)
        self.world.call(self.alice, self.bob).from_caller("BYE")
        self.calls.startService()
        self.calls.stopService()
        self.assertEqual(len(self.said.events), 3)

    def test_failed(self) -> None:
        """One that failed has its whole life in the log, in order, each line with the Call-ID."""
        invite = self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.bob.reply(self.bob.got("INVITE"), 500)
        lines = self.said.lines
        self.assertTrue(all(line.startswith(f"{invite.call_id}: ") for line in lines), lines)
        rooms = [line.split()[2] for line in lines[:-1]]
        self.assertEqual(rooms, ["wire:", "auth:", "location:", "media:", "proxy:", "wire:", "wire:"])
        self.assertIn("500 Server Internal Error to INVITE from ws:", lines[-3])
        self.assertIn(": failed, 500, rang 0.0 s", lines[-1])

    def test_refused_by_a_stage(self) -> None:
        """A refusal says which stage decided it; nobody there isn't a fault, so one line it is."""
        invite = self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual(len(self.said.lines), 1)
        self.assertIn("not found, 404", self.said.lines[0])
        self.assertIn(", ended by server, stage location, udp:", self.said.lines[0])
        self.assertIn("decided by location", self.calls.history(invite.call_id)[-1].text)

    def outcome(self) -> str:
        """The line about the outcome."""
        return self.said.lines[-1]

    def test_refused_while_it_was_sent(self) -> None:
        """A rule that refuses when the fork is there already is named too, and so is the one that sends new calls away."""
        self.world.core.dialogs._most_of_user = 1
        self.world.call(self.alice, self.bob)
        self.alice.send("INVITE", self.bob.aor)
        self.assertEqual(self.alice.response("INVITE").status, 403)
        self.assertIn(": failed, 403, rang 0.0 s, ended by server, rule calls_per_user, udp:", self.outcome())
        self.world.core.busy["drain"] = lambda: 5
        self.alice.send("INVITE", self.bob.aor)
        self.assertIn(": failed, 503, rang 0.0 s, ended by server, rule busy, udp:", self.outcome())

    def test_refused_by_the_media_relay(self) -> None:
        """A node that refuses is named as in the configuration, with its reason; the caller isn't told its address."""
        error = MediaError("no answer", 503)
        _at(error, parse_node("192.0.2.50:2223 weight 2"))
        self.relay.error = error
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        refusal = self.alice.response("INVITE")
        self.assertEqual(refusal.status, 503)
        self.assertNotIn("192.0.2.50", refusal.get("warning") or "")
        self.assertIn(": failed, 503, rang 0.0 s, ended by media node 192.0.2.50:2223, no answer, udp:", self.outcome())
        self.relay.error = MediaError("no media node is up", 503)
        self.alice.send("INVITE", self.bob.aor, body=SDP)
        self.assertIn("ended by media relay, no media node is up, udp:", self.outcome())

    def test_refused_by_the_callee(self) -> None:
        """A phone that declines is what it was; one that never answers, or whose connection is gone, is told so."""
        self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 488)
        self.assertIn(", ended by callee, udp:", self.outcome())
        self.alice.send("INVITE", self.bob.aor)
        self.bob.got("INVITE")
        self.world.close(self.bob)
        self.assertIn("ended by callee, whose connection is gone", self.outcome())

    def test_no_call_id(self) -> None:
        """What has no Call-ID is no call: nothing is noted under an empty one."""
        self.calls.set_mode("all")
        self.calls.steps.note("", (0.0, CAME, ("INVITE", "sip:x", "UDP", ("192.0.2.1", 5060))))
        self.assertEqual((self.calls.last(), self.said.lines), ([], []))

    def test_no_answer(self) -> None:
        """A phone that says nothing is named as what the call failed of."""
        carol = self.world.phone("carol")
        carol.register()
        carol.take()
        invite = self.alice.send("INVITE", carol.aor)
        self.world.clock.pump([1.0] * 40)
        self.assertTrue(any("branch 0 counts as 408" in step.text for step in self.calls.history(invite.call_id)))

    def test_json(self) -> None:
        """The line of JSON has the facts under names of their own."""
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.calls.write_settled()
        event, = apart({**self.said.events[0], "log_namespace": "sipnode.call", "log_level": LogLevel.info})
        text = json_line({**event, "log_time": 1.5})
        for wanted in ('"time": "1970-01-01T00:00:01.500Z"', '"outcome": "not found"', '"status": 404', '"call_id": "'):
            self.assertIn(wanted, text)
        self.assertIn('"caller": "alice@example.test"', text)
        self.assertEqual(text.count("\n"), 1)

    def test_bounds(self) -> None:
        """Neither many calls nor many steps of one take more than so much."""
        noted = (0.0, ABANDONED, ())
        for number in range(MOST_CALLS + 10):
            self.calls.steps.note(f"id{number}", noted)
        for _ in range(MOST_STEPS + 10):
            self.calls.steps.note("last", noted)
        self.assertEqual(len(self.calls.last(2 * MOST_CALLS)), MOST_CALLS)
        self.assertEqual((len(self.calls.history("last")), self.calls.history("id0")), (MOST_STEPS, []))

    def test_plain(self) -> None:
        """What a stranger sent can't begin a line of its own, nor fill the log."""
        self.assertEqual(plain("a\nb\x1b[2J"), "a?b?[2J")
        self.assertEqual(len(plain("x" * 9000)), MOST_CHARACTERS)


class AllTests(CallHistoryCase):
    """``[log] calls = "all"``."""

    mode = "all"

    def test_steps_as_they_come(self) -> None:
        """Each step is a line at once, of a good call too, and those that only pass something on."""
        call = self.world.call(self.alice, self.bob)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        text = "\n".join(self.said.lines)
        for wanted in ("location: bob@example.test is at ", "wire: 200 to INVITE for udp:", "wire: ACK ", "wire: BYE ",
                       "wire: 200 OK to BYE from ws:"):  # fmt: skip
            self.assertIn(wanted, text)


    def test_repeats_and_decisions(self) -> None:
        """What is sent once more, and which stage of the script decided what."""
        carol = self.world.phone("carol")
        carol.register()
        carol.take()
        self.alice.send("INVITE", carol.aor)
        self.world.advance(0.6)
        self.alice.send("INVITE", "sip:nobody@example.test")
        text = "\n".join(self.said.lines)
        self.assertRegex(text, r"wire: INVITE sip:carol@\S+ once more to udp:")
        self.assertIn("routing: INVITE: stage location: RELAYED", text)
        self.assertIn("routing: INVITE: stage location: 404", text)

    def test_other_mode(self) -> None:
        """Another mode holds from then on: with 'none' nothing is noted and the outcome is told all the same."""
        tap = self.world.core.tap
        self.calls.set_mode("failed")
        self.assertEqual((tap.on_decided, tap.on_resent), (None, None))
        self.calls.set_mode("none")
        self.assertEqual((tap.on_noted, tap.on_begun, tap.on_answered), (None, None, None))
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual(len(self.said.lines), 1)
        self.assertEqual(self.calls.last(), [])


class AskedTests(CallHistoryCase):
    """What others were asked on behalf of a call."""

    def test_dns(self) -> None:
        """The name that was looked for and what it was found to be, or that it wasn't."""
        world = self.world
        world.resolver.names["there.example"] = [Hop("UDP", "198.51.100.7", 5060)]
        for host, said in (("there.example", "there.example is at udp:198.51.100.7:5060"), ("gone.example", "gone.example failed: ")):
            invite = self.alice.send("INVITE", f"sip:dave@{host}")
            steps = [step for step in self.calls.history(invite.call_id) if step.room == "dns"]
            self.assertEqual(len(steps), 1)
            self.assertTrue(steps[0].text.startswith(said), steps)


class FloodTests(CallHistoryCase):
    """Many calls at once."""

    def test_outcomes(self) -> None:
        """Over so many a second the outcomes of unanswered calls are counted, and told in one line."""
        for _ in range(callhistory.OUTCOMES_A_SECOND + 25):
            self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertEqual(len(self.said.lines), callhistory.OUTCOMES_A_SECOND)
        self.calls.sum_up()
        self.assertEqual(self.said.lines[-1], "25 more calls ended unanswered within 10 s: not found 25")
        self.world.clock.advance(1)
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertIn("not found, 404", self.said.lines[-1])

    def test_strangers(self) -> None:
        """A flood of strangers who are refused is summed up by what refused it; it hides no call of a user, and takes no place of one."""
        eve = self.world.phone("eve", domain="evil.example")
        kept = self.world.call(self.alice, self.bob).invite.call_id
        for _ in range(callhistory.STRANGERS_A_SECOND + 2 * MOST_CALLS):
            eve.send("INVITE", "sip:nobody@example.test")
        self.assertEqual(len(self.said.lines), callhistory.STRANGERS_A_SECOND)
        self.assertNotEqual(self.calls.history(kept), [])
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.assertIn("alice@example.test -> ", self.said.lines[-1])
        self.calls.sum_up()
        told = f"{2 * MOST_CALLS} more calls whose caller had proved nothing were refused within 10 s: stage location {2 * MOST_CALLS}"
        self.assertEqual(self.said.lines[-1], told)
        self.calls.sum_up()
        self.assertEqual(self.said.lines[-1], told)

    def test_lives_of_strangers(self) -> None:
        """Of strangers whose calls failed only one life a second is written; that of a user beside it is."""
        self.world.core.busy["drain"] = lambda: 5
        eve = self.world.phone("eve", domain="evil.example")
        for _ in range(3):
            eve.send("INVITE", self.bob.aor)
        self.assertEqual(sum(" wire: INVITE" in line for line in self.said.lines), 1)
        self.assertEqual(sum(": failed, 503" in line for line in self.said.lines), 3)
        del self.world.core.busy["drain"]
        self.world.core.dialogs._most_of_user = 1
        self.world.call(self.alice, self.bob)
        self.alice.send("INVITE", self.bob.aor)
        self.assertEqual(sum(" wire: INVITE" in line for line in self.said.lines), 2)

    def test_hostile_input(self) -> None:
        """A thousand messages that can't be read are one line a period, and a quiet period is none."""
        core = self.world.core
        summary = HostileSummary(self.world.clock, lambda: core.counters)
        summary.log = said = Lines()
        summary.startService()
        for _ in range(1000):
            self.world.sink.received(b"INVITE sip:x SIP/2.0\r\nVia: broken\r\n\r\n", self.alice.flow)
        self.world.clock.advance(PERIOD_SECONDS)
        self.assertEqual(said.lines, ["within 10 s: 1000 requests that can't be read"])
        self.world.clock.advance(PERIOD_SECONDS)
        self.assertEqual(len(said.lines), 1)
        summary.stopService()
