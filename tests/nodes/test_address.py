"""Addresses of nodes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.nodes.address import NodeAddress, address_of, parse_address, path_uri


class AddressTests(SynchronousTestCase):
    """Read from the configuration and from paths."""

    def test_forms(self) -> None:
        """With and without a transport, names and literals."""
        for text, wanted in (
            ("192.0.2.1:5060", NodeAddress("192.0.2.1", 5060, "UDP")),
            ("Node-B.example.test:5070;tcp", NodeAddress("node-b.example.test", 5070, "TCP")),
            ("[2001:DB8::1]:5061;transport=TLS", NodeAddress("[2001:db8::1]", 5061, "TLS")),
        ):
            self.assertEqual(parse_address(text), wanted)

    def test_faults(self) -> None:
        """Anything else stops the start and names the key."""
        for text in ("192.0.2.1", "192.0.2.1:0", "192.0.2.1:70000", "192.0.2.1:5060;ws", "2001:db8::1:5060", "a b:5060", ":5060"):
            fault = self.assertRaises(ConfigError, parse_address, text)
            self.assertIn("node.address", str(fault))

    def test_of_a_path(self) -> None:
        """What stands in a path leads back to the address."""
        for text in ("192.0.2.1:5060", "192.0.2.1:5060;transport=tcp", "[2001:db8::1]:5061;transport=tls"):
            uri = path_uri(f"<sip:n1!x@{parse_address(text).hostport};lr>")
            assert uri is not None
            self.assertEqual(address_of(uri), parse_address(text))
        self.assertIsNone(path_uri("<<<"))
