from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.trust import TrustedSources
from sipnode.errors import ConfigError


class TrustedSourcesTests(SynchronousTestCase):
    """Addresses that need no digest."""

    def test_networks(self) -> None:
        """Addresses and networks of both families, asked once or often, with a zone or as IPv4 in IPv6."""
        trusted = TrustedSources(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "[::1]"])
        for host, inside in (
            ("192.0.2.1", True),
            ("192.0.3.1", False),
            ("198.51.100.7", True),
            ("198.51.100.8", False),
            ("2001:db8::5", True),
            ("2001:db9::5", False),
            ("::1", True),
            ("::ffff:192.0.2.9", True),
            ("fe80::1%eth0", False),
            ("", False),
            ("example.test", False),
        ):
            for _ in range(2):
                self.assertIs(host in trusted, inside, host)

    def test_nobody(self) -> None:
        """Without networks nobody is trusted."""
        self.assertNotIn("127.0.0.1", TrustedSources([]))

    def test_bad(self) -> None:
        """What is no network stops the start with its text; host bits in a network are a slip, not a guess."""
        for text in ("example.test", "192.0.2.1/24", "", "300.1.1.1"):
            fault = self.assertRaises(ConfigError, TrustedSources, [text])
            self.assertEqual(fault.key, "auth.trusted")
            self.assertIn(repr(text), str(fault))

    def test_bounded(self) -> None:
        """Any number of sources takes bounded memory."""
        trusted = TrustedSources(["192.0.2.0/24"])
        for number in range(25000):
            self.assertNotIn(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", trusted)
        self.assertLessEqual(len(trusted._known), 10000)
