"""Tests of the eight checks of ``sanity_check("1511", "7")``, each with a message that breaks it and nothing else."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip import sanity
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import BrokenMessage, parse_message
from tests.sip.kit import octets, parsed

GOOD = "INVITE sip:bob@example.com SIP/2.0"


def verdict(data: bytes) -> int:
    """0, or the status that a request draws, as parser and checks give it together."""
    try:
        request = parse_message(data)
        assert isinstance(request, SipRequest)
        sanity.check(request)
    except BrokenMessage as error:
        assert isinstance(error.message, SipRequest)
        return error.status
    except ParseError as error:
        return error.status
    return 0


def register(*extra: str, without: str = "") -> bytes:
    """A REGISTER."""
    return octets("REGISTER sip:example.com SIP/2.0", "CSeq: 7 REGISTER", *extra, without="cseq")


class MaskTests(SynchronousTestCase):
    """Mask 1511 = 1 + 2 + 4 + 32 + 64 + 128 + 256 + 1024."""

    def test_nothing_wrong(self) -> None:
        """The message that all others differ from in one thing passes."""
        self.assertEqual(verdict(octets()), 0)
        self.assertEqual(verdict(register("Expires: 3600", "Contact: <sip:a@b>")), 0)

    def test_1_version(self) -> None:
        """Another version: 505; another one in Via alone: 400."""
        self.assertEqual(verdict(octets("INVITE sip:bob@example.com SIP/3.0")), 505)
        self.assertEqual(verdict(octets(GOOD, "Via: SIP/7.0/UDP h;branch=z9hG4bK1", without="via")), 400)

    def test_empty_parameters(self) -> None:
        """Empty parameters and values in Via and Contact: 400 (RFC 4475 §3.1.2.1); inside of quotes and URIs not."""
        for line in (
            "Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1;;rport",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1,,SIP/2.0/UDP g;branch=z9hG4bK2",
        ):
            self.assertEqual(verdict(octets(GOOD, line, without="via")), 400, line)
        for value in ('"Joe" <sip:joe@example.org>;;;;', "<sip:a@b>; ;expires=3", "<sip:a@b>,,<sip:c@d>", "<sip:a@b>;,"):
            self.assertEqual(verdict(register(f"Contact: {value}")), 400, value)
            self.assertEqual(verdict(register(f"m: {value}")), 400, value)
        for value in ('"a;;b,," <sip:a@b;;c>;q=0.1', "<sip:a@b>;", "<sip:a@b>;expires=3, <sip:c@d>"):
            self.assertEqual(verdict(register(f"Contact: {value}")), 0, value)
        self.assertEqual(verdict(register("Contact: " + "<;;" * 2500)), 400)

    def test_later_via(self) -> None:
        """A Via below the one on top that can't be read: 400, as no answer could go all its way."""
        top = "Via: SIP/2.0/UDP h;branch=z9hG4bK1"
        for bad in (f"{top}, nonsense", f"{top}\r\nVia: SIP/2.0/UDP", f"{top}, SIP/2.0/UDP g;branch=z9hG4bK2, SIP/2.0/TCP h:99999"):
            self.assertEqual(verdict(octets(GOOD, bad, without="via")), 400, bad)
        self.assertEqual(verdict(octets(GOOD, f"{top}\r\nv: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK2", without="via")), 0)

    def test_2_scheme(self) -> None:
        """A Request-URI that is neither sip, sips nor tel: 416 (RFC 4475 §3.3.2)."""
        for uri, status in (
            ("nobodyKnowsThisScheme:totallyopaquecontent", 416),
            ("http://example.com/", 416),
            ("mailto:a@b", 416),
            ("sips:a@b", 0),
            ("tel:+123;x=y", 0),
            ("SIP:a@b", 0),
        ):
            self.assertEqual(verdict(octets(f"INVITE {uri} SIP/2.0")), status, uri)

    def test_4_required_headers(self) -> None:
        """Without Via, From, To, Call-ID or CSeq, or with an empty Call-ID: 400."""
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            self.assertEqual(verdict(octets(without=name)), 400, name)
        self.assertEqual(verdict(octets(GOOD, "Call-ID:", without="call-id")), 400)

    def test_4_max_forwards(self) -> None:
        """Max-Forwards may be absent; who forwards gives it one."""
        self.assertEqual(verdict(octets(without="max-forwards")), 0)

    def test_32_cseq_method(self) -> None:
        """A CSeq of another method, in another case too: 400 (RFC 4475 §3.1.2.17)."""
        self.assertEqual(verdict(octets(GOOD, "CSeq: 7 OPTIONS", without="cseq")), 400)
        self.assertEqual(verdict(octets(GOOD, "CSeq: 7 invite", without="cseq")), 400)

    def test_64_cseq_number(self) -> None:
        """A CSeq number of 2**31 or more, or none: 400 (RFC 4475 §3.1.2.4)."""
        self.assertEqual(verdict(octets(GOOD, "CSeq: 36893488147419103232 INVITE", without="cseq")), 400)
        self.assertEqual(verdict(octets(GOOD, "CSeq: 2147483648 INVITE", without="cseq")), 400)
        self.assertEqual(verdict(octets(GOOD, "CSeq: x INVITE", without="cseq")), 400)
        self.assertEqual(verdict(octets(GOOD, "CSeq: 2147483647 INVITE", without="cseq")), 0)

    def test_128_content_length(self) -> None:
        """A Content-Length that doesn't fit the body: 400."""
        self.assertEqual(verdict(octets(body=b"four", length="5")), 400)
        self.assertEqual(verdict(octets(body=b"four", length="-4")), 400)

    def test_256_expires(self) -> None:
        """An Expires that can't be read: 400, where the method gives it a meaning."""
        self.assertEqual(verdict(register("Expires: soon")), 400)
        self.assertEqual(verdict(register("Expires: -1")), 400)
        self.assertEqual(verdict(register("Expires:")), 400)
        self.assertEqual(verdict(register("Expires: 4294967296")), 0)
        self.assertEqual(verdict(octets(GOOD, "Expires: soon")), 0)

    def test_1024_uris(self) -> None:
        """A Request-URI, From or To that can't be read: 400."""
        self.assertEqual(verdict(octets("INVITE sip:bob@exa<mple.com SIP/2.0")), 400)
        self.assertEqual(verdict(octets("INVITE <sip:bob@example.com> SIP/2.0")), 400)
        for name in ("From", "To"):
            for value in ('"open <sip:a@b>', "<sip:a@b", "<sip:a b@c>", "<sip:>", "nothing", "<sip:a@b>;tag=1;tag=2"):
                self.assertEqual(verdict(octets(GOOD, f"{name}: {value}", without=name)), 400, value)

    def test_uris_of_other_schemes(self) -> None:
        """From and To may name any scheme (RFC 4475 §3.3.3)."""
        for name in ("From", "To"):
            self.assertEqual(verdict(octets(GOOD, f"{name}: isbn:2983792873;tag=1", without=name)), 0)


class MaxForwardsTests(SynchronousTestCase):
    """RFC 3261 §20.22."""

    def test_values(self) -> None:
        """0..255, zeros in front or not; -1 where there is none."""
        for value, number in (("70", 70), ("0", 0), ("255", 255), ("0068", 68), (" 1 ", 1)):
            self.assertEqual(sanity.max_forwards(parsed(GOOD, f"Max-Forwards: {value}", without="max-forwards")), number)
        self.assertEqual(sanity.max_forwards(parsed(without="max-forwards")), -1)

    def test_faults(self) -> None:
        """Anything else: 400."""
        for value in ("256", "-1", "x", "", "7 0", "9" * 5000, "٧"):
            error = self.assertRaises(ParseError, sanity.max_forwards, parsed(GOOD, f"Max-Forwards: {value}", without="max-forwards"))
            self.assertEqual(error.status, 400)
