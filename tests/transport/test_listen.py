"""Promises of ``sipnode.transport.listen``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.transport.listen import family_of, is_loopback, is_unspecified, parse_listen, parse_listens


class ParseListen(SynchronousTestCase):
    """One line."""

    def test_every_transport(self) -> None:
        """Each transport word is read, in either case, and the bound address is advertised."""
        for word in ("udp", "TCP", "tls", "ws", "Wss"):
            spec = parse_listen(f"{word}:192.0.2.1:5070")
            self.assertEqual(
                (spec.transport, spec.host, spec.port, spec.via_host, spec.via_port), (word.upper(), "192.0.2.1", 5070, "192.0.2.1", 0)
            )

    def test_advertise(self) -> None:
        """An advertised host, with or without port, takes the place of the bound one."""
        spec = parse_listen("udp:0.0.0.0:5060 advertise Sip.Example.com")
        self.assertEqual((spec.host, spec.via_host, spec.via_port), ("0.0.0.0", "sip.example.com", 0))
        spec = parse_listen("wss:10.0.0.2:8443 ADVERTISE 203.0.113.5:443")
        self.assertEqual((spec.via_host, spec.via_port), ("203.0.113.5", 443))

    def test_ipv6(self) -> None:
        """IPv6 stands in brackets in the line, without them in host, with them in via_host."""
        spec = parse_listen("tcp:[2001:db8::1]:5060 advertise [2001:db8::2]:5062")
        self.assertEqual((spec.host, spec.via_host, spec.via_port), ("2001:db8::1", "[2001:db8::2]", 5062))
        self.assertTrue(spec.ipv6)

    def test_refused(self) -> None:
        """What cannot be is refused with words that say why."""
        for line, why in (
            ("sctp:127.0.0.1:5060", "none of udp"),
            ("udp:127.0.0.1", "port is missing"),
            ("udp:127.0.0.1:99999", "not a port"),
            ("udp:127.0.0.1:5x", "not a port"),
            ("udp:example.com:5060", "not an IP address"),
            ("udp:::1:5060", "in brackets"),
            ("udp:[::1:5060", "in brackets"),
            ("udp:0.0.0.0:5060", "advertise"),
            ("udp:[::]:5060", "advertise"),
            ("udp:0.0.0.0:5060 advertise 0.0.0.0", "nobody can reach"),
            ("udp:127.0.0.1:5060 advertise bad_name!", "neither a host name"),
            ("udp:127.0.0.1:5060 advertise a:0", "port 0"),
            ("udp:127.0.0.1:5060 as a", "write TRANSPORT"),
            ("", "write TRANSPORT"),
        ):
            error = self.assertRaises(ConfigError, parse_listen, line)
            self.assertIn(why, str(error), line)
            self.assertEqual(error.key, "core.listen")


class ParseListens(SynchronousTestCase):
    """All lines."""

    def test_shared_port(self) -> None:
        """TCP with WS and TLS with WSS share a port, and UDP shares any."""
        lines = ["udp:127.0.0.1:1", "tcp:127.0.0.1:1", "ws:127.0.0.1:1", "tls:127.0.0.1:2", "wss:127.0.0.1:2"]
        self.assertEqual(len(parse_listens(lines)), 5)

    def test_twice(self) -> None:
        """The same listener twice is refused, port 0 is another port each time."""
        self.assertRaises(ConfigError, parse_listens, ["udp:127.0.0.1:1", "udp:127.0.0.1:1"])
        self.assertEqual(len(parse_listens(["udp:127.0.0.1:0", "udp:127.0.0.1:0"])), 2)

    def test_plain_and_tls(self) -> None:
        """No port is plain and TLS."""
        for one, other in (("tcp", "tls"), ("ws", "wss"), ("tcp", "wss"), ("tls", "ws")):
            self.assertRaises(ConfigError, parse_listens, [f"{one}:127.0.0.1:1", f"{other}:127.0.0.1:1"])

    def test_none(self) -> None:
        """A server without listeners is refused."""
        self.assertRaises(ConfigError, parse_listens, [])


class Addresses(SynchronousTestCase):
    """Questions about literals."""

    def test_kinds(self) -> None:
        """Literals are told from names, and the two special kinds from others."""
        self.assertTrue(family_of("192.0.2.1") and family_of("::1") and family_of("fe80::1%eth0"))
        self.assertFalse(family_of("example.com") or family_of("") or family_of("1.2.3") or family_of("a\0b"))
        self.assertTrue(is_unspecified("0.0.0.0") and is_unspecified("::"))
        self.assertFalse(is_unspecified("example.com") or is_unspecified("127.0.0.1"))
        self.assertTrue(is_loopback("127.3.2.1") and is_loopback("::1"))
        self.assertFalse(is_loopback("12.7.0.0"))
