"""Tests of nat_uac_test: each number alone, and which addresses are private."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.nat.tests import (
    CONTACT_PORT,
    CONTACT_PRIVATE,
    SDP_ADDRESS,
    SDP_PRIVATE,
    SOURCE_PRIVATE,
    VIA_ADDRESS,
    VIA_PORT,
    VIA_PRIVATE,
    WEBSOCKET,
    NatTest,
    canonical_host,
    contact_address,
    is_private,
    nat_uac_test,
    same_host,
)
from sipnode.sip.message import SipRequest
from sipnode.sip.parser import parse_message

ALL = 511


def request(via: str = "UDP 203.0.113.5:5060", contact: str | None = "<sip:a@203.0.113.5:5060>", sdp: str = "") -> SipRequest:
    """An INVITE with that Via, Contact and body."""
    lines = [
        "INVITE sip:b@example.com SIP/2.0",
        f"Via: SIP/2.0/{via};branch=z9hG4bKk1",
        "From: <sip:a@example.com>;tag=f",
        "To: <sip:b@example.com>",
        "Call-ID: c",
        "CSeq: 1 INVITE",
    ]
    if contact is not None:
        lines.append(f"Contact: {contact}")
    made = parse_message("\r\n".join([*lines, f"Content-Length: {len(sdp)}", "", sdp]).encode())
    assert isinstance(made, SipRequest)
    return made


class MaskTests(SynchronousTestCase):
    """The numbers."""

    def hits(self, made: SipRequest, host: str = "203.0.113.5", port: int = 5060, websocket: bool = False, mask: int = ALL) -> int:
        return nat_uac_test(mask, made, host, port, websocket)

    def test_numbers(self) -> None:
        """The names stand for Kamailio's numbers."""
        self.assertEqual(
            [NatTest(1 << bit).name for bit in range(9)],
            [
                "CONTACT_PRIVATE",
                "VIA_ADDRESS",
                "VIA_PRIVATE",
                "SDP_PRIVATE",
                "VIA_PORT",
                "SOURCE_PRIVATE",
                "WEBSOCKET",
                "CONTACT_PORT",
                "SDP_ADDRESS",
            ],
        )

    def test_nothing_wrong(self) -> None:
        """A phone with a public address hits nothing, nor does a mask of 0."""
        self.assertEqual(self.hits(request(sdp="v=0\r\nc=IN IP4 203.0.113.5\r\n")), 0)
        self.assertEqual(self.hits(request("UDP 10.0.0.1", "<sip:a@10.0.0.1>"), mask=0), 0)

    def test_contact_private(self) -> None:
        """1: the host of Contact is private."""
        made = request(contact='"B <x" <sip:a@192.168.1.2:5060;ob>;expires=3')
        self.assertEqual(self.hits(made), CONTACT_PRIVATE)

    def test_via_address(self) -> None:
        """2: Via names another host than the source; a name counts as another."""
        self.assertEqual(self.hits(request("UDP 203.0.113.6:5060")), VIA_ADDRESS)
        self.assertEqual(self.hits(request("WS abc.invalid"), mask=VIA_ADDRESS), VIA_ADDRESS)

    def test_via_private(self) -> None:
        """4: the host of Via is private."""
        self.assertEqual(self.hits(request("UDP 10.1.2.3:5060")), VIA_ADDRESS | VIA_PRIVATE)

    def test_sdp_private(self) -> None:
        """8: a connection line of the SDP is private, in any media description; other lines don't count."""
        made = request(sdp="v=0\r\nc=IN IP4 203.0.113.5\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP4 172.16.0.9/127\r\n")
        self.assertEqual(self.hits(made), SDP_PRIVATE | SDP_ADDRESS)
        self.assertEqual(self.hits(request(sdp="v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 203.0.113.5\r\n")), 0)

    def test_via_port(self) -> None:
        """16: Via names another port than the source; none is 5060, over TLS 5061."""
        self.assertEqual(self.hits(request("UDP 203.0.113.5:5062")), VIA_PORT)
        self.assertEqual(self.hits(request("UDP 203.0.113.5")), 0)
        self.assertEqual(self.hits(request("TLS 203.0.113.5"), port=5061, mask=VIA_PORT), 0)
        self.assertEqual(self.hits(request("TLS 203.0.113.5"), mask=VIA_PORT), VIA_PORT)

    def test_source_private(self) -> None:
        """32: the source is private."""
        made = request("UDP 10.0.0.5:5060", "<sip:a@203.0.113.5>")
        self.assertEqual(self.hits(made, host="10.0.0.5"), VIA_PRIVATE | SOURCE_PRIVATE)

    def test_websocket(self) -> None:
        """64: it came by WebSocket."""
        self.assertEqual(self.hits(request(), websocket=True), WEBSOCKET)
        self.assertEqual(self.hits(request(), websocket=True, mask=ALL - WEBSOCKET), 0)

    def test_contact_port(self) -> None:
        """128: Contact names another port than the source; none is 5060."""
        self.assertEqual(self.hits(request(contact="<sip:a@203.0.113.5:5070>")), CONTACT_PORT)
        self.assertEqual(self.hits(request(contact="<sip:a@203.0.113.5>")), 0)
        self.assertEqual(self.hits(request(contact="<sips:a@203.0.113.5>"), port=5061, mask=CONTACT_PORT), 0)

    def test_sdp_address(self) -> None:
        """256: the SDP names another address than the source; 0.0.0.0 is a hold and names none."""
        self.assertEqual(self.hits(request(sdp="v=0\r\nc=IN IP4 203.0.113.6\r\n")), SDP_ADDRESS)
        self.assertEqual(self.hits(request(sdp="v=0\r\nc=IN IP4 0.0.0.0\r\n")), 0)

    def test_seed(self) -> None:
        """The seed's 19 finds a phone behind a translator, by any of its three signs."""
        for made in (
            request(contact="<sip:a@10.0.0.2>"),
            request("UDP 10.0.0.2:5060"),
            request("UDP 203.0.113.5:6000"),
        ):
            self.assertTrue(self.hits(made, mask=19))
        self.assertFalse(self.hits(request(contact="<sip:a@203.0.113.5:5070>"), websocket=True, mask=19))

    def test_ipv6(self) -> None:
        """IPv6 in other spellings, with and without brackets, is the same address."""
        made = request("UDP [2001:DB8:0:0::5]:5060", "<sip:a@[2001:db8::5]>", "v=0\r\nc=IN IP6 2001:db8:0::5\r\n")
        self.assertEqual(self.hits(made, host="2001:db8::5"), 0)
        self.assertEqual(self.hits(made, host="2001:db8::6"), VIA_ADDRESS | SDP_ADDRESS)

    def test_hostile(self) -> None:
        """A Contact that can't be read, or none, hits nothing and raises nothing."""
        for contact in (
            None,
            "*",
            "<",
            "<sip:",
            '"',
            '"a" <sip:a@10.0.0.1',
            "<>",
            "<sip:a@10.0.0.1:99999999>",
            "@",
            ":",
            "<sip:[10.0.0.1>",
        ):
            self.assertEqual(self.hits(request(contact=contact), mask=CONTACT_PRIVATE | CONTACT_PORT) & CONTACT_PRIVATE, 0, contact)

    def test_unreadable_via(self) -> None:
        """A Via that can't be read hits nothing: whoever routes refuses it."""
        made = request()
        made.set("via", "nonsense")
        self.assertEqual(self.hits(made, mask=VIA_ADDRESS | VIA_PORT | VIA_PRIVATE), 0)


