"""Tests of the parser: what is read, what is refused, and with which status."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip import parser
from sipnode.sip.message import SipMessage, SipRequest, SipResponse
from sipnode.sip.parser import BrokenMessage, Limits, parse_message
from tests.sip.kit import HEADERS, PROFILE, fault, messages, no_hang, octets, parsed, response


def changed(parts: tuple[bytes, int, bytes]) -> bytes:
    """A message with some octets in the middle replaced."""
    data, position, new = parts
    position %= len(data)
    return data[:position] + new + data[position + len(new) :]


def fault_or_message(data: bytes) -> SipMessage:
    """What could be read of a message, broken or not."""
    try:
        return parse_message(data)
    except BrokenMessage as error:
        assert error.message is not None
        return error.message


class ShapeTests(SynchronousTestCase):
    """What the names of the header lines come to is remembered; a message is judged as if it weren't."""

    def test_twice_the_same(self) -> None:
        """The second message with the same names is read as the first one was."""
        for data in (octets(), octets("INVITE sip:a@b SIP/2.0", "X-Odd: 1", "s : a"), octets("SIP/2.0 200 OK", "Via: SIP/2.0/UDP b")):
            first, second = parse_message(data), parse_message(data)
            self.assertEqual((first.names, first.lines, first.index()), (second.names, second.lines, second.index()))

    def test_nothing_is_shared(self) -> None:
        """Whoever changes the names of one message changes those of no other."""
        first = parse_message(octets())
        first.append("subject", "x")
        first.remove("via")
        second = parse_message(octets())
        self.assertIn("via", second)
        self.assertNotIn("subject", second)
        self.assertEqual(len(second.names), len(second.lines))

    def test_a_name_without_a_colon(self) -> None:
        """A line that is nothing but the name of a header is none, even where one with that name was read before."""
        parse_message(octets("INVITE sip:a@b SIP/2.0", "Subject: x"))
        self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", "Subject")).reason, "a line that is no header")

    def test_no_lines_and_one_without_a_name(self) -> None:
        """No header at all isn't the same as one line without a name."""
        self.assertEqual(parse_message(b"SIP/2.0 200 OK\r\n\r\n").names, [])
        self.assertEqual(fault(b"SIP/2.0 200 OK\r\n: x\r\n\r\n").reason, "a line that is no header")

    def test_folds(self) -> None:
        """A fold that looks like a line belongs to the line before it, each time."""
        for _ in range(2):
            message = parsed("INVITE sip:a@b SIP/2.0", "Subject: x\r\n To: y")
            self.assertEqual(message.get("subject"), "x To: y")
            self.assertEqual(message.names.count("to"), 1)

    def test_given_twice(self) -> None:
        """What may stand once is told each time, too."""
        for _ in range(2):
            self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", "To: <sip:c@d>")).reason, "to given twice")

    def test_other_bounds(self) -> None:
        """Names that were read under wider bounds don't pass narrower ones."""
        parse_message(octets())
        self.assertEqual(fault(octets(), Limits(header_lines=5)).status, 513)

    def test_how_many(self) -> None:
        """Whoever invents names fills no memory, and changes nothing for others."""
        for number in range(1200):
            parse_message(octets("INVITE sip:a@b SIP/2.0", f"X-{number}: 1"))
        self.assertLessEqual(len(parser._shapes), 512)
        parse_message(octets("INVITE sip:a@b SIP/2.0", f"X-{'a' * 2000}: 1"))
        self.assertLessEqual(max(map(len, parser._shapes)), 1024)
        self.assertEqual(parse_message(octets()).names[-1], "content-length")


