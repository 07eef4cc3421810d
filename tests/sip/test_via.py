"""Tests of Via: reading it in every spelling, and stamping it with where the request came from."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip.grammar import line_value
from sipnode.sip.parser import parse_message
from sipnode.sip.via import Via, stamped
from tests.sip.kit import PROFILE, hosts, no_hang, octets, param_lists, parsed, ports, tokens


class ReadingTests(SynchronousTestCase):
    """One value."""

    def test_common(self) -> None:
        """Transport, sent-by and branch of what nearly everybody sends."""
        via = Via.parse("SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks")
        self.assertEqual(
            (via.version, via.transport, via.host, via.port, via.branch), ("2.0", "WSS", "df7jal23ls0d.invalid", 0, "z9hG4bK56sdasks")
        )
        self.assertEqual((via.sent_by, via.received, via.rport), ("df7jal23ls0d.invalid", "", None))

    def test_plain(self) -> None:
        """What needs no closer look is in the usual spelling, all of it."""
        self.assertTrue(Via.parse("SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport").plain)
        for text in (
            "SIP/2.0/UDP h", "SIP/2.0/UDP h;;branch=1", "SIP/2.0/UDP h;branch=1;",
            'SIP/2.0/UDP h;branch=1;x="a,,b"', "SIP/2.0/UDP h; branch=1",
        ):  # fmt: skip
            self.assertFalse(Via.parse(text).plain, text)

    def test_white_space(self) -> None:
        """White space may stand around every part (RFC 4475 §3.1.1.1)."""
        via = Via.parse("SIP  / 2.0\t/ tls  Host.Example : 6000 ; RPORT ; branch = z9hG4bKx ; received= 1.2.3.4")
        self.assertEqual((via.version, via.transport, via.host, via.port, via.branch), ("2.0", "TLS", "host.example", 6000, "z9hG4bKx"))
        self.assertEqual((via.rport, via.received, via.sent_by), ("", "1.2.3.4", "host.example:6000"))

    def test_ipv6(self) -> None:
        """An IPv6 address has its brackets, and keeps them (RFC 5118 §4.5)."""
        via = Via.parse("SIP/2.0/UDP [2001:DB8::9:1]:5070;received=[2001:db8::9:255];branch=z9hG4bKas3-111")
        self.assertEqual((via.host, via.port, via.received), ("[2001:db8::9:1]", 5070, "[2001:db8::9:255]"))

    def test_rport(self) -> None:
        """Absent, asked for, or filled in."""
        for params, rport in ((";branch=1", None), (";rport", ""), (";rport=", ""), (";RPort=5060;branch=1", "5060"), (";xrport=1", None)):
            self.assertEqual(Via.parse("SIP/2.0/UDP h" + params).rport, rport)

    def test_odd_transports(self) -> None:
        """Any token is a transport (RFC 4475 §3.1.1.10)."""
        for name in ("SCTP", "TLS-SCTP", "UNKNOWN", "spearbeta"):
            self.assertEqual(Via.parse(f"SIP/2.0/{name} t1.example.org;branch=1").transport, name.upper())

    def test_faults(self) -> None:
        """What isn't a Via is refused."""
        for text in (
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP h:x;branch=1",
            "SIP/2.0/UDP h:70000;branch=1",
            "SIP/2.0/UDP h:123456",
            "SIP/2.0/UDP h h2",
            "SIP/2.0/UDP [::1;branch=1",
            "HTTP/1.1/TCP h",
            "SIP/2.0/UDP h,h2",
            "SIP/2.0/UDP -h-;branch=1",
            "SIP/2.0/UDP \u212aelvin",
            "SIP/2.0/UDP h:٥٠٦٠;branch=1",
        ):
            self.assertRaises(ParseError, Via.parse, text)

    @PROFILE
    @given(st.sampled_from(["UDP", "TCP", "TLS", "WS", "WSS", "udp"]), hosts, ports, param_lists("branch"), tokens, st.booleans())
    def test_spellings_are_one(self, transport: str, host: str, port: str, params: str, branch: str, first: bool) -> None:
        """The usual spelling, which has a shorter way through the parser, reads as any other of the same value."""
        params = f";branch={branch}{params}" if first else f"{params};branch={branch}"
        usual = Via.parse(f"SIP/2.0/{transport} {host}{port}{params}")
        other = Via.parse(f"SIP / 2.0 / {transport}  {host.upper()} {port} {params}")
        self.assertEqual(
            (usual.transport, usual.host, usual.port, usual.branch, usual.params),
            (other.transport, other.host, other.port, other.branch, other.params),
        )
        self.assertEqual(usual.branch, branch)


def stamp(value: str, host: str = "192.0.2.9", port: int = 7777, name: str = "Via: ") -> str:
    """The line of a value after it came from an address."""
    request = parse_message(octets("INVITE sip:a@b SIP/2.0", name + value, without="via"))
    request.stamp_via(host, port)
    return request.lines[request.index()["via"]]


