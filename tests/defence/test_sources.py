"""Records of sources: who shares one, who is trusted, how many there are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.sources import Source, SourceTable
from sipnode.errors import ConfigError


def table(*trusted: str, most: int = 1000, prefixes: tuple[int, int] = (32, 64)) -> SourceTable:
    """A table."""
    return SourceTable(trusted, most, prefixes, lambda key, free: Source(key, free, 1, 1, 0.0), lambda host: host == "192.0.2.1")


class SourceTests(SynchronousTestCase):
    """One record for each source."""

    def test_keys(self) -> None:
        """An IPv4 address is a source of its own, an IPv6 one shares its /64; what is no address stands for itself."""
        each = table()
        self.assertEqual(each.find("203.0.113.7").key, "203.0.113.7")
        self.assertIs(each.find("2001:db8::1"), each.find("2001:db8::ffff:2"))
        self.assertEqual(each.find("2001:db8::1").key, "2001:db8::/64")
        self.assertIsNot(each.find("2001:db8::1"), each.find("2001:db8:0:1::1"))
        self.assertEqual(each.find("a.invalid").key, "a.invalid")
        self.assertEqual(each.key_of("::ffff:203.0.113.7"), "203.0.113.7")

    def test_prefixes(self) -> None:
        """A shorter IPv4 prefix makes neighbours one source."""
        each = table(prefixes=(24, 48))
        self.assertIs(each.find("203.0.113.7"), each.find("203.0.113.9"))
        self.assertEqual(each.find("203.0.113.7").key, "203.0.113.0/24")
        self.assertIs(each.known("203.0.113.0/24"), each.find("203.0.113.7"))

    def test_trusted(self) -> None:
        """Networks, single addresses, and this server's own."""
        each = table("198.51.100.0/24", "2001:db8:7::/48", "203.0.113.9")
        for host in ("198.51.100.200", "2001:db8:7:1::5", "203.0.113.9", "192.0.2.1", "::ffff:198.51.100.3"):
            self.assertTrue(each.find(host).free, host)
        for host in ("198.51.101.1", "2001:db8:8::1", "203.0.113.8", "x"):
            self.assertFalse(each.find(host).free, host)
        self.assertRaises(ConfigError, table, "not an address")

    def test_trust_changes(self) -> None:
        """Trust given or taken while the server runs holds for the next message."""
        each = table()
        self.assertFalse(each.find("203.0.113.7").free)
        each.trust("203.0.113.0/24")
        self.assertTrue(each.find("203.0.113.7").free)
        self.assertEqual(each.trusted, ("203.0.113.0/24",))
        self.assertTrue(each.distrust("203.0.113.0/24"))
        self.assertFalse(each.distrust("203.0.113.0/24"))
        self.assertFalse(each.find("203.0.113.7").free)
        self.assertRaises(ConfigError, each.trust, "x")

    def test_bounded(self) -> None:
        """A hundred times as many sources as there is room for leave two generations at most; who is heard of stays."""
        each = table(most=100)
        regular = each.find("203.0.113.7")
        for number in range(10_000):
            each.find(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
            if number % 50 == 0:
                self.assertIs(each.find("203.0.113.7"), regular)
            self.assertLessEqual(len(each), 200)
        for number in range(10_000):
            each.find(f"2001:db8:{number:x}::1")
        self.assertLessEqual(len(each._shared) + len(each._old_shared), 200)