class StartLineTests(SynchronousTestCase):
    """The first line of a message."""

    def test_request(self) -> None:
        """Method, Request-URI and version are the three parts."""
        request = parsed("REGISTER sips:example.com:5061 SIP/2.0")
        self.assertEqual((request.method, request.uri, request.version), ("REGISTER", "sips:example.com:5061", "SIP/2.0"))

    def test_method_keeps_its_case(self) -> None:
        """Methods are case-sensitive (RFC 3261 §7.1), so another spelling is another method."""
        self.assertEqual(parsed("Invite sip:a@b SIP/2.0").method, "Invite")

    def test_any_token_is_a_method(self) -> None:
        """Unknown methods are read; who routes them decides (RFC 4475 §3.1.1.5)."""
        self.assertEqual(parsed("!interesting-Method0123456789_*+`.%indeed'~ sip:a@b SIP/2.0").method[:12], "!interesting")

    def test_method_that_is_no_token(self) -> None:
        """A method with other characters draws a 400."""
        for method in ("INV(TE", "IN/VITE", "INVITÉ", '"INVITE"', "INVITE@"):
            self.assertEqual(fault(octets(f"{method} sip:a@b SIP/2.0")).status, 400)

    def test_line_ends_before(self) -> None:
        """Line ends before the start line are skipped (RFC 3261 §7.5)."""
        self.assertIsInstance(parse_message(b"\r\n\r\n\r\n" + octets()), SipRequest)

    def test_blanks_too_many(self) -> None:
        """Blanks too many between the parts or behind them are let pass, and not sent on (RFC 4475 §3.1.2.8 .. 10)."""
        for line in ("INVITE  sip:a@b SIP/2.0", "INVITE sip:a@b  SIP/2.0", "INVITE sip:a@b SIP/2.0 ", "INVITE   sip:a@b   SIP/2.0\t"):
            self.assertEqual(parsed(line).start_line, "INVITE sip:a@b SIP/2.0")

    def test_blanks_inside_the_uri(self) -> None:
        """White space inside the Request-URI draws a 400 that can be answered."""
        error = fault(octets("INVITE sip:a@b; lr SIP/2.0"))
        self.assertEqual(error.status, 400)
        assert isinstance(error.message, SipRequest)
        self.assertEqual(error.message.via.branch, "z9hG4bKa1")

    def test_other_version(self) -> None:
        """Another version draws a 505 that can be answered."""
        for version in ("SIP/7.0", "SIP/2.1", "SIP/3", "sip/1.0"):
            error = fault(octets(f"INVITE sip:a@b {version}"))
            self.assertEqual((error.status, type(error.message)), (505, SipRequest))

    def test_version_in_any_case(self) -> None:
        """The name of the protocol is case-insensitive, and sent on in upper case (RFC 3261 §7.1)."""
        self.assertEqual(parsed("INVITE sip:a@b sip/2.0").version, "SIP/2.0")

    def test_not_sip(self) -> None:
        """What is no SIP at all is nobody to answer to."""
        for data in (
            b"",
            b"\r\n",
            b"\0",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x80\xff\r\n\r\n",
            b"INVITE\r\n\r\n",
            b"INVITE sip:a@b\r\n\r\n",
            b"SIP/2.0 abc OK\r\n\r\n",
            b"SIP/2.0 2000 OK\r\n\r\n",
            b"SIP/2.0 099 OK\r\n\r\n",
            b"SIP/2.0 700 OK\r\n\r\n",
            b"SIP/2.0 \r\n\r\n",
            "SIP/2.0 ٢٠٠ OK\r\n\r\n".encode(),
        ):
            error = fault(data)
            self.assertEqual((error.status, error.message), (400, None), data)

    def test_response(self) -> None:
        """Status and reason phrase; the phrase may be empty, long, or not ASCII (RFC 4475 §3.1.1.12, 13)."""
        for start, reason in (
            ("SIP/2.0 200 OK", "OK"),
            ("SIP/2.0 100 ", ""),
            ("SIP/2.0 100", ""),
            ("SIP/2.0 200 = 2**3 é ☃", "= 2**3 é ☃"),
        ):
            found = response(start=start)
            self.assertEqual((found.status, found.reason), (int(start[8:11]), reason))


