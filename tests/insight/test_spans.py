"""Calls as traces, and their way to a collector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.tap import TRACED
from sipnode.base.trace import Tracing, parsed
from sipnode.errors import ConfigError, MediaError
from sipnode.insight.exporter import AGAIN, BATCH, MOST_MAKING, MOST_WAITING, SOON, Exporter
from sipnode.insight.finished import SETTLE, Finished
from sipnode.insight.service import Insight
from sipnode.insight.spans import MOST_NOTES, MOST_SPANS, spans
from sipnode.settings import OtelSettings, RecorderSettings, Settings
from sipnode.testing import DOMAIN
from sipnode.wiring.insight import recorder_of
from sipnode.wiring.records import records_of
from tests.insight.kit import SDP, RecordedCase
from tests.insight.otlp import attributes, decoded, spans_of

TRACING = Tracing(1, 1.0)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TracingTests(SynchronousTestCase):
    """Identities."""

    def test_the_same_everywhere(self) -> None:
        """Servers of one call have one trace and a span each, which are what W3C wants them to be."""
        one, two = Tracing(1, 1.0), Tracing(2, 1.0)
        self.assertEqual(one.trace_id("call"), two.trace_id("call"))
        self.assertNotEqual(one.span_id("call"), two.span_id("call"))
        self.assertEqual(parsed(one.parent("call")), (one.trace_id("call"), one.span_id("call")))
        self.assertNotEqual(one.trace_id("call"), one.trace_id("cal"))
        self.assertTrue(one.parent("\udcff\x00").startswith("00-"))

    def test_share(self) -> None:
        """A share of the calls is traced, the same at each server, and those that aren't say so."""
        half = Tracing(1, 0.5)
        chosen = [call for call in map(str, range(1000)) if half.sampled(call)]
        self.assertTrue(400 < len(chosen) < 600)
        self.assertEqual(chosen, [call for call in map(str, range(1000)) if Tracing(7, 0.5).sampled(call)])
        self.assertTrue(half.parent(chosen[0]).endswith("-01"))
        self.assertFalse(Tracing(1, 0.0).sampled("call"))
        self.assertTrue(Tracing(1, 0.0).parent("call").endswith("-00"))

    def test_parsed(self) -> None:
        """Anything else than a traceparent is none."""
        self.assertEqual(parsed(f" {PARENT.upper()} "), (PARENT[3:35], PARENT[36:52]))
        for text in ("", PARENT[:-1], f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"ff{PARENT[2:]}", PARENT + "-x"):
            self.assertIsNone(parsed(text), text)


