"""The ladder as a drawing: well-formed whatever was in a message, with nothing in it that runs or comes from elsewhere."""

from __future__ import annotations

from xml.etree import ElementTree

from sipnode.insight.finding import Around
from sipnode.insight.ring import RECEIVED, Ring
from sipnode.insight.story import read
from sipnode.insight.svg import svg
from tests.insight.kit import SDP, RecordedCase
from tests.insight.test_export import HOSTILE

NAMESPACE = "{http://www.w3.org/2000/svg}"
TAGS = {"svg", "title", "rect", "g", "text", "path", "circle"}
ATTRIBUTES = {
    "width", "height", "viewBox", "font-family", "font-size", "font-weight", "text-anchor", "fill", "stroke", "stroke-width",
    "stroke-dasharray", "x", "y", "rx", "cx", "cy", "r", "d",
}  # fmt: skip


class SvgTests(RecordedCase):
    """svg()."""

    def drawn(self, text: str) -> ElementTree.Element:
        """The drawing, which holds nothing but shapes and text."""
        root = ElementTree.fromstring(text.encode())
        for element in root.iter():
            self.assertIn(element.tag.removeprefix(NAMESPACE), TAGS)
            self.assertLessEqual(set(element.attrib), ATTRIBUTES)
        return root

    def texts(self, root: ElementTree.Element) -> list[str]:
        """What a reader reads."""
        return [element.text or "" for element in root.iter(f"{NAMESPACE}text")]

    def test_call(self) -> None:
        """Lanes, arrows with their transport, the time, the sentence, and what the colours mean."""
        call = self.world.call(self.alice, self.bob, SDP, SDP)
        call.from_caller("BYE")
        self.bob.reply(self.bob.got("BYE"), 200)
        export = self.insight.export(call.invite.call_id, "svg")
        drawn = self.drawn(export["text"])
        texts = self.texts(drawn)
        for part in ("alice", "sipnode", "bob", "script", "rtpengine", "UDP", "WS", "ng", "+0.000"):
            self.assertIn(part, texts)
        self.assertTrue(any(text.startswith("Nothing is wrong") for text in texts), texts)
        self.assertIn("INVITE + SDP", texts)
        self.assertIn("INVITE sip:bob@example.test [SDP]", [title.text for title in drawn.iter(f"{NAMESPACE}title")], "pointed at, whole")

    def test_repeats(self) -> None:
        """What came once more is dotted."""
        invite = self.alice.send("INVITE", self.bob.aor, (), SDP)
        self.assertNotIn("1.5 4", self.insight.export(invite.call_id, "svg")["text"])
        self.alice.send_again(invite)
        text = self.insight.export(invite.call_id, "svg")["text"]
        self.assertIn('stroke-dasharray="1.5 4"', text)
        self.assertIn("sent once more", self.texts(self.drawn(text)))

    def test_failed(self) -> None:
        """Why a call failed stands in the drawing."""
        invite = self.alice.send("INVITE", "sip:nobody@example.test", (), SDP)
        texts = " ".join(self.texts(self.drawn(self.insight.export(invite.call_id, "svg")["text"])))
        self.assertIn("nobody@example.test isn't registered", texts)

    def test_hostile(self) -> None:
        """Markup, escapes and characters that XML doesn't have are text."""
        hostile = f'{HOSTILE}"\'><svg onload=alert(1)>&lt;&#0;]]>\ufffe\ud800'
        raw = (
            b"INVITE sip:b@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n"
            b"Call-ID: " + hostile.encode("utf-8", "surrogatepass") + b"\r\nCSeq: 1 INVITE\r\nUser-Agent: <script>/1\r\n\r\n"
        )
        ring = Ring(10**6, 100, 60.0, 60.0)
        record = ring.note(hostile, (0.0, RECEIVED, raw, "<b>", ("192.0.2.1", 1), ("192.0.2.9", 1), ""), len(raw))
        text = svg(read(record, {}), Around())
        self.drawn(text)
        self.assertTrue(all(char == "\n" or char.isprintable() for char in text))