class HeaderTests(SynchronousTestCase):
    """The lines below the first."""

    def test_names(self) -> None:
        """Names are case-insensitive and may stand before white space and their colon."""
        request = parse_message(octets(headers=[line.replace(":", "\t :", 1).upper() for line in HEADERS]))
        self.assertEqual(request.names, ["via", "max-forwards", "from", "to", "call-id", "cseq", "content-length"])

    def test_compact_forms(self) -> None:
        """Every compact form is the header that it abbreviates, in either case."""
        forms = {
            "i": "call-id",
            "m": "contact",
            "e": "content-encoding",
            "l": "content-length",
            "c": "content-type",
            "f": "from",
            "s": "subject",
            "k": "supported",
            "t": "to",
            "v": "via",
            "o": "event",
            "r": "refer-to",
            "u": "allow-events",
            "x": "session-expires",
            "d": "request-disposition",
            "b": "referred-by",
            "j": "reject-contact",
            "a": "accept-contact",
            "y": "identity",
            "n": "identity-info",
        }
        for short, name in forms.items():
            for spelling in (short, short.upper(), short + " "):
                message = fault_or_message(octets("OPTIONS sip:a@b SIP/2.0", f"{spelling}: 0", headers=(), length=None))
                self.assertEqual(message.names, [name])

    def test_unknown_names(self) -> None:
        """A name nobody knows is kept in lower case; its line as it came."""
        request = parsed("INVITE sip:a@b SIP/2.0", "NewFangledHeader:   newfangled value\r\n continued newfangled value")
        self.assertEqual(request.get("newfangledheader"), "newfangled value continued newfangled value")
        self.assertIn(b"NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n", request.to_bytes())

    def test_folds(self) -> None:
        """A fold counts as one blank, whatever stands around it, and wherever a blank may stand (RFC 4475 §3.1.1.1)."""
        request = parsed(
            "INVITE sip:a@b SIP/2.0",
            "CSeq  :\r\n  0009 \r\n\t  INVITE",
            "Subject:\r\n\r\n one\r\n \r\n two".replace("\r\n\r\n", "\r\n"),
            without="cseq",
        )
        self.assertEqual((request.cseq, request.cseq_method), (9, "INVITE"))
        self.assertEqual(request.get("subject"), "one  two")

    def test_fold_that_looks_like_a_header(self) -> None:
        """A continuation with a colon in it stays part of the line above."""
        request = parsed("INVITE sip:a@b SIP/2.0", "Subject: one\r\n Via: two", "X-Other: three")
        self.assertEqual(request.get("subject"), "one Via: two")
        self.assertEqual(len(request.get_all("via")), 1)

    def test_fold_without_a_header(self) -> None:
        """The first line below the start line can't continue anything."""
        self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0\r\n Subject: x")).status, 400)

    def test_lines_that_are_no_headers(self) -> None:
        """A line without a colon, or whose name is no token, draws a 400; also where it begins like a known header."""
        for line in ("nonsense", "Supportedx", "Viax", "To", "Call-ID; 7", ": empty", "Na me: x", "Nämé: x", "\0: x"):
            self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", line)).status, 400, line)

    def test_control_characters(self) -> None:
        """A control character draws a 400 wherever it stands in the head; tabs, folds and bodies may have what they like."""
        for octet in (*range(9), 11, 12, *range(14, 32), 127):
            for line in (f"Subject: a{chr(octet)}b", f'P-Asserted-Identity: "{chr(octet)}" <sip:a@b>', f"X{chr(octet)}: a"):
                self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", line)).status, 400, repr(line))
        self.assertEqual(fault(octets("INVITE sip:a\x0b@b SIP/2.0")).status, 400)
        self.assertEqual(parsed("INVITE sip:a@b SIP/2.0", "Subject: a\tb\r\n c", body=b"\0\x0b").get("subject"), "a\tb c")

    def test_bare_line_ends(self) -> None:
        """A CR or LF alone inside the header draws a 400: others might take it for the end of a line."""
        for value in ("a\rb", "a\nb", "a\n\rb", "a\r\r\n b", "a\n\n"):
            error = fault(octets("INVITE sip:a@b SIP/2.0", f"Subject: {value}"))
            self.assertEqual((error.status, error.reason), (400, "a bare CR or LF in the header"))

    def test_no_empty_line(self) -> None:
        """A header that doesn't end draws a 400 that can be answered."""
        error = fault(octets()[:-2])
        self.assertEqual(error.status, 400)
        assert error.message is not None
        self.assertEqual(error.message.call_id, "c1@192.0.2.1")

    def test_single_values_twice(self) -> None:
        """What may be there once and is there twice draws a 400, in any spelling (RFC 4475 §3.3.8)."""
        for line in (
            "From: <sip:a@b>;tag=1",
            "f: <sip:a@b>",
            "To: <sip:a@b>",
            "t: <sip:a@b>",
            "Call-ID: c2",
            "i: c1@192.0.2.1",
            "CSeq: 8 INVITE",
            "cseq: 7 INVITE",
            "Max-Forwards: 5",
            "l: 0",
            "Content-Length: 0",
        ):
            error = fault(octets("INVITE sip:a@b SIP/2.0", line))
            self.assertEqual(error.status, 400, line)
            self.assertIn("given twice", error.reason)
        for line in ("Content-Type: a/b", "Expires: 1", "Event: x", "SIP-If-Match: x"):
            self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", line, line)).status, 400, line)

    def test_lists_may_repeat(self) -> None:
        """What is a list may stand on many lines, with many values on each."""
        request = parsed("INVITE sip:a@b SIP/2.0", "Route: <sip:a;lr>, <sip:b,c;lr>", 'route: "x, y" <sip:d;lr>')
        self.assertEqual(request.values("route"), ["<sip:a;lr>", "<sip:b,c;lr>", '"x, y" <sip:d;lr>'])

    def test_octets_that_are_no_text(self) -> None:
        """Octets that are not UTF-8 go through unchanged."""
        data = octets("INVITE sip:a@b SIP/2.0", "Subject: caf\udce9 \udcff")
        self.assertIn(b"caf\xe9 \xff", data)
        self.assertEqual(parse_message(data).to_bytes(), data)


