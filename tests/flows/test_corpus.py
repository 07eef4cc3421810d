"""The corpus through the proxy, between two ends: what it may not touch arrives as it came, or its sender is told why it didn't.

The messages lie beside the project (``../shared/corpus``) and are never copied; from each comes all but what leads it here.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.proxy.identity import kind_of
from sipnode.sip import build, ids
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.parser import parse_message
from sipnode.testing import DOMAIN, Phone, World

from ..sip.test_corpus import cases

BOB = f"sip:bob@{DOMAIN}"
KINDS = {"INVITE", "MESSAGE", "OPTIONS", "INFO", "NOTIFY", "REFER", "UPDATE", "PRACK"}
"""Methods that a proxy passes on outside of dialogs without having a word in it."""
OURS = {"via", "max-forwards", "route", "record-route", "contact", "content-length"}
"""Headers that a proxy may change."""
LED = {"via", "route", "record-route", "proxy-require", "require", "max-forwards"}


def messages(kind: type[SipMessage]) -> Iterator[tuple[str, SipMessage]]:
    """Those that can be read whole, with their names."""
    for case in cases():
        if case.transport == "udp":
            try:
                message = parse_message(case.data)
            except ParseError:
                continue
            if isinstance(message, kind):
                yield case.name, message


def untouched(message: SipMessage, without: set[str]) -> list[str]:
    """Its header lines, but for some, and for what strangers claim of themselves, which is taken out."""
    return [line for name, line in zip(message.names, message.lines, strict=True) if name not in without and not kind_of(name)]


class ProxyPathTests(SynchronousTestCase):
    """Alice's requests to Bob, and his responses, are the corpus's."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob")
        self.bob.register()
        self.count = 0

    def led(self, sender: Phone, message: SipRequest) -> SipRequest:
        """It, as if the sender had sent it to Bob: its own Via, and nothing that leads it elsewhere."""
        self.count += 1
        lines = [f"Via: SIP/2.0/UDP {sender.flow.remote[0]}:5060;branch={ids.MAGIC_COOKIE}c{self.count}", "Max-Forwards: 70"]
        kept = [(name, line) for name, line in zip(message.names, message.lines, strict=True) if name not in LED]
        names = ["via", "max-forwards", *(name for name, _line in kept)]
        return SipRequest(message.method, BOB, names, lines + [line for _name, line in kept], message.body)

    def test_requests(self) -> None:
        """Each that goes on has every line, in order, and its body; each that doesn't has its answer."""
        passed = refused = 0
        for name, message in messages(SipRequest):
            assert isinstance(message, SipRequest)
            if message.method not in KINDS or "to" not in message:
                continue
            sent = self.led(self.alice, message)
            self.alice.send_again(sent)
            got = [each for each in self.bob.take() if isinstance(each, SipRequest) and each.method != "ACK"]
            answers = self.alice.statuses()
            self.world.advance(0.5)
            if not got:
                self.assertTrue(any(status >= 400 for status in answers) or "tag=" in (sent.get("to") or ""), (name, answers))
                refused += 1
                continue
            self.assertEqual(len(got), 1, name)
            self.assertEqual(untouched(got[0], OURS), untouched(sent, OURS), name)
            self.assertEqual(got[0].body, sent.body, name)
            passed += 1
            self.bob.reply(got[0], 486)
            self.assertEqual(self.alice.statuses()[-1:], [486], name)
        self.assertGreater(passed, 150, f"{refused} were refused")
        self.world.advance(120)

    def test_responses(self) -> None:
        """Each is Bob's answer to a call: every line of its own arrives, and its body."""
        passed = 0
        dialog = {"via", "from", "to", "call-id", "cseq", "record-route", "contact", "content-length"}
        for name, message in messages(SipResponse):
            assert isinstance(message, SipResponse)
            if message.status == 100 or 300 <= message.status < 400 or message.status in (401, 407, 408, 503):
                continue
            invite = self.alice.send("INVITE", BOB)
            answer = build.response_to(self.bob.got("INVITE"), message.status, "", "corpus", [("contact", f"<{self.bob.contact}>")])
            answer.remove("content-length")
            for header, line in zip(message.names, message.lines, strict=True):
                if header not in dialog:
                    answer.names.append(header)
                    answer.lines.append(line)
            sent = SipResponse(answer.status, answer.reason, answer.names, answer.lines, message.body)
            sent.set("content-length", str(len(message.body)))
            self.world.sink.received(sent.to_bytes(), self.bob.flow)
            back = [each for each in self.alice.take() if isinstance(each, SipResponse) and each.call_id == invite.call_id]
            back = [each for each in back if each.status == message.status]
            self.assertEqual(len(back), 1, name)
            self.assertEqual(untouched(back[0], dialog), untouched(message, dialog), name)
            self.assertEqual(back[0].body, message.body, name)
            passed += 1
            self.world.advance(40)
            self.bob.register()
            self.bob.take()
            self.alice.take()
        self.assertGreater(passed, 40)
