"""Tests of messages: what nobody touches goes on octet for octet, and what somebody changes is the only thing that changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip import address, cseq
from sipnode.sip.grammar import line_value
from sipnode.sip.parser import parse_message
from tests.sip.kit import PROFILE, messages, octets, parsed, response


class ForwardingTests(SynchronousTestCase):
    """Octets in, octets out."""

    @PROFILE
    @given(messages())
    def test_untouched(self, data: bytes) -> None:
        """A message that was only read is written as it came: spellings, folds, odd octets."""
        message = parse_message(data, exact=True)
        for name in (*message.names, "contact", "route"):
            message.get(name)
        self.assertEqual(message.to_bytes(), data)
        self.assertEqual(message.copy().to_bytes(), data)

    @PROFILE
    @given(messages(), st.sampled_from(["via", "to", "x-new", "max-forwards", "subject"]))
    def test_one_change(self, data: bytes, name: str) -> None:
        """Another value of one header leaves all other lines, and the message that was copied, as they were."""
        message = parse_message(data)
        copy = message.copy()
        position = message.index().get(name, len(message.lines))
        copy.set(name, "new")
        self.assertEqual(message.to_bytes(), data)
        self.assertEqual(copy.get(name), "new")
        self.assertEqual(copy.lines[:position] + copy.lines[position + 1 :], message.lines[:position] + message.lines[position + 1 :])
        again = parse_message(copy.to_bytes())
        self.assertEqual((again.names, again.lines, again.body), (copy.names, copy.lines, copy.body))


class ReadingTests(SynchronousTestCase):
    """Values and typed views."""

    def test_get(self) -> None:
        """The first line's value, without the white space around it; None where there's no such header."""
        request = parsed("INVITE sip:a@b SIP/2.0", "Subject: \t one \t", "Subject: two", "Empty:")
        self.assertEqual((request.get("subject"), request.get("empty"), request.get("absent")), ("one", "", None))
        self.assertEqual((request.get_all("subject"), request.get_all("absent")), (["one", "two"], []))
        self.assertTrue("subject" in request and "absent" not in request)

    def test_values_left_open(self) -> None:
        """A list with a quote or bracket left open is a fault."""
        for value in ('"a, b', "<sip:a, b", 'a, "b\\"'):
            self.assertRaises(ParseError, parsed("INVITE sip:a@b SIP/2.0", f"Route: {value}").values, "route")

    def test_views(self) -> None:
        """Via, From, To, Call-ID and CSeq are read once and kept."""
        request = parsed()
        self.assertEqual((request.via.host, request.from_.tag, request.to.uri.user), ("192.0.2.1", "f1", "bob"))
        self.assertEqual((request.call_id, request.cseq, request.cseq_method), ("c1@192.0.2.1", 7, "INVITE"))
        self.assertEqual((request.ruri.host, request.ruri.user), ("example.com", "bob"))
        self.assertIs(request.via, request.via)
        self.assertIs(request.ruri, request.ruri)

    def test_views_of_nothing(self) -> None:
        """A view of a header that isn't there says which one."""
        for name, view in (
            ("via", "via"),
            ("from", "from_"),
            ("to", "to"),
            ("call-id", "call_id"),
            ("cseq", "cseq"),
            ("cseq", "cseq_method"),
        ):
            error = self.assertRaises(ParseError, getattr, parsed(without=name), view)
            self.assertIn(name.lower(), error.reason.lower())

    def test_top_via(self) -> None:
        """The topmost Via is the first value of the first line."""
        request = parsed("INVITE sip:a@b SIP/2.0", 'v: SIP/2.0/TCP h1;branch=1;x=",", SIP/2.0/UDP h2', "Via: SIP/2.0/UDP h3", without="via")
        self.assertEqual((request.via.host, request.via.transport, request.via.branch), ("h1", "TCP", "1"))

    def test_cseq(self) -> None:
        """CSeq is a number below 2**31 and a method (RFC 3261 §20.16)."""
        for value, number in (("0 INVITE", 0), ("2147483647 INVITE", 2147483647), ("0000000009\tINVITE", 9)):
            self.assertEqual(parsed("INVITE sip:a@b SIP/2.0", f"CSeq: {value}", without="cseq").cseq, number)
        for value in (
            "2147483648 INVITE",
            "4294967296 INVITE",
            "9" * 5000 + " INVITE",
            "-1 INVITE",
            "x INVITE",
            "1",
            "1 INVITE 2",
            "",
            "INVITE",
            "٣ INVITE",
        ):
            request = parsed("INVITE sip:a@b SIP/2.0", f"CSeq: {value}", without="cseq")
            self.assertRaises(ParseError, getattr, request, "cseq")

    def test_lines_that_were_read_before(self) -> None:
        """From, To and CSeq of a line that was seen before are those of that line, and a change is seen all the same."""
        first, second = parsed("INVITE sip:a@b SIP/2.0"), parsed("INVITE sip:a@b SIP/2.0")
        self.assertEqual((first.cseq, first.cseq_method, first.from_.tag), (second.cseq, second.cseq_method, second.from_.tag))
        self.assertIs(first.from_, second.from_)
        copy = second.copy()
        copy.set("cseq", "8 INVITE")
        copy.set("from", "<sip:c@d>;tag=other")
        self.assertEqual((copy.cseq, copy.from_.tag), (8, "other"))
        self.assertEqual((second.cseq, second.from_.tag), (first.cseq, first.from_.tag))

    def test_how_many_lines_are_kept(self) -> None:
        """There's a bound to their number and to their length."""
        for number in range(5000):
            request = parsed("INVITE sip:a@b SIP/2.0", f"From: <sip:a@b>;tag={number}", without="from")
            request.set("cseq", f"{number} INVITE")
            self.assertEqual((request.from_.tag, request.cseq), (str(number), number))
        long = parsed("INVITE sip:a@b SIP/2.0", f"From: <sip:a@b>;tag={'a' * 300}", without="from")
        self.assertEqual(long.from_.tag, "a" * 300)
        self.assertLessEqual(max(len(address._of_lines), len(cseq._read)), 4096)
        self.assertLessEqual(max(map(len, address._of_lines)), 256)

    def test_line_value(self) -> None:
        """A line's value is what follows the first colon, unfolded."""
        self.assertEqual(line_value("To: sip:a@b:5060"), "sip:a@b:5060")
        self.assertEqual(line_value("X:\r\n a\t \r\n\t b"), "a b")

    def test_repr(self) -> None:
        """A log line names the message by start line and Call-ID, not by its headers."""
        self.assertEqual(repr(parsed()), "<SipRequest 'INVITE sip:bob@example.com SIP/2.0' c1@192.0.2.1>")
        self.assertEqual(repr(response()), "<SipResponse 'SIP/2.0 200 OK' c1@192.0.2.1>")