class PrivateTests(SynchronousTestCase):
    """Which addresses mean nothing outside."""

    def test_private(self) -> None:
        """First and last of RFC 1918, RFC 6598, link-local and unique local, in both families."""
        for host in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "169.254.0.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "[fe80::1]",
            "FD00::1",
            "::ffff:10.0.0.1",
            "fe80::1%eth0",
        ]:
            self.assertTrue(is_private(host), host)

    def test_public(self) -> None:
        """Their neighbours, loopback, names and nonsense aren't."""
        for host in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "127.0.0.1",
            "::1",
            "2001:db8::1",
            "fb00::1",
            "fe7f::1",
            "fec0::1",
            "::ffff:11.0.0.1",
            "10.example.com",
            "10.0.0",
            "10.0.0.0.1",
            "fd",
            "1010.0.0.1",
            ":",
        ]:
            self.assertFalse(is_private(host), host)
        self.assertFalse(is_private(""))

    def test_bounded(self) -> None:
        """Hosts too long to be an address aren't remembered."""
        self.assertFalse(is_private("10.0.0.1" + "x" * 8000))
        self.assertEqual(canonical_host("X" * 8000), "x" * 8000)

    def test_same_host(self) -> None:
        """Equal hosts in any spelling; a mapped address is the IPv4 one."""
        for one, other in (("A.example", "a.EXAMPLE"), ("[::1]", "::1"), ("0:0::1", "::1"), ("::ffff:192.0.2.1", "192.0.2.1")):
            self.assertTrue(same_host(one, other), one)
        self.assertFalse(same_host("192.0.2.1", "192.0.2.10"))
        self.assertFalse(same_host("not:an:address", "::1"))


class ContactAddressTests(SynchronousTestCase):
    """Host and port of a Contact."""

    def test_forms(self) -> None:
        """With and without brackets, user, port, display name and parameters."""
        for value, expected in (
            ("<sip:a@H.example:5070;x=1?y=2>;q=1", ("h.example", 5070)),
            ("sip:h", ("h", 5060)),
            ("sip:a@h:1;expires=3", ("h", 1)),
            ("sip:a@h, <sip:b@i>", ("h", 5060)),
            ("<sips:h>", ("h", 5061)),
            ('"q\\"<sip:no@no>" <sip:a@h>', ("h", 5060)),
            ("<sip:a@[2001:db8::1]:99>", ("2001:db8::1", 99)),
            ("<sip:a@[2001:db8::1]>", ("2001:db8::1", 5060)),
            ("*", ("", 0)),
            ("<sip:a@h:port>", ("", 0)),
        ):
            self.assertEqual(contact_address(value), expected, value)