class SpanTests(RecordedCase):
    """The spans of a call."""

    def spans(self, call_id: str) -> list[Any]:
        """Read by OpenTelemetry's definitions."""
        made = spans(self.story(call_id), TRACING, self.insight.around)
        return spans_of(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}).encode())

    def test_good_call(self) -> None:
        """The call, a span for each transaction on either side, one for each question, all of one trace, each in its parent's."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        self.world.clock.advance(5)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        found = self.spans(call.invite.call_id)
        names = [(span.name, span.kind) for span in found]
        self.assertEqual(names[:2], [("call", 2), ("INVITE", 2)])
        for wanted in (("INVITE", 3), ("relay offer", 3), ("relay answer", 3), ("BYE", 2), ("BYE", 3)):
            self.assertEqual(names.count(wanted), 1, names)
        self.assertEqual({span.trace_id.hex() for span in found}, {TRACING.trace_id(call.invite.call_id)})
        root, by_id = found[0], {span.span_id: span for span in found}
        self.assertEqual((root.span_id.hex(), root.parent_span_id, root.status.code), (TRACING.span_id(call.invite.call_id), b"", 0))
        self.assertEqual(len(by_id), len(found))
        for span in found[1:]:
            parent = by_id[span.parent_span_id]
            self.assertTrue(parent.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano)
        passed = next(span for span in found if (span.name, span.kind) == ("INVITE", 3))
        self.assertEqual(by_id[passed.parent_span_id].name, "INVITE")
        self.assertEqual(attributes(passed)["sip.status_code"], 200)
        self.assertEqual(round((root.end_time_unix_nano - root.start_time_unix_nano) / 1e9), 5)
        about = attributes(root)
        self.assertEqual((about["sip.from"], about["sip.to"]), ("alice@example.test", "bob@example.test"))
        self.assertEqual(about["sip.outcome"], "completed")
        self.assertEqual(about["sip.call_id"], call.invite.call_id)

    def test_failed_call(self) -> None:
        """A call that failed is an error with the sentence that explains it, and so is the question that failed."""
        assert self.relay is not None
        self.relay.error = MediaError("Ran out of ports", 503)
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        found = self.spans(invite.call_id)
        self.assertEqual((found[0].status.code, found[0].status.message), (2, self.why(invite.call_id)["sentence"]))
        offer = next(span for span in found if span.name == "relay offer")
        self.assertEqual((offer.status.code, "Ran out of ports" in offer.status.message), (2, True))

    def test_silent(self) -> None:
        """A transaction that nobody answered ends with the call, as an error; repeats are events."""
        carol = self.world.phone("carol")
        carol.register()
        carol.take()
        invite = self.alice.send("INVITE", carol.aor, (), SDP)
        self.world.advance(40)
        found = self.spans(invite.call_id)
        silent = next(span for span in found if (span.name, span.kind) == ("INVITE", 3))
        self.assertEqual((silent.status.code, silent.status.message), (2, "no answer"))
        self.assertGreater(sum("once more" in event.name for event in found[0].events), 3)

    def test_link(self) -> None:
        """A trace that the script names is linked; nonsense isn't."""
        invite = self.alice.send("INVITE", f"sip:nobody@{DOMAIN}", (), SDP)
        for text in (PARENT, "nonsense"):
            self.recorder.noted(self.world.clock.seconds(), invite.call_id, TRACED, (text,))
        (link,) = self.spans(invite.call_id)[0].links
        self.assertEqual((link.trace_id.hex(), link.span_id.hex()), (PARENT[3:35], PARENT[36:52]))
        self.assertIn(PARENT, self.insight.export(invite.call_id, "text")["text"])

    def test_bounds(self) -> None:
        """However much there was, the trace is bounded, and says what it lacks."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call_id, now = call.invite.call_id, self.world.clock.seconds()
        for number in range(400):
            self.recorder.asked(now, call_id, "dns", f"name{number}" * 100)
        for _ in range(100):
            self.recorder.noted(now, call_id, "branched", (0, "INVITE", "x" * 1000, "UDP", ("192.0.2.1", 5060)))
        found = self.spans(call_id)
        self.assertEqual(len(found), MOST_SPANS)
        self.assertGreater(attributes(found[0])["sipnode.spans_left_out"], 100)
        self.assertEqual((len(found[0].events), found[0].dropped_events_count > 30), (MOST_NOTES, True))
        self.assertLess(max(len(span.name) for span in found), 300)

    def test_hostile(self) -> None:
        """Whatever a stranger wrote, it is a trace that can be read, without control characters."""
        for text in (b"\x1b[2J\x00", b"\xff\xfe", "\u202e".encode(), b"\"}],", b"%s" % (b"x" * 5000)):
            invite = b"INVITE sip:%s@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
            invite += b"From: \"%s\" <sip:%s@example.test>;tag=1\r\nTo: <sip:bob@example.test>\r\nCall-ID: evil\r\nCSeq: 1 INVITE\r\n\r\n"
            self.world.sink.received(invite % (text, text, text, text), self.alice.flow)
        made = json.dumps(spans(self.story("evil"), TRACING, self.insight.around))
        self.assertTrue(json.dumps(json.loads(made)).isprintable())
        self.assertGreaterEqual(len(self.spans("evil")), 1)


class ExporterTests(RecordedCase):
    """The way to the collector."""

    def setUp(self) -> None:
        super().setUp()
        self.bodies: list[bytes] = []
        self.answer: Any = 200
        self.exporter = self.exporting()
        self.finished = Finished(self.world.clock)
        self.finished.takers.append(self.exporter.take)
        self.recorder.finished = self.finished.ended

    def exporting(self, share: float = 1.0, run: Any = maybeDeferred) -> Exporter:
        """An exporter that runs."""
        about = {"service.name": "edge", "service.version": "1.2"}
        around, closings = (lambda: self.insight.around), self.recorder.closings
        made = Exporter(self.world.clock, Tracing(1, share), around, closings, run, self.post, about, "1.2")
        made.startService()
        return made

    def post(self, body: bytes) -> Deferred[int]:
        """The collector."""
        self.bodies.append(body)
        return self.answer if isinstance(self.answer, Deferred) else succeed(self.answer)

    def call(self) -> str:
        """A call that ends; its Call-ID."""
        self.alice.take()
        return self.alice.send("INVITE", f"sip:nobody@{DOMAIN}", (), SDP).call_id

    def test_batch(self) -> None:
        """Calls of a second go together, some seconds after their end, and say who made them."""
        call_ids = [self.call() for _ in range(3)]
        self.assertEqual(self.bodies, [])
        self.world.clock.advance(SETTLE)
        self.world.clock.advance(SOON)
        (body,) = self.bodies
        request = decoded(body)
        self.assertEqual(attributes(request.resource_spans[0].resource), {"service.name": "edge", "service.version": "1.2"})
        self.assertEqual(request.resource_spans[0].scope_spans[0].scope.name, "sipnode")
        calls = [attributes(span)["sip.call_id"] for span in spans_of(body) if span.name == "call"]
        self.assertEqual((calls, self.exporter.sent, self.exporter.waiting), (call_ids, 3, 0))

    def test_strangers(self) -> None:
        """Calls of strangers that were refused have no trace, however many there are."""
        eve = self.world.phone("eve", domain="elsewhere.test")
        for _ in range(50):
            eve.send("INVITE", f"sip:nobody@{DOMAIN}", (), SDP)
        self.world.clock.pump([SETTLE, SOON, SOON])
        self.assertEqual((self.bodies, self.exporter.waiting, self.finished.dropped), ([], 0, 0))

    def test_share(self) -> None:
        """Calls that aren't of the share are neither made nor sent."""
        none = self.exporting(0.0)
        none.take(self.ring.records[self.call()])
        self.assertEqual((none.waiting, none.dropped), (0, 0))

    def test_away(self) -> None:
        """A collector that is away is tried again, ever more slowly, told once, and then gets all in their order."""
        self.answer = fail(OSError("Connection refused"))
        first = self.call()
        self.world.clock.advance(SETTLE)
        self.world.clock.advance(SOON)
        self.assertEqual((len(self.bodies), self.exporter.waiting, "refused" in self.exporter.fault), (1, 1, True))
        second = self.call()
        for wait in AGAIN:
            self.answer = 503
            self.world.clock.pump([SETTLE, wait])
        self.assertGreater(len(self.bodies), 3)
        self.answer = 200
        self.world.clock.advance(AGAIN[-1])
        calls = [attributes(span)["sip.call_id"] for span in spans_of(self.bodies[-1]) if span.name == "call"]
        self.assertEqual((calls, self.exporter.sent, self.exporter.fault), ([first, second], 2, ""))

    def test_refused(self) -> None:
        """What a collector refuses isn't tried again, and counted."""
        self.answer = 400
        self.call()
        self.world.clock.pump([SETTLE, SOON, 100])
        self.assertEqual((len(self.bodies), self.exporter.dropped, self.exporter.waiting), (1, 1, 0))

    def test_dead(self) -> None:
        """A collector that never answers holds up nobody, and no more wait for it than there is room for."""
        self.answer = Deferred()
        record = self.ring.records[self.call()]
        self.finished.takers.clear()
        for _ in range(3):
            for _ in range(MOST_WAITING):
                self.exporter.take(record)
            self.world.clock.advance(SOON)
        self.assertEqual(len(self.bodies), 1)
        self.assertLessEqual(self.exporter.waiting, MOST_WAITING)
        self.assertEqual(self.exporter.dropped + self.exporter.waiting + BATCH, 3 * MOST_WAITING)

    def test_slow_thread(self) -> None:
        """A thread that doesn't get on is given no more than it can have."""
        exporter = self.exporting(run=lambda *arguments: Deferred())
        record = self.ring.records[self.call()]
        for _ in range(3 * MOST_MAKING):
            exporter.take(record)
        self.assertEqual((exporter.waiting, exporter.dropped), (MOST_MAKING, 2 * MOST_MAKING))

    def test_stop(self) -> None:
        """A server that stops sends what it has."""
        call_id = self.call()
        self.finished.stopService()
        self.successResultOf(maybeDeferred(self.exporter.stopService))
        self.assertEqual([attributes(span)["sip.call_id"] for span in spans_of(self.bodies[0]) if span.name == "call"], [call_id])


class WiringTests(SynchronousTestCase):
    """The settings."""

    def test_services(self) -> None:
        """A collector has its service; without a recorder it is refused."""
        insight = Insight(recorder_of(RecorderSettings(enabled=True)))
        settings = Settings(otel=OtelSettings(endpoint="http://127.0.0.1:4318/v1/traces", header="Authorization: Bearer x"))
        self.assertEqual([service.name for service in records_of(insight, settings, Path("."), None)], ["otel", "finished"])
        self.assertRaises(ConfigError, records_of, Insight(None), settings, Path("."), None)
