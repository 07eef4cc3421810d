"""The forms that a recorded call is given out in: what they say, and that nothing in a message commands who reads them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import struct
import subprocess
from xml.etree import ElementTree

from twisted.trial.unittest import SkipTest

from sipnode.insight.export import FORMS
from sipnode.insight.finding import Around
from sipnode.insight.masking import masked
from sipnode.insight.ring import RECEIVED, Ring
from sipnode.insight.service import row_of
from sipnode.insight.story import read
from sipnode.sip.parser import BrokenMessage, parse_message
from tests.insight.kit import SDP, RecordedCase
from tests.sip.kit import corpus

HOSTILE = "\x1b[31m\x9b2J\x07<script>alert(1)</script>`````|%%{init}%%;#quot;\u202e\u2028"


class FormTests(RecordedCase):
    """A call in each form."""

    def text(self, call_id: str, form: str) -> str:
        """A call in a form that is text."""
        export = self.insight.export(call_id, form)
        self.assertEqual((export["found"], export["form"], export["base64"]), (True, form, False))
        return export["text"]

    def call_id(self) -> str:
        """A call that went well."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        return call.invite.call_id

    def test_ladder(self) -> None:
        """Lanes by user, arrows between them, what was asked and decided, the time."""
        lines = self.text(self.call_id(), "text").split("\n")
        self.assertEqual(lines[2].split(), ["alice", "sipnode", "bob", "rtpengine"])
        invites = [line for line in lines if line.endswith("INVITE sip:bob@example.test [SDP]")]
        self.assertEqual(len(invites), 1)
        self.assertRegex(invites[0], r"^ +0\.000  \|-+>\| +\| +\|  INVITE")
        self.assertTrue(any(re.search(r"\| +\|<-+\| +\|  200 OK \(INVITE\) \[SDP\]$", line) for line in lines), lines)
        self.assertTrue(any("INVITE: stage location: RELAYED" in line for line in lines))
        self.assertTrue(any(line.endswith("completed, 200, ended by caller") for line in lines), lines)
        self.assertLess(max(map(len, lines)), 240)

    def test_repeats_are_dotted(self) -> None:
        """What came or left once more has another line."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.alice.send_again(invite)
        self.assertRegex(self.text(invite.call_id, "text"), r"\|\.+>\|.*once more")

    def test_mermaid(self) -> None:
        """Each line is of Mermaid's grammar."""
        lines = self.text(self.call_id(), "mermaid").split("\n")
        self.assertEqual(lines[:3], ["sequenceDiagram", "    autonumber", "    participant l0 as alice"])
        for line in lines[2:]:
            self.assertRegex(line, r"^    (participant l\d+ as|l\d+(->>|-->>|-x)l\d+:|Note over l\d+:) [^;<>`|\"]*(#\d+;[^;<>`|\"]*)*$")

    def test_markdown(self) -> None:
        """A report: why, ladder, messages."""
        text = self.text(self.call_id(), "markdown")
        for part in ("Nothing is wrong", "## Ladder", "## Messages", "INVITE sip:bob@example.test SIP/2.0"):
            self.assertIn(part, text)

    def test_json(self) -> None:
        """Story and explanation."""
        call_id = self.call_id()
        found = json.loads(self.text(call_id, "json"))
        self.assertEqual((found["story"]["call_id"], found["explanation"]["rule"]), (call_id, "nothing"))

    def packets(self, call_id: str) -> list[bytes]:
        """Packets of a capture file."""
        export = self.insight.export(call_id, "pcap")
        data = base64.b64decode(export["text"])
        self.assertEqual(struct.unpack("<IHHiIII", data[:24]), (0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        found, place = [], 24
        while place < len(data):
            _, _, length, whole = struct.unpack("<IIII", data[place : place + 16])
            self.assertEqual(length, whole)
            found.append(data[place + 16 : place + 16 + length])
            place += 16 + length
        return found

    def test_pcap(self) -> None:
        """Each message is a packet with its addresses, whose SIP can be read and whose secrets are covered."""
        call_id = self.call_id()
        messages = [entry for entry in self.story(call_id).entries if entry.is_message]
        packets = self.packets(call_id)
        self.assertEqual(len(packets), len(messages))
        for packet, entry in zip(packets, messages, strict=True):
            self.assertEqual(packet[0], 0x45)
            self.assertEqual(struct.unpack("!H", packet[2:4])[0], len(packet))
            source = ".".join(map(str, packet[12:16])), struct.unpack("!H", packet[20:22])[0]
            self.assertEqual(source, entry.remote if entry.incoming else entry.local)
            self.assertEqual(packet[28:], entry.data)
            parse_message(packet[28:])

    def test_ipv6(self) -> None:
        """An end with an IPv6 address has packets of that family, the other, too."""
        carol = self.world.phone("carol", host="2001:db8::5")
        invite = carol.send("INVITE", self.bob.aor, (), SDP)
        self.assertEqual({packet[0] >> 4 for packet in self.packets(invite.call_id)}, {4, 6})

    def test_tshark(self) -> None:
        """Wireshark reads SIP in each packet, whatever transport it came by, with right checksums."""
        program = shutil.which("tshark")
        if program is None:
            raise SkipTest("tshark isn't there")
        export = self.insight.export(self.call_id(), "pcap")
        command = [
            program,
            "-r",
            "-",
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
            "-d",
            "udp.port==1-65535,sip",
            "-T",
            "fields",
        ]
        fields = [part for name in ("sip.Call-ID", "ip.checksum.status", "udp.checksum.status") for part in ("-e", name)]
        done = subprocess.run([*command, *fields], input=base64.b64decode(export["text"]), capture_output=True, check=True, timeout=60)
        rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
        self.assertEqual(len(rows), len(self.packets(self.insight.rows(1, "")[0]["call_id"])))
        for row in rows:
            self.assertEqual((bool(row[0]), row[1], row[2]), (True, "1", "1"), row)

    def test_unknown(self) -> None:
        """A call that isn't recorded has no empty form; it is said."""
        for form in FORMS:
            export = self.insight.export("nobody", form)
            self.assertFalse(export["found"])
            self.assertIn("not recorded", export["text"])


class HostileTests(RecordedCase):
    """Messages made to harm."""

    def check_text(self, text: str, form: str) -> None:
        """A text has no control characters but line ends."""
        if form == "svg":
            ElementTree.fromstring(text.encode())
        rest = text.replace("\n", "").replace("\t", "")
        self.assertTrue(rest.isprintable(), [form, [each for each in rest if not each.isprintable()][:5]])

    def test_controls(self) -> None:
        """A name full of escapes comes to nobody's terminal, page or diagram as such."""
        invite = self.alice.send("INVITE", self.bob.aor, (("subject", HOSTILE), ("user-agent", HOSTILE)), SDP + HOSTILE.encode())
        for form in FORMS:
            export = self.insight.export(invite.call_id, form)
            if export["base64"]:
                continue
            self.check_text(export["text"], form)
            if form == "mermaid":
                self.assertNotIn("<", export["text"].replace("->>", ""))
            if form == "markdown":
                fences = [line for line in export["text"].split("\n") if line.startswith("```")]
                self.assertEqual(len(fences) % 2, 0)
        self.check_text(json.dumps(self.insight.document(invite.call_id), ensure_ascii=False), "document")

    def test_anything(self) -> None:
        """Whatever octets are in the ring, every form is made of them, and every row of the list."""
        pieces = [
            b"", b"\r\n\r\n", b"\x00" * 70_000, b"INVITE sip:a@b SIP/2.0\r\n\r\n", b"\xff\xfe" * 2000, HOSTILE.encode(),
            b"SIP/2.0 999 \xc3\x28\r\nFrom: <\r\nTo: >\r\nCall-ID: x\r\nCSeq: x y z\r\nVia: \r\n\r\n",
            b"INVITE sip:\x1b[2J SIP/2.0\r\nFrom: \"\x1b\" <sip:%00@[::1>;tag=\r\nTo: sip:\xff\r\nCSeq: 99999999999999 INVITE\r\n"
            b"\r\nv=0\r\nm=\r\nm=a b\r\n",
            b"INVITE sip:a@b SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n\r\nv=0\r\nc=\r\n"
            b"c=IN IP4\r\nm=audio 99999999 X\r\na=crypto:\r\na=rtpmap:\r\nm=audio 1/2 RTP/AVP " + b"9 " * 5000,
        ]  # fmt: skip
        places = [("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060), ""), ("WS", ("::1", 80), ("not an address", 70_000), "token")]
        ring = Ring(1 << 24, 100, 60, 60)
        for number, piece in enumerate(pieces):
            for kind in (RECEIVED, "sent", "resent", "unsent", "broken"):
                for transport, local, remote, token in places:
                    event = (float(number), kind, piece, transport, local, remote, token)
                    ring.note("x", event if kind in (RECEIVED, "broken") else (*event, "passed"), len(piece))
                    ring.note(f"one{number}", event if kind in (RECEIVED, "broken") else (*event, "passed"), len(piece))
        self.forms(ring)

    def test_corpus(self) -> None:
        """Every message of the corpus that lies beside the project, torture and attack, through server, recorder and each form."""
        folder = corpus()
        if folder is None:
            raise SkipTest("there is no ../shared/corpus here")
        count = 0
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (".tsv", ".md", ".py"):
                data = path.read_bytes()[:65_000]
                count += 1
                for phone in (self.alice, self.bob):
                    if not phone.flow.closed:
                        self.world.sink.received(data, phone.flow)
                ring = Ring(1 << 20, 10, 60, 60)
                ring.note("x", (0.0, RECEIVED, data, "UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060), ""), len(data))
                self.forms(ring)
        self.assertGreater(count, 100)
        self.forms(self.ring)
        self.assertLessEqual(self.ring.size, self.ring.most_octets)
        self.flushLoggedErrors()

    def forms(self, ring: Ring) -> None:
        """Each form of each record can be made, and is harmless."""
        for record in ring.records.values():
            row_of(record)
            story = read(record, {})
            for form, make in FORMS.items():
                export = make(story, Around())
                if not export["base64"]:
                    self.check_text(export["text"], form)

    def test_masking_keeps_the_length(self) -> None:
        """A message has as many octets with its secrets covered as before, so that Content-Length stays right."""
        secrets = (
            b'Authorization: Digest username="a", nonce="N1", response="R1", cnonce="C1"', b"Proxy-Authorization: Bearer T1",
            b'WWW-Authenticate: Digest realm="x", nonce="N2"', b"Contact: <sip:a@b;pn-prid=P1;x=y>", b"Record-Route: <sip:b;lr;sn=S1>",
        )  # fmt: skip
        head = b"INVITE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\n"
        body = b"\r\n\r\nv=0\r\na=crypto:1 AES inline:K1|2^20\r\na=ice-pwd:I1\r\n"
        for line in secrets:
            data = head + line + body
            covered = masked(data)
            self.assertEqual(len(covered), len(data))
            self.assertEqual(covered.count(b"\r\n"), data.count(b"\r\n"))
            for secret in (b"N1", b"R1", b"C1", b"T1", b"N2", b"P1", b"S1", b"K1", b"I1"):
                self.assertNotIn(secret, covered, line)
        for folded in (b'Authorization: Digest\r\n response="R1"', b"authorization:\tBasic\r\n\tT1"):
            self.assertNotIn(b"R1", masked(head + folded + body))
            self.assertNotIn(b"T1", masked(head + folded + body))
        digits = b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n5"
        self.assertEqual(masked(digits)[-1:], b"*")

    def test_broken_messages_fit(self) -> None:
        """What the parser refuses is kept, too, and shown."""
        self.assertRaises(BrokenMessage, parse_message, b"INVITE\r\nCall-ID: broken-one\r\n\r\n")
        self.world.sink.received(b"INVITE\r\nCall-ID: broken-one\r\n\r\n", self.alice.flow)
        self.assertEqual(self.story("broken-one").entries[0].kind, "broken")
        self.assertIn("can't be read", self.insight.export("broken-one", "text")["text"])
