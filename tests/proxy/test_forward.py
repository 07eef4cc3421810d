"""Copies that go on and back: only what has to change does."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError, NoRoute, ParseError, Reject
from sipnode.proxy.faults import answer_to
from sipnode.proxy.forward import challenges, own_headers, returned_response, stateless_branch
from sipnode.sip import build
from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message


def response(head: str) -> SipResponse:
    """A response of header lines."""
    message = parse_message(f"SIP/2.0 200 OK\r\n{head}\r\n\r\n".encode())
    assert isinstance(message, SipResponse)
    return message


class ReturnedTests(SynchronousTestCase):
    """A response without our Via."""

    def test_via_lines(self) -> None:
        """The topmost value goes, whether it has a line of its own, shares one, is folded, or has a quoted comma."""
        ours, theirs = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "SIP/2.0/UDP a.test;branch=z9hG4bK2"
        for head in (
            f"Via: {ours}\r\nVia: {theirs}",
            f"v: {ours} , {theirs}",
            f"Via: {ours},\r\n {theirs}",
            f'Via: {ours};x="a,b", {theirs}',
        ):
            back = returned_response(response(f"{head}\r\nX-Kept:  as   is"))
            self.assertEqual(back.values("via"), [theirs])
            self.assertIn("X-Kept:  as   is", back.lines)

    def test_original_is_kept(self) -> None:
        """The response that was received isn't changed."""
        received = response("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK2\r\nContact: <sip:a>")
        before = received.to_bytes()
        back = returned_response(received, "Contact: <sip:b>")
        self.assertEqual((received.to_bytes(), back.get("contact")), (before, "<sip:b>"))

    def test_contact_only_where_one_was(self) -> None:
        """No Contact is added where none was."""
        self.assertNotIn("contact", returned_response(response("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"), "Contact: <sip:b>"))

    def test_challenges(self) -> None:
        """Challenges are taken line by line, never split at their commas."""
        found = challenges(response('WWW-Authenticate: Digest realm="a", nonce="b"\r\nX: y\r\nProxy-Authenticate: Digest realm="c"'))
        self.assertEqual(found, [("www-authenticate", 'Digest realm="a", nonce="b"'), ("proxy-authenticate", 'Digest realm="c"')])

    def test_own_headers(self) -> None:
        """What a response made here has beyond what every response has."""
        made = build.response_to(
            build.request("INVITE", "sip:x", [("via", "SIP/2.0/UDP a"), ("to", "<sip:x>")]), 503, "", "t", (("retry-after", "5"),)
        )
        self.assertEqual(own_headers(made), [("retry-after", "5")])

    def test_stateless_branch(self) -> None:
        """An ACK's branch is the same for each repeat and another for each other ACK."""

        def ack(branch: str) -> str:
            lines = [("via", f"SIP/2.0/UDP a;branch={branch}"), ("call-id", "c"), ("cseq", "1 ACK")]
            return stateless_branch(build.request("ACK", "sip:x", lines))

        self.assertEqual(ack("z9hG4bKa"), ack("z9hG4bKa"))
        self.assertNotEqual(ack("z9hG4bKa"), ack("z9hG4bKb"))
        self.assertTrue(ack("z9hG4bKa").startswith("z9hG4bK"))


class FaultTests(SynchronousTestCase):
    """What errors answer."""

    def test_table(self) -> None:
        """Each error of the project has its response; an exception of code has none."""
        for error, expected in (
            (Reject(480, "Later", (("retry-after", "9"),)), (480, "Later", (("retry-after", "9"),))),
            (NoRoute("udp:10.0.0.1:5060 doesn't answer", 503), (503, "", ())),
            (ParseError("odd", 416), (416, "", ())),
            (MediaError('a "b"\\', 488), (488, "", (("warning", "399 sipnode \"a 'b'\""),))),
            (MediaError("full", 503), (503, "", (("warning", '399 sipnode "full"'), ("retry-after", "5")))),
            (ValueError("x"), None),
            (None, None),
        ):
            self.assertEqual(answer_to(error), expected)