class StampTests(SynchronousTestCase):
    """received and rport (RFC 3261 §18.2.1, RFC 3581 §4)."""

    def test_asked_for(self) -> None:
        """Where rport is asked for both are filled in, even where they say what the Via says already."""
        self.assertEqual(
            stamp("SIP/2.0/UDP 192.0.2.9:7777;branch=1;rport"), "Via: SIP/2.0/UDP 192.0.2.9:7777;branch=1;received=192.0.2.9;rport=7777"
        )
        self.assertEqual(stamp("SIP/2.0/UDP h;rport;branch=1", name="v:"), "v:SIP/2.0/UDP h;received=192.0.2.9;rport=7777;branch=1")

    def test_differs(self) -> None:
        """Where the source is another than sent-by says, both are added, asked for or not."""
        for sent_by in ("h", "192.0.2.9", "192.0.2.8:7777", "192.0.2.9:5060"):
            self.assertEqual(stamp(f"SIP/2.0/UDP {sent_by};branch=1"), f"Via: SIP/2.0/UDP {sent_by};branch=1;received=192.0.2.9;rport=7777")

    def test_the_same(self) -> None:
        """Where sent-by is the source, and nothing is asked for, the line stays."""
        self.assertEqual(stamp("SIP/2.0/UDP 192.0.2.9:7777;branch=1"), "Via: SIP/2.0/UDP 192.0.2.9:7777;branch=1")
        self.assertEqual(stamp("SIP/2.0/UDP [::1]:7777;branch=1", host="::1"), "Via: SIP/2.0/UDP [::1]:7777;branch=1")

    def test_lies(self) -> None:
        """received and rport that the sender wrote itself are overwritten, in any spelling."""
        for params in (
            ";received=10.9.9.9;rport=1;branch=1",
            ";branch=1;RECEIVED = 10.9.9.9",
            ";rport=99;branch=1",
            ';received="10.9.9.9";branch=1;rport',
        ):
            line = stamp("SIP/2.0/UDP h" + params)
            via = Via.parse(line_value(line))
            self.assertEqual((via.received, via.rport, via.branch), ("192.0.2.9", "7777", "1"))
            self.assertNotIn("10.9.9.9", line)

    def test_no_params(self) -> None:
        """A Via without any parameter."""
        self.assertEqual(stamp("SIP/2.0/UDP h"), "Via: SIP/2.0/UDP h;received=192.0.2.9;rport=7777")

    def test_first_of_a_list(self) -> None:
        """Only the first value of a line is stamped, whatever the others look like."""
        rest = ", SIP/2.0/UDP two;rport, SIP/2.0/UDP h;branch=1;rport"
        for params, after in (
            ("", ";received=192.0.2.9;rport=7777"),
            (";rport", ";received=192.0.2.9;rport=7777"),
            (";branch=1;rport", ";branch=1;received=192.0.2.9;rport=7777"),
            (";rport;branch=1", ";received=192.0.2.9;rport=7777;branch=1"),
            (';x=",";rport=1', ';x=",";received=192.0.2.9;rport=7777'),
        ):
            self.assertEqual(stamp(f"SIP/2.0/UDP h{params}{rest}"), f"Via: SIP/2.0/UDP h{after}{rest}")

    def test_folded(self) -> None:
        """A fold inside the parameters doesn't hide them."""
        for value in (
            "SIP/2.0/UDP h;branch=1\r\n ;rport",
            "SIP/2.0/UDP h;rport\r\n\t;branch=1",
            "SIP/2.0/UDP\r\n h;branch=1",
            "SIP/2.0/UDP h\r\n ;branch=1;rport",
        ):
            via = Via.parse(line_value(stamp(value)))
            self.assertEqual((via.received, via.rport, via.branch), ("192.0.2.9", "7777", "1"))

    def test_faults(self) -> None:
        """Parameters that can't be read are a fault, not a guess."""
        for params in (';x="y;rport=', ";rport=1;rport=2;branch=1"):
            self.assertRaises(ParseError, stamp, "SIP/2.0/UDP h" + params)

    @PROFILE
    @given(
        hosts, ports, param_lists("rport", "received"), param_lists("rport", "received"), st.sampled_from([", ", ",", None]), st.booleans()
    )
    @example("h", "", "", "", ", ", False)
    def test_short_and_long_way_are_equal(self, host: str, port: str, before: str, after: str, comma: str | None, folded: bool) -> None:
        """``;rport`` has a shorter way than ``;rport=``; both leave the same parameters, and the rest of the line alone."""
        names = {p.partition("=")[0].lower() for p in before.split(";")} & {p.partition("=")[0].lower() for p in after.split(";")}
        if names - {""}:
            after = ""
        rest = comma + "SIP/2.0/UDP other;rport;received=1.1.1.1" if comma else ""
        start = f"Via: SIP/2.0/UDP\r\n {host}{port}{before}" if folded else f"Via: SIP/2.0/UDP {host}{port}{before}"
        lines = []
        for asked in (";rport", ";rport="):
            line = f"{start}{asked}{after}{rest}"
            via = parsed("INVITE sip:a@b SIP/2.0", line, without="via").via
            lines.append(stamped(line, via, "192.0.2.9", 7777))
        vias = [parsed("INVITE sip:a@b SIP/2.0", line, without="via").via for line in lines]
        self.assertEqual(vias[0].params, vias[1].params)
        self.assertEqual((vias[0].received, vias[0].rport, vias[0].host), ("192.0.2.9", "7777", host.lower()))
        for line in lines:
            self.assertTrue(line.endswith(rest))

    def test_cost(self) -> None:
        """As many quoted parameters as a line holds cost one pass."""
        with no_hang():
            for params in (';x="y"' + ";a" * 4000, ';x="' + ";" * 8000 + '"', ";" * 8000, ';x="' + '\\"' * 4000):
                try:
                    stamp("SIP/2.0/UDP h" + params)
                except ParseError:
                    pass
