"""Level, form and wire trace of the log."""

from __future__ import annotations

import io
import json
from typing import Any, ClassVar

from twisted.logger import Logger, LogPublisher, formatEvent, formatTime, textFileLogObserver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.tap import Tap
from sipnode.fakes import FakeFlow
from sipnode.log import LogControl
from sipnode.observe.wiretrace import WireTrace, masked
from sipnode.settings import LogSettings

INVITE = (
    b"INVITE sip:bob@example.test SIP/2.0\r\nFrom: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@example.test>\r\n"
    b"Call-ID: one\r\nCSeq: 1 INVITE\r\n"
    b'Proxy-Authorization: Digest username="alice", nonce="abc", response="0123", cnonce="77", uri="sip:x"\r\n\r\n'
)
ANSWER = b"SIP/2.0 200 OK\r\nf: <sip:alice@example.test>;tag=1\r\nt: <sip:bob@example.test>\r\ni: one\r\nCSeq: 1 INVITE\r\n\r\n"


class ControlCase(SynchronousTestCase):
    """A publisher with an observer as twistd makes it."""

    def setUp(self) -> None:
        self.file = io.StringIO()
        self.publisher = LogPublisher(textFileLogObserver(self.file))
        self.tap = Tap()
        self.control = self.make(LogSettings())
        self.log = Logger(namespace="sipnode.test", observer=self.publisher)

    def make(self, settings: LogSettings) -> LogControl:
        """One that is in force."""
        control = LogControl(settings, self.tap, self.publisher)
        control.install()
        self.addCleanup(control.remove)
        return control

    def said(self) -> str:
        """What was written since the last look."""
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text


class One:
    """As an outcome of a call."""

    when = 1_700_000_000.5
    call_id = "call-1"
    text = "a -> b: completed"
    facts: ClassVar[dict[str, Any]] = {"outcome": "completed"}

    def __str__(self) -> str:
        return f"{self.call_id}: {self.text}"


class TogetherTests(ControlCase):
    """One event that stands for several lines."""

    def test_text(self) -> None:
        """Each is a line as Twisted would have written it, with its own time."""
        self.log.info("{call_id}: {text}", call_id="call-1", text=One.text)
        head, _, rest = self.said().partition(" ")
        self.log.info("{together}", together=[One(), One()])
        lines = self.said().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual({line.partition(" ")[2] for line in lines}, {rest.strip()})
        self.assertEqual(lines[0].partition(" ")[0], formatTime(1_700_000_000))
        self.assertEqual(len(head), len(lines[0].partition(" ")[0]))

    def test_level(self) -> None:
        """Below the level none of them is."""
        self.control.set_level("warn")
        self.log.info("{together}", together=[One()])
        self.assertEqual(self.said(), "")

    def test_json(self) -> None:
        """Each is an object in a line."""
        self.control = self.make(LogSettings(format="json"))
        self.log.info("{together}", together=[One(), One()])
        lines = [json.loads(line) for line in self.said().splitlines()]
        found = [(line["call_id"], line["outcome"], line["room"]) for line in lines]
        self.assertEqual(found, [("call-1", "completed", "sipnode.test")] * 2)
        self.assertEqual(lines[0]["text"], "call-1: a -> b: completed")

    def test_other_observers(self) -> None:
        """An observer that makes its own text gets them one by one."""
        events: list[Any] = []
        publisher = LogPublisher(events.append)
        control = LogControl(LogSettings(), Tap(), publisher)
        control.install()
        self.addCleanup(control.remove)
        Logger(namespace="sipnode.test", observer=publisher).info("{together}", together=[One(), One()])
        self.assertEqual([formatEvent(event) for event in events], ["call-1: a -> b: completed"] * 2)


