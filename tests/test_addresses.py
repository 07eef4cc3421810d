"""Tests of :mod:`sipnode.addresses`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.addresses import is_loopback, is_within, networks, split_address
from sipnode.errors import ConfigError


class AddressTests(SynchronousTestCase):
    """What settings say, and what they can't."""

    def test_listener(self) -> None:
        """An IP literal and a port; what can't be is named with its setting."""
        self.assertEqual(split_address("[::1]:8080", "k"), ("::1", 8080))
        self.assertEqual(split_address("127.0.0.1:0", "k"), ("127.0.0.1", 0))
        for wrong in ("", "8080", "localhost:8080", "::1:8080", "127.0.0.1:", "127.0.0.1:99999", "[127.0.0.1]:80", "127.0.0.1:-1", "[]:1"):
            self.assertEqual(self.assertRaises(ConfigError, split_address, wrong, "rpc.listen").key, "rpc.listen")

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """No text makes it fail in another way."""
        try:
            host, port = split_address(text, "k")
        except ConfigError:
            return
        self.assertTrue(0 <= port <= 65535 and host)

    def test_networks(self) -> None:
        """Addresses and networks; an entry with host bits is no network, and its setting is named."""
        known = networks(("127.0.0.0/8", "::1", "2001:db8::/32"), "k")
        for inside in ("127.9.9.9", "::1", "::ffff:127.0.0.1", "2001:db8::5"):
            self.assertTrue(is_within(inside, known), inside)
        for outside in ("192.0.2.1", "::2", "::ffff:192.0.2.1", "", "localhost", "127.0.0.1 "):
            self.assertFalse(is_within(outside, known), outside)
        for wrong in ("10.0.0.1/8", "here", ""):
            self.assertEqual(self.assertRaises(ConfigError, networks, (wrong,), "rpc.allow").key, "rpc.allow")

    def test_loopback(self) -> None:
        """Only what never leaves the machine."""
        for host in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("192.0.2.1", "localhost", "", "::"):
            self.assertFalse(is_loopback(host), host)
