"""``[node]`` checked at the start."""

from __future__ import annotations

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.fakes import FakeListener
from sipnode.nodes.address import NodeAddress
from sipnode.records import Binding
from sipnode.settings import NodeSettings
from sipnode.wiring.nodes import only_ours, own_address, shared_secret

OWN = b"o" * 32
SECRET = "s" * 32
LISTENERS = (
    FakeListener("UDP"),
    FakeListener("TCP", "0.0.0.0", via_host="node.example.test"),
    FakeListener("WS", port=8080, via_port=8080),
)


class SecretTests(SynchronousTestCase):
    """The secret of the nodes."""

    def test_alone(self) -> None:
        """Without one the server's own signs."""
        self.assertEqual(shared_secret(NodeSettings(), OWN), OWN)

    def test_shared(self) -> None:
        """With one all nodes sign alike, whatever their own are."""
        settings = NodeSettings(id=1, address="192.0.2.1:5060", secret=SECRET)
        self.assertEqual(shared_secret(settings, OWN), shared_secret(settings, b"p" * 32))
        self.assertNotEqual(shared_secret(settings, OWN), OWN)

    def test_faults(self) -> None:
        """An address needs a number and a secret, and that a length; no fault shows the secret."""
        for settings, key in (
            (NodeSettings(address="192.0.2.1:5060", secret=SECRET), "node.id"),
            (NodeSettings(id=1, address="192.0.2.1:5060"), "node.secret"),
            (NodeSettings(id=1, secret="geheim"), "node.secret"),
        ):
            fault = self.assertRaises(ConfigError, shared_secret, settings, OWN)
            self.assertIn(key, str(fault))
            self.assertNotIn("geheim", str(fault))


class AddressTests(SynchronousTestCase):
    """The address has to be one of ours."""

    def address(self, text: str) -> NodeAddress | None:
        """What is made of it."""
        return own_address(NodeSettings(id=1, address=text), LISTENERS)

    def test_ours(self) -> None:
        """Bound, advertised, or bound to all addresses."""
        self.assertIsNone(self.address(""))
        for text in ("192.0.2.1:5060", "node.example.test:5060;tcp", "203.0.113.1:5060;transport=tcp"):
            self.assertIsNotNone(self.address(text))

    def test_not_ours(self) -> None:
        """Another host, port or transport, or a WebSocket's, stops the start and names what there is."""
        for text in ("192.0.2.2:5060", "192.0.2.1:5070", "192.0.2.1:5060;tls", "192.0.2.1:8080;tcp"):
            fault = self.assertRaises(ConfigError, self.address, text)
            self.assertIn("192.0.2.1:5060;udp", str(fault))


class OnlyOursTests(SynchronousTestCase):
    """Who pings."""

    def test_others(self) -> None:
        """A binding that another node wrote is one that has gone, so that nobody pings for it or deletes it."""
        told: list[str] = []
        watcher = only_ours(1, lambda kind, binding: told.append(kind))
        for server_id in (1, 2):
            watcher("registered", Binding("a@b", "sip:a", 0.0, "r", server_id=server_id))
        self.assertEqual(told, ["registered", "elsewhere"])

    def test_kamailio_without_a_number(self) -> None:
        """Nor is one that a Kamailio wrote while neither has a number; that is said, once."""
        told: list[str] = []
        watcher = only_ours(0, lambda kind, binding: told.append(kind))
        with capturedLogs() as logs:
            for ruid in ("uloc-24rhg3bwo-1", "uloc-6b04014a-380a-1", "uloc-6b04014a-380a-2"):
                watcher("registered", Binding("a@b", "sip:a", 0.0, ruid))
        self.assertEqual(told, ["registered", "elsewhere", "elsewhere"])
        self.assertEqual(len(logs), 1)
