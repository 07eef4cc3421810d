"""What the console shows of calls: lines, ladders, messages with what was changed; and that hostile messages stay text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sipnode.console.callview import difference
from sipnode.console.feed import FLUSH_SECONDS, MOST_CHANGED
from sipnode.console.listing import MOST_LINES
from sipnode.settings import ConsoleSettings, RecorderSettings
from tests.console.kit import USERS, ConsoleCase
from tests.insight.kit import SDP

HOSTILE = "\x1b[31m\x9b2J\x07<script>alert(1)</script>\u202e\u2028"


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in JSON, each with its name."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each, key)


class CallTests(ConsoleCase):
    """A call as JSON."""

    def setUp(self) -> None:
        super().setUp()
        self.sign_in("watcher")

    def view(self, call_id: str) -> Any:
        """A call."""
        return self.told(f"/api/call?id={quote(call_id, safe='')}")

    def message(self, call_id: str, number: int) -> Any:
        """One of its events."""
        return self.told(f"/api/message?id={quote(call_id, safe='')}&n={number}")

    def test_lanes(self) -> None:
        """Lanes are the two ends by user, the server, the script and the relay; arrows say by which transport."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        view = self.view(call.invite.call_id)
        self.assertEqual([(lane["name"], lane["kind"]) for lane in view["lanes"]], [
            ("alice", "peer"), ("sipnode", "sipnode"), ("bob", "peer"), ("script", "script"), ("rtpengine", "media"),
        ])  # fmt: skip
        self.assertEqual({event["transport"] for event in view["events"] if "transport" in event}, {"udp", "ws"})
        self.assertEqual({(event["from"], event["to"]) for event in view["events"] if event["room"] == "script"}, {(1, 3)})
        self.assertEqual({event["room"] for event in view["events"] if 4 in (event["from"], event["to"])}, {"media"})
        decided = [event for event in view["events"] if event["kind"] == "decided"]
        self.assertTrue(all(event["code"].startswith("script.py:") for event in decided), decided)
        self.assertTrue(all(0 <= event[end] < 5 for event in view["events"] for end in ("from", "to")))

    def test_changed(self) -> None:
        """A message that came is shown beside the one that was made of it: what was taken out and put in, and the line that decided."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        view = self.view(call.invite.call_id)
        number = [event["n"] for event in view["events"] if event["short"] == "INVITE + SDP" and event["from"] == 0][-1]
        told = self.message(call.invite.call_id, number)
        lines = [(sign, line) for sign, line, *_ in told["diff"]]
        self.assertEqual(lines[lines.index(("-", "Max-Forwards: 70")) + 1], ("+", "Max-Forwards: 69"))
        reasons = {f"{sign}{line.partition(':')[0]}": why for sign, line, *why in told["diff"]}
        self.assertRegex(reasons["+Record-Route"][0], r"^the dialog's later requests .* · record, script\.py:\d+$")
        self.assertRegex(reasons["-Proxy-Authorization"][0], r"credentials are for sipnode alone · auth, script\.py:\d+$")
        stages = [event for event in told["between"] if event["kind"] == "decided"]
        self.assertIn("RELAYED", stages[-1]["label"])
        self.assertRegex(stages[-1]["code"], r"^script\.py:\d+$")
        out = self.message(call.invite.call_id, told["made"][0]["n"])
        self.assertEqual((out["of"], out["diff"]), (number, told["diff"]))
        self.assertNotIn("secret", json.dumps(told))

    def test_why(self) -> None:
        """A call that failed has its sentence, remedy and proof; the set-up says where its time went."""
        invite = self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        view = self.view(invite.call_id)
        self.assertEqual((view["explanation"]["rule"], view["explanation"]["fault"]), ("not_registered", True))
        self.assertIn("nobody@example.test isn't registered", view["explanation"]["sentence"])
        self.assertTrue(view["setup"]["answered"])
        self.assertGreaterEqual(view["setup"]["whole"], 0)

    def test_not_recorded(self) -> None:
        """A call that isn't there is said to be not recorded, with the reason, and so is an event that isn't."""
        view = self.view("gone@nowhere")
        self.assertEqual((view["recorded"], view["id"]), (False, "gone@nowhere"))
        self.assertIn("not recorded", view["whyNot"])
        self.assertIn("not recorded", self.message("gone@nowhere", 3)["whyNot"])
        invite = self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.assertIn("999999 isn't one of them", self.message(invite.call_id, 999999)["whyNot"])
        for wrong in ("-1", "x", "", "9999999999999"):
            self.assertEqual(self.get(f"/api/message?id=x&n={wrong}").status, 400)

    def test_hostile(self) -> None:
        """Scripts and terminal escapes in a message come as text: in no view is a control character, but the line ends of a message."""
        text = HOSTILE.encode()
        raw = (
            b"INVITE sip:" + self.bob.aor[4:].encode() + b" SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKx\r\n"
            b'From: "' + text + b'" <sip:' + text.replace(b"<", b"").replace(b">", b"") + b"@x.test>;tag=1\r\nTo: <sip:b@example.test>\r\n"
            b"Call-ID: <img/src=x/onerror=alert(1)>\xff\x9b\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nUser-Agent: " + text + b"\r\n"
            b"Subject: " + text + b"\r\nContent-Length: 0\r\n\r\n"
        )
        self.world.sink.received(raw, self.alice.flow)
        self.world.sink.received(b"\x00<script>\xff\r\nCall-ID: broken<b>\r\n\r\n", self.alice.flow)
        lines = self.told("/api/calls")["calls"]
        found = [line["id"] for line in lines if "onerror" in line["id"]]
        self.assertEqual(len(found), 1, lines)
        name = quote(found[0].encode("utf-8", "surrogateescape"), safe="")
        view = self.told(f"/api/call?id={name}")
        self.assertTrue(view["recorded"])
        told = [self.told(f"/api/message?id={name}&n={event['n']}") for event in view["events"]]
        for key, value in texts([view, told, lines]):
            self.assertTrue(key == "id" or value.replace("\n", "").isprintable(), (key, value))
        answer = self.get(f"/api/call?id={name}")
        self.assertEqual((answer.headers["content-type"], answer.headers["x-content-type-options"]), ("application/json", "nosniff"))

    def test_export(self) -> None:
        """A call can be saved; what is saved is never shown in the console's own place."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        name = quote(call.invite.call_id, safe="")
        for form in ("text", "mermaid", "markdown", "json", "pcap"):
            answer = self.get(f"/api/export?id={name}&form={form}")
            self.assertEqual(answer.status, 200, form)
            self.assertTrue(answer.headers["content-disposition"].startswith("attachment; "), form)
        self.assertEqual(self.get(f"/api/export?id={name}&form=exe").status, 400)
        self.assertEqual(self.get("/api/export?id=gone&form=text").status, 404)

    def test_difference(self) -> None:
        """Lines are compared in their order, repeated ones too; of a message without end only the text is shown."""
        self.assertEqual(difference("A: 1\nB: 1\nC: 1", "A: 1\nB: 2\nC: 1\nD: 1"), [
            [" ", "A: 1"], ["-", "B: 1"], ["+", "B: 2"], [" ", "C: 1"], ["+", "D: 1"],
        ])  # fmt: skip
        self.assertEqual(difference("V: 1\nV: 1", "V: 1"), [[" ", "V: 1"], ["-", "V: 1"]])
        self.assertEqual(difference("x\n" * 5000, "y"), [])


