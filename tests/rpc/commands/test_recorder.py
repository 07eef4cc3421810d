"""recorder.*: what is recorded of calls."""

from __future__ import annotations

import json

from sipnode.settings import RecorderSettings, Settings
from sipnode.testing import World
from tests.rpc.support import RpcCase

SDP = b"v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class RecorderTests(RpcCase):
    """The methods."""

    def setUp(self) -> None:
        self.prepare(World(Settings(recorder=RecorderSettings(enabled=True))))
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WS")
        for phone in (self.alice, self.bob):
            phone.register()
            phone.take()

    def test_a_call(self) -> None:
        """It is listed, and has lanes and events: who, by what, what sipnode changed in it, and which stage decided."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        (row,) = self.call("recorder.list")
        self.assertEqual(
            (row["caller"], row["callee"], row["state"], row["whole"]), ("alice@example.test", "bob@example.test", "live", True)
        )
        story = self.call("recorder.get", call.invite.call_id)
        self.assertTrue(story["recorded"])
        self.assertEqual(
            [(lane["kind"], lane["name"]) for lane in story["lanes"]], [("peer", "alice"), ("sipnode", "sipnode"), ("peer", "bob")]
        )
        came, left = (event for event in story["events"] if event["method"] == "INVITE" and not event["status"])
        self.assertEqual(((came["start"], came["end"]), (left["start"], left["end"])), ((0, 1), (1, 2)))
        self.assertEqual(left["of"], came["n"])
        self.assertIn("-Max-Forwards: 70", left["changes"])
        self.assertIn("+Max-Forwards: 69", left["changes"])
        self.assertEqual(
            [event["label"] for event in story["events"] if event["room"] == "routing"][:1], ["INVITE: stage location: RELAYED"]
        )
        later = self.call("recorder.get", call.invite.call_id, came["n"])
        self.assertEqual(later["events"], story["events"][1:])
        self.assertEqual(later["lanes"], story["lanes"])

    def test_search(self) -> None:
        """Words choose calls."""
        self.world.call(self.alice, self.bob, SDP, SDP)
        for word, count in (("alice", 1), ("INVITE bob", 1), ("problems", 0), ("live", 1), ("live nobody", 0)):
            self.assertEqual(len(self.call("recorder.list", 10, word)), count, word)

    def test_not_recorded_is_said(self) -> None:
        """A call that isn't known isn't shown as one in which nothing happened."""
        story = self.call("recorder.get", "nothing")
        self.assertFalse(story["recorded"])
        self.assertIn("not recorded", story["why_not"])
        self.assertTrue(self.call("recorder.state")["on"])

    def test_explain(self) -> None:
        """A call that failed has its sentence, what to do, and its proof; one that isn't recorded says so."""
        invite = self.alice.send("INVITE", "sip:carol@example.test", (), SDP)
        why = self.call("sipnode.explain", invite.call_id)
        self.assertEqual((why["recorded"], why["fault"], why["rule"]), (True, True, "not_registered"))
        self.assertIn("carol@example.test isn't registered", why["sentence"])
        self.assertEqual(why["proof"][0]["label"], "INVITE sip:carol@example.test [SDP]")
        self.assertFalse(self.call("sipnode.explain", "nobody")["recorded"])

    def test_export(self) -> None:
        """In any form that there is."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        for form in ("text", "mermaid", "markdown", "json", "explanation", "pcap"):
            export = self.call("recorder.export", call.invite.call_id, form)
            self.assertEqual((export["found"], export["form"], export["base64"]), (True, form, form == "pcap"))
        self.assertEqual(self.refused("recorder.export", call.invite.call_id, "gif")[0], 400)

    def test_off(self) -> None:
        """Where nothing is recorded that is said, too."""
        self.prepare(World())
        self.assertFalse(self.call("recorder.state")["on"])
        self.assertEqual(self.call("recorder.list"), [])
        self.assertIn("[recorder] enabled", self.call("recorder.get", "x")["why_not"])

    def test_secrets(self) -> None:
        """No secret of a message is given out, nor a control character that somebody sent."""
        credentials = (
            'Digest username="alice", realm="example.test", nonce="NONCE5", uri="sip:b", response="abcdef0123456789", cnonce="CNONCE7"'
        )
        sdp = SDP + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SDESKEY\r\na=ice-pwd:ICEPWD\r\n"
        headers = (("authorization", credentials), ("subject", "\x9b31mred"), ("proxy-authorization", "Bearer TOKEN9"))
        invite = self.alice.send("INVITE", self.bob.aor, headers, sdp)
        text = json.dumps(self.call("recorder.get", invite.call_id), ensure_ascii=False)
        self.assertIn('username=\\"alice\\"', text)
        for secret in ("NONCE5", "abcdef0123456789", "CNONCE7", "SDESKEY", "ICEPWD", "TOKEN9", "\x9b"):
            self.assertNotIn(secret, text)
        info = self.alice.send(
            "INFO", self.bob.aor, (), b"Signal=7\r\nDuration=160\r\n", call_id=invite.call_id, content_type="application/dtmf-relay"
        )
        text = json.dumps(self.call("recorder.get", info.call_id))
        self.assertIn("Signal=*", text)
        self.assertNotIn("Signal=7", text)
