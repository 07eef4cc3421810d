"""Tests of messages of our own: responses, ACK, CANCEL, new requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.build import ack_for, cancel_for, request, response_to
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import BrokenMessage, parse_message
from sipnode.sip.status import REASONS, reason_of
from tests.sip.kit import fault, octets, parsed, response


class ResponseTests(SynchronousTestCase):
    """RFC 3261 §8.2.6."""

    def test_copied(self) -> None:
        """Every Via in order, From, To, Call-ID and CSeq as they came, nothing else."""
        came = parsed(
            "INVITE sip:a@b SIP/2.0",
            "v: SIP/2.0/UDP two;branch=2,\r\n SIP/2.0/UDP three",
            "Subject: x",
            "Record-Route: <sip:a;lr>",
            body=b"x",
        )
        answer = response_to(came, 180)
        self.assertEqual(answer.get_all("via"), came.get_all("via"))
        self.assertEqual(answer.names, ["via", "via", "from", "to", "call-id", "cseq", "content-length"])
        self.assertIn(b"v: SIP/2.0/UDP two;branch=2,\r\n SIP/2.0/UDP three\r\n", answer.to_bytes())
        self.assertEqual(parse_message(answer.to_bytes(), exact=True).to_bytes(), answer.to_bytes())

    def test_to_tag(self) -> None:
        """A To without a tag gets one, unless the response is a 100."""
        for to, status, tag in (
            ("<sip:b@c>", 180, "new"),
            ("<sip:b@c>", 100, ""),
            ("sip:b@c", 404, "new"),
            ("<sip:b@c>;tag=old", 404, "old"),
            ("<sip:b@c>;TAG = old", 404, "old"),
            ("<sip:b@c;tag=uri>", 404, "new"),
            ("<sip:b@c>;stage=tag", 404, "new"),
            ('"x;tag=no" <sip:b@c>', 404, "new"),
            ("<sip:b@c>\r\n ", 404, "new"),
        ):
            came = parsed("INVITE sip:a@b SIP/2.0", f"To: {to}", without="to")
            answer = parse_message(response_to(came, status, to_tag="new").to_bytes())
            self.assertEqual(answer.to.tag, tag, to)

    def test_to_that_cannot_be_read(self) -> None:
        """A To with a fault is answered with the fault in it, and a tag."""
        came = parsed("INVITE sip:a@b SIP/2.0", 'To: "open <sip:b@c>', without="to")
        self.assertEqual(response_to(came, 400, to_tag="new").get("to"), '"open <sip:b@c>;tag=new')

    def test_given_twice(self) -> None:
        """A header that came twice is answered once: the client must be able to read the answer to its fault."""
        error = fault(octets("INVITE sip:a@b SIP/2.0", "Call-ID: other", "f: <sip:x@y>", "CSeq: 9 BYE", "t: <sip:x@y>"))
        assert isinstance(error.message, SipRequest)
        answer = parse_message(response_to(error.message, 400, to_tag="new").to_bytes())
        self.assertEqual((answer.call_id, answer.cseq, answer.from_.tag, answer.to.tag), ("c1@192.0.2.1", 7, "f1", "new"))

    def test_reason_headers_and_body(self) -> None:
        """Reason phrase, further headers and body."""
        answer = response_to(parsed(), 423, headers=(("min-expires", "60"), ("www-authenticate", "Digest x")), body=b"body")
        self.assertEqual(answer.start_line, "SIP/2.0 423 Interval Too Brief")
        self.assertIn(b"\r\nMin-Expires: 60\r\nWWW-Authenticate: Digest x\r\nContent-Length: 4\r\n\r\nbody", answer.to_bytes())
        self.assertEqual(response_to(parsed(), 403, "Go away").reason, "Go away")

    def test_reasons(self) -> None:
        """Every status has a phrase: its own, or that of its class."""
        for status in range(100, 700):
            self.assertTrue(reason_of(status))
        self.assertEqual((reason_of(499), reason_of(486), reason_of(699)), ("Bad Request", "Busy Here", "Busy Everywhere"))
        self.assertTrue(all(100 <= status <= 699 for status in REASONS))


INVITE = parsed(
    "INVITE sip:bob@192.0.2.4 SIP/2.0",
    "Via: SIP/2.0/UDP two;branch=2",
    "Route: <sip:one;lr>,<sip:two;lr>",
    "Contact: <sip:a@b>",
    "Route: <sip:three;lr>",
    "Subject: x",
    "Proxy-Authorization: Digest x",
    "Require: 100rel",
    body=b"sdp",
)


class OnwardTests(SynchronousTestCase):
    """ACK (RFC 3261 §17.1.1.3) and CANCEL (§9.1) of a request that was sent."""

    def check(self, made: SipRequest, method: str) -> None:
        again = parse_message(made.to_bytes(), exact=True)
        assert isinstance(again, SipRequest)
        self.assertEqual((again.method, again.uri), (method, "sip:bob@192.0.2.4"))
        self.assertEqual(again.get_all("via"), ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport"])
        self.assertEqual(again.values("route"), ["<sip:one;lr>", "<sip:two;lr>", "<sip:three;lr>"])
        self.assertEqual((again.call_id, again.get("from")), (INVITE.call_id, INVITE.get("from")))
        self.assertEqual((again.cseq, again.cseq_method, again.get("max-forwards")), (7, method, "70"))
        self.assertEqual((again.body, again.get("content-length")), (b"", "0"))

    def test_ack(self) -> None:
        """The top Via alone, the whole Route, and the To of the response."""
        ack = ack_for(INVITE, response("To: <sip:bob@example.com>;tag=theirs", start="SIP/2.0 486 Busy", without="to"))
        self.check(ack, "ACK")
        self.assertEqual(ack.get("to"), "<sip:bob@example.com>;tag=theirs")
        self.assertEqual(set(ack.names), {"via", "route", "from", "call-id", "to", "cseq", "max-forwards", "content-length"})

    def test_cancel(self) -> None:
        """The top Via alone, the whole Route, and the To of the INVITE; neither Require nor credentials."""
        cancel = cancel_for(INVITE)
        self.check(cancel, "CANCEL")
        self.assertEqual(cancel.get("to"), INVITE.get("to"))
        self.assertEqual(set(cancel.names), {"via", "route", "from", "call-id", "to", "cseq", "max-forwards", "content-length"})

    def test_reason_of_cancel(self) -> None:
        """Further headers, such as why (RFC 3326)."""
        cancel = cancel_for(INVITE, (("reason", 'SIP;cause=200;text="Call completed elsewhere"'),))
        self.assertEqual(cancel.get("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
        self.check(cancel, "CANCEL")

    def test_via_of_a_list(self) -> None:
        """Where the top Via shares its line with others, it goes alone."""
        invite = parsed("INVITE sip:a@b SIP/2.0", "Via: SIP/2.0/UDP one;branch=1, SIP/2.0/UDP two", without="via")
        for made in (cancel_for(invite), ack_for(invite, response())):
            self.assertEqual(made.get_all("via"), ["SIP/2.0/UDP one;branch=1"])


class RequestTests(SynchronousTestCase):
    """Requests of our own."""

    def test_request(self) -> None:
        """Headers in order under their usual spelling; Content-Length is added."""
        made = request("OPTIONS", "sip:a@b", (("via", "SIP/2.0/UDP h;branch=1"), ("cseq", "1 OPTIONS"), ("x-mine", "1")), b"body")
        self.assertEqual(
            made.to_bytes(),
            b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=1\r\nCSeq: 1 OPTIONS\r\nX-Mine: 1\r\nContent-Length: 4\r\n\r\nbody",
        )

    def test_read_again(self) -> None:
        """What is made here can be read here."""
        made = request(
            "MESSAGE", "sip:a@b", [("from", "<sip:x@y>;tag=1"), ("to", "<sip:a@b>"), ("call-id", "1"), ("cseq", "1 MESSAGE")], b"hi"
        )
        try:
            self.assertEqual(parse_message(made.to_bytes(), exact=True).body, b"hi")
        except BrokenMessage as error:
            self.fail(error.reason)