class LengthTests(SynchronousTestCase):
    """Content-Length of datagrams and of WebSocket messages."""

    def test_absent(self) -> None:
        """Without it the body is the rest (RFC 3261 §18.3)."""
        for exact in (False, True):
            self.assertEqual(parse_message(octets(body=b"rest", length=None), exact=exact).body, b"rest")

    def test_right(self) -> None:
        """The body is as long as it says, zeros in front or not."""
        for length in ("4", "0004", " 4 ", "\r\n 4"):
            self.assertEqual(parse_message(octets(body=b"four", length=length), exact=True).body, b"four")

    def test_shorter_than_the_datagram(self) -> None:
        """Octets after the body are dropped from a datagram, and a fault in a WebSocket message."""
        data = octets(body=b"four and more", length="4")
        self.assertEqual(parse_message(data).body, b"four")
        error = fault(data, exact=True)
        self.assertEqual((error.status, error.reason), (400, "octets after the message"))

    def test_longer_than_the_datagram(self) -> None:
        """A body that isn't all there draws a 400 (RFC 4475 §3.1.2.2)."""
        for length in ("5", "99999999999999999999", "65536"):
            self.assertEqual(fault(octets(body=b"four", length=length)).status, 400)

    def test_no_number(self) -> None:
        """Anything but digits draws a 400 (RFC 4475 §3.1.2.3)."""
        for length in ("-999", "+4", "4 4", "0x4", "4.0", "٤", "4;x"):
            self.assertEqual(fault(octets(body=b"four", length=length)).status, 400)
        self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", "Content-Length:", length=None)).status, 400)