class LevelTests(ControlCase):
    """What is below the level isn't there."""

    def test_level(self) -> None:
        """Info by default; it changes while the server runs."""
        self.log.debug("one")
        self.log.info("two")
        self.control.set_level("warn")
        self.log.info("three")
        self.log.warn("four")
        self.control.set_level("debug")
        self.log.debug("five")
        said = self.said()
        self.assertEqual([word for word in ("one", "two", "three", "four", "five") if word in said], ["two", "four", "five"])
        self.assertRaises(ValueError, self.control.set_level, "loud")

    def test_chatter(self) -> None:
        """Libraries are heard at debug, and when they warn."""
        library = Logger(namespace="twisted.internet.protocol.Factory", observer=self.publisher)
        library.info("Starting factory")
        library.warn("oh")
        self.assertEqual(self.said().count("\n"), 1)
        self.control.set_level("debug")
        library.info("Starting factory")
        self.assertIn("Starting factory", self.said())

    def test_other_observers(self) -> None:
        """An observer that writes no file, such as syslog's, is filtered too; both are as before in the end."""
        heard: list[Any] = []
        self.control.remove()
        self.publisher.addObserver(heard.append)
        control = self.make(LogSettings(level="error"))
        self.log.warn("one")
        self.assertEqual((self.said(), heard), ("", []))
        control.remove()
        self.log.debug("two")
        self.assertIn("two", self.said())
        self.assertEqual(len(heard), 1)


class JsonTests(ControlCase):
    """``format = "json"``."""

    def test_lines(self) -> None:
        """Each event is one object on one line, whatever is in it; the form changes while the server runs."""
        self.control.apply(LogSettings(format="json"))
        self.log.info("{call_id}: two\nlines", call_id="id1")
        try:
            raise ValueError("bad")
        except ValueError:
            self.log.failure("it failed", Failure())
        first, second = map(json.loads, self.said().splitlines())
        self.assertEqual((first["level"], first["room"]), ("info", "sipnode.test"))
        self.assertEqual((first["call_id"], first["text"]), ("id1", "id1: two\nlines"))
        self.assertIn("ValueError: bad", second["traceback"])
        self.control.apply(LogSettings())
        self.log.info("text again")
        self.assertNotIn("{", self.said())


class TraceTests(ControlCase):
    """The wire trace and its conditions."""

    def setUp(self) -> None:
        super().setUp()
        self.flow = FakeFlow("UDP", ("192.0.2.7", 5062))

    def test_conditions(self) -> None:
        """Each lets through what fits it, in requests and responses, compact names too; together all have to fit."""
        for fits in ({}, {"user": "bob"}, {"user": "ALICE"}, {"call_id": "one"}, {"method": "invite"}, {"address": "192.0.2.7"},
                     {"address": "192.0.2.7:5062"}, {"user": "bob", "method": "INVITE", "call_id": "one"}):  # fmt: skip
            trace = WireTrace(**fits)
            self.assertTrue(trace.wants(INVITE, self.flow) and trace.wants(ANSWER, self.flow), fits)
        for other in ({"user": "bo"}, {"user": "carol"}, {"call_id": "on"}, {"method": "BYE"}, {"address": "192.0.2.70"},
                      {"address": "192.0.2.7:5060"}, {"user": "bob", "method": "BYE"}, {"call_id": "o.e"}):  # fmt: skip
            trace = WireTrace(**other)
            self.assertFalse(trace.wants(INVITE, self.flow) or trace.wants(ANSWER, self.flow), other)

    def test_switch(self) -> None:
        """On and off while the server runs; what would let somebody sign in isn't written."""
        self.assertEqual(self.tap.watchers, ())
        self.control.trace_on(user="carol")
        self.control.trace_on(user="bob")
        trace, = self.tap.watchers
        assert isinstance(trace, WireTrace)
        self.patch(trace, "log", self.log)
        assert self.tap.on_broken_received is not None
        self.tap.on_broken_received.broken_received(0.0, INVITE, self.flow)
        said = self.said()
        self.assertIn("received, and can't be read, from udp:192.0.2.7:5062", said)
        self.assertIn('username="alice"', said)
        for secret in ("abc", "0123", "77"):
            self.assertNotIn(secret, said.partition("Digest")[2])
        self.control.trace_off()
        self.assertEqual(self.tap.watchers, ())

    def test_setting(self) -> None:
        """``wire = true`` begins with it."""
        control = self.make(LogSettings(wire=True))
        self.assertEqual(self.tap.watchers, (control.trace,))

    def test_masked(self) -> None:
        """Any other scheme is hidden whole, folded lines too."""
        text = masked(b"REGISTER sip:x SIP/2.0\r\nAuthorization: Bearer abc\r\n def\r\nExpires: 1\r\n\r\n")
        self.assertNotIn("abc", text)
        self.assertNotIn("def", text)
        self.assertIn("Expires: 1", text)