class ChangingTests(SynchronousTestCase):
    """Changes of a copy."""

    def test_views_follow(self) -> None:
        """A view that was read before is read anew after its header changed."""
        copy = parsed().copy()
        for view in (copy.via, copy.from_, copy.to, copy.call_id, copy.cseq):
            self.assertIsNotNone(view)
        copy.set("via", "SIP/2.0/TCP h9")
        copy.set("from", "<sip:x@y>;tag=2")
        copy.set("to", "<sip:z@y>;tag=3")
        copy.set("call-id", "other")
        copy.set("cseq", "8 BYE")
        self.assertEqual(
            (copy.via.host, copy.from_.tag, copy.to.tag, copy.call_id, copy.cseq, copy.cseq_method), ("h9", "2", "3", "other", 8, "BYE")
        )
        copy.set_uri("sip:new@host")
        self.assertEqual((copy.ruri.user, copy.start_line), ("new", "INVITE sip:new@host SIP/2.0"))

    def test_append_and_prepend(self) -> None:
        """A line at either end; a new topmost Via is the one that is read from then on."""
        copy = parsed().copy()
        self.assertEqual(copy.via.host, "192.0.2.1")
        copy.prepend("via", "SIP/2.0/UDP new")
        copy.append("x-last", "1")
        self.assertEqual((copy.via.host, copy.lines[0], copy.lines[-1]), ("new", "Via: SIP/2.0/UDP new", "X-Last: 1"))
        self.assertEqual(len(copy.get_all("via")), 2)

    def test_remove(self) -> None:
        """All lines of a name go; a name that isn't there is no fault."""
        copy = parsed("INVITE sip:a@b SIP/2.0", "Route: <sip:a>", "X-Odd: 1", "Route: <sip:b>").copy()
        copy.remove("route")
        copy.remove("absent")
        self.assertEqual((copy.get("route"), copy.get("x-odd")), (None, "1"))

    def test_pop_first(self) -> None:
        """The first value goes, with its line when it was the only one."""
        copy = response("Via: SIP/2.0/UDP two, SIP/2.0/UDP three").copy()
        hosts = []
        while "via" in copy:
            hosts.append(copy.via.host)
            copy.pop_first("via")
        self.assertEqual(hosts, ["192.0.2.1", "two", "three"])

    def test_replace_at(self) -> None:
        """One of several lines of a name."""
        copy = parsed("INVITE sip:a@b SIP/2.0", "Route: <sip:a>", "Route: <sip:b>").copy()
        first = copy.index()["route"]
        copy.replace_at(first + 1, "<sip:c>")
        self.assertEqual(copy.get_all("route"), ["<sip:a>", "<sip:c>"])
        copy.replace_at(first, "")
        self.assertEqual(copy.get_all("route"), ["<sip:c>"])

    def test_body(self) -> None:
        """Content-Length and Content-Type follow the body."""
        copy = parsed(body=b"old").copy()
        copy.set_body(b"new body", "application/sdp")
        again = parse_message(copy.to_bytes(), exact=True)
        self.assertEqual((again.body, again.get("content-length"), again.get("content-type")), (b"new body", "8", "application/sdp"))

    def test_copies_are_apart(self) -> None:
        """Nothing done to a copy reaches the message that it was taken from, nor the other way."""
        request = parsed()
        one, two = request.copy(), request.copy()
        one.append("x", "1")
        two.remove("via")
        two.set_uri("sip:other")
        self.assertEqual(request.to_bytes(), octets())
        self.assertEqual(one.ruri.host, "example.com")
