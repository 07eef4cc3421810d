from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport import interfaces
from sipnode.transport.interfaces import listener_networks, machine_networks

ROUTE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100010A	0003	0	0	0	00000000	0	0	0
eth0	0000010A	00000000	0001	0	0	0	0000FFFF	0	0	0
eth1	00E1A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
"""
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000007 02 40 00 80     eth0
"""


class InterfaceTests(SynchronousTestCase):
    """The networks that listeners are in."""

    def setUp(self) -> None:
        files = {"/proc/net/route": ROUTE, "/proc/net/if_inet6": IF_INET6}
        self.patch(interfaces, "_lines", lambda path: files.get(path, "").splitlines())

    def test_machine(self) -> None:
        """Directly connected networks, without the default route and loopback."""
        self.assertEqual([str(network) for network in machine_networks()], ["10.1.0.0/16", "192.168.225.0/24", "fd00::/64"])

    def test_listeners(self) -> None:
        """A listener brings the network that it is in, one on all addresses those of its family, one on loopback none."""
        self.assertEqual([str(network) for network in listener_networks(["10.1.2.3", "127.0.0.1", "::1"])], ["10.1.0.0/16"])
        self.assertEqual([str(network) for network in listener_networks(["0.0.0.0", "10.1.2.3"])], ["10.1.0.0/16", "192.168.225.0/24"])
        self.assertEqual([str(network) for network in listener_networks(["::"])], ["fd00::/64"])

    def test_unknown(self) -> None:
        """Where the kernel doesn't tell, the addresses around the listener's own are meant."""
        self.patch(interfaces, "_lines", lambda path: [])
        self.assertEqual(listener_networks(["172.16.5.6"]), [ipaddress.ip_network("172.16.5.0/24")])
        self.assertEqual(listener_networks(["fd00:1::2"]), [ipaddress.ip_network("fd00:1::/64")])

    def test_real(self) -> None:
        """What this machine says can be read."""
        for network in machine_networks():
            self.assertFalse(network.is_loopback)