class ActTests(ConsoleCase):
    """What an admin may do."""

    act: Any = {"method": "ul.rm", "params": ["location", "bob@example.test"]}

    def test_viewer(self) -> None:
        """A viewer sees, and changes nothing."""
        self.sign_in("watcher")
        self.assertEqual(self.post("/api/act", self.act).status, 403)
        self.assertTrue(self.world.core.registrar.online("bob@example.test"))

    def test_admin(self) -> None:
        """An admin does what the console offers, by the RPC and with its checks, and nothing else."""
        self.sign_in()
        answer = self.post("/api/act", self.act)
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {"result": {}}))
        self.assertFalse(self.world.core.registrar.online("bob@example.test"))
        wrong = self.post("/api/act", {"method": "ul.rm", "params": [5]})
        self.assertEqual(json.loads(wrong.body)["error"]["code"], -32602)
        for method in ("cfg.set", "core.kill", "system.listMethods", "", None, ["ul.rm"]):
            self.assertEqual(self.post("/api/act", {"method": method, "params": []}).status, 400, method)
        self.assertEqual(self.post("/api/act", {"method": "ul.rm", "params": "x"}).status, 400)


class ListTests(ConsoleCase):
    """The list of calls."""

    recorder_settings = RecorderSettings(enabled=True, megabytes=64, calls=20000, seconds=600, failed_seconds=3600)
    console_settings = ConsoleSettings(enabled=True, users=USERS)

    def test_long(self) -> None:
        """Of many thousands of records the newest five thousand are listed, made in slices."""
        assert self.insight.keeper is not None
        self.sign_in()
        line = b"OPTIONS sip:x@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK%d\r\nFrom: <sip:a@b.test>;tag=1\r\n"
        for number in range(MOST_LINES + 10):
            head = line % number + b"To: <sip:x@example.test>\r\nCall-ID: %d@x\r\nCSeq: 1 OPTIONS\r\n\r\n" % number
            event = (1_700_000_000.0, "received", head, "UDP", ("192.0.2.1", 5060), ("192.0.2.9", 5060), "")
            self.insight.keeper.ring.note(f"{number}@x", event, len(head))
        told = self.told("/api/calls")["calls"]
        self.assertEqual((len(told), told[0]["id"], told[-1]["id"]), (MOST_LINES, f"{MOST_LINES + 9}@x", "10@x"))

    def test_flood(self) -> None:
        """While more happens than pages are told, they get one list for a while, whoever asks; else each gets what is so now."""
        self.sign_in()
        feed = self.console.service.feed
        self.ask("/api/feed")
        for _ in range(MOST_CHANGED + 1):
            self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.world.clock.advance(FLUSH_SECONDS)
        self.assertTrue(feed.flooded)
        before = len(self.told("/api/calls")["calls"])
        self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.assertEqual(len(self.told("/api/calls")["calls"]), before)
        self.world.clock.advance(60)
        self.assertFalse(feed.flooded)
        self.assertEqual(len(self.told("/api/calls")["calls"]), before + 1)

    def test_words(self) -> None:
        """Each call has the words that it can be found by."""
        self.sign_in()
        self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        self.alice.take()
        up = self.world.call(self.alice, self.bob, SDP, SDP)
        words = {line["callee"]: (line["state"], line["words"]) for line in self.told("/api/calls")["calls"] if line["method"] == "INVITE"}
        self.assertEqual(words["nobody@example.test"], ("failed", ["problems", "failed"]))
        self.assertEqual(words["bob@example.test"], ("live", ["live"]))
        del up


class OffTests(ConsoleCase):
    """Without a recorder."""

    def setUp(self) -> None:
        super().setUp()
        self.insight.keeper = None

    def test_off(self) -> None:
        """It is said that nothing is recorded; nothing is shown as empty."""
        self.sign_in()
        self.assertEqual(self.told("/api/calls"), {"on": False, "calls": []})
        self.assertIn("[recorder] enabled is false", self.told("/api/call?id=x")["whyNot"])
        self.ask("/api/feed")