class LimitTests(SynchronousTestCase):
    """Every bound: at it a message passes, over it it's a 513 that can be answered."""

    def check(self, data: bytes, over: bytes, limits: Limits) -> None:
        parse_message(data, limits)
        error = fault(over, limits)
        self.assertEqual(error.status, 513)
        assert isinstance(error.message, SipRequest)
        self.assertEqual(error.message.via.host, "192.0.2.1")

    def test_message(self) -> None:
        """Head and body together."""
        data = octets(body=b"x" * 100)
        self.check(data, data + b"x", Limits(message_bytes=len(data)))

    def test_header_lines(self) -> None:
        """Header lines; a fold is part of its line."""
        data = octets("INVITE sip:a@b SIP/2.0", "Subject: a\r\n b\r\n c")
        limits = Limits(header_lines=8)
        self.check(data, octets("INVITE sip:a@b SIP/2.0", "X: 1", "Y: 1"), limits)
        error = fault(octets("INVITE sip:a@b SIP/2.0", *["X: 1"] * 50), limits)
        assert error.message is not None
        self.assertEqual(len(error.message.lines), 8)

    def test_many_lines_allowed(self) -> None:
        """A limit above the usual is kept too: every line has its place."""
        request = parse_message(octets("INVITE sip:a@b SIP/2.0", *[f"X-{n}: {n}" for n in range(400)]), Limits(header_lines=500))
        self.assertEqual([request.get(f"x-{n}") for n in (0, 255, 256, 399)], ["0", "255", "256", "399"])

    def test_line(self) -> None:
        """One header line, folds included."""
        limits = Limits(line_bytes=60)
        self.check(octets("INVITE sip:a@b SIP/2.0", "S: " + "x" * 57), octets("INVITE sip:a@b SIP/2.0", "S: " + "x" * 58), limits)
        self.check(octets(), octets("INVITE sip:a@b SIP/2.0", "S: " + "\r\n x" * 30), limits)

    def test_via_values(self) -> None:
        """Values of Via, on lines of their own or not."""
        limits = Limits(via_values=5)
        more = "SIP/2.0/UDP h;branch=z9hG4bKx"
        self.check(octets("INVITE sip:a@b SIP/2.0", *[f"Via: {more}"] * 4), octets("INVITE sip:a@b SIP/2.0", *[f"v: {more}"] * 5), limits)
        self.check(
            octets("INVITE sip:a@b SIP/2.0", "Via: " + ", ".join([more] * 4)),
            octets("INVITE sip:a@b SIP/2.0", "Via: " + ", ".join([more] * 5)),
            limits,
        )

    def test_commas_elsewhere(self) -> None:
        """Commas of other headers are no values of Via."""
        parse_message(octets("INVITE sip:a@b SIP/2.0", "Subject: " + "," * 100), Limits(via_values=2))

    def test_via_that_stays_open(self) -> None:
        """A quote left open in Via, where its values are counted, draws a 400."""
        self.assertEqual(fault(octets("INVITE sip:a@b SIP/2.0", 'Via: SIP/2.0/UDP h;x=",,,,'), Limits(via_values=3)).status, 400)


class HostileTests(SynchronousTestCase):
    """Octets from anybody."""

    @PROFILE
    @given(st.one_of(st.binary(max_size=300), st.tuples(messages(), st.integers(0, 400), st.binary(max_size=4)).map(changed)))
    def test_nothing_but_a_verdict(self, data: bytes) -> None:
        """Whatever comes in, a message or a BrokenMessage comes out."""
        for exact in (False, True):
            try:
                found: object = parse_message(data, exact=exact)
            except BrokenMessage as error:
                found = error.message
                self.assertIn(error.status, (400, 505, 513))
            self.assertIsInstance(found, (SipRequest, SipResponse, type(None)))

    def test_runs_of_blanks(self) -> None:
        """A line of blanks, folds or commas as long as it may be costs one pass."""
        with no_hang():
            for filling in (" ", "\t", "\x0b", ",", ";", '"', "\\", "<", "\r\n ", "%", "a:"):
                long = filling * (8000 // len(filling))
                for line in (
                    f"Subject: a{long}b",
                    f"To: a{long}b",
                    f"To: <{long}b",
                    f"Via: SIP/2.0/UDP a{long}b",
                    f'Via: SIP/2.0/UDP a;x="{long}b',
                ):
                    name = line.partition(":")[0].lower()
                    try:
                        request = parse_message(octets("INVITE sip:a@b SIP/2.0", line, without=name))
                        request.values(name)
                        for view in (request.via, request.to, request.to.uri):
                            self.assertIsNotNone(view)
                    except ParseError:
                        pass
