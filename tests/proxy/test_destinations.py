from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.proxy.destinations import LOOPBACK, NEVER, OWN, PRIVATE, SERVICE, Destinations, Refused, witness
from sipnode.records import Hop
from sipnode.sip.hosts import bare_host

PEER = "198.51.100.7"
HERE = "127.0.0.1"
LAN = ipaddress.ip_network("10.1.2.0/24")
SERVICES = (("127.0.0.1", 8085), ("0.0.0.0", 8086), ("10.1.2.9", 2223), ("localhost", 5432), ("192.0.2.200", 22222))


def policy(*allowed: str, wildcards: Sequence[int] = ()) -> Destinations:
    own = {("127.0.0.1", 5060), ("192.0.2.1", 5060), ("10.1.2.3", 5060)}
    return Destinations(
        allowed or ("interfaces",),
        (LAN, ipaddress.ip_network("203.0.113.0/24")),
        lambda host, port: (bare_host(host), port) in own,
        lambda host: bare_host(host) in {host for host, _ in own},
        SERVICES,
        wildcards,
    )


class DestinationTests(SynchronousTestCase):
    """What may a message make the server send to?"""

    def test_public(self) -> None:
        """Public addresses are anybody's."""
        for host in ("203.0.113.7", "192.0.2.9", "2001:db8::1", "[2001:db8::1]"):
            self.assertEqual(policy().refusal(host, 6379, PEER), "", host)

    def test_loopback(self) -> None:
        """Loopback is named by peers on loopback alone, in whatever clothes it comes."""
        plain = ("127.0.0.2", "127.255.255.254", "::1", "[::1]")
        for host in (*plain, "::ffff:127.0.0.2", "[::ffff:7f00:2]", "::127.0.0.2", "64:ff9b::7f00:2", "2002:7f00:2::"):
            self.assertEqual(policy().refusal(host, 6379, PEER), LOOPBACK, host)
            self.assertEqual(policy().refusal(host, 6379, "10.1.2.9"), LOOPBACK, host)
            self.assertEqual(policy().refusal(host, 6379, ""), LOOPBACK, host)
            for peer in (HERE, "::1", "127.0.0.77"):
                self.assertEqual(policy().refusal(host, 6379, peer), "", (host, peer))

    def test_never(self) -> None:
        """What is no host's own address is nobody's to name."""
        plain = ("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1")
        for host in (*plain, "::", "ff02::1", "::ffff:255.255.255.255", "10.1.2.255", "203.0.113.255"):
            for peer in (PEER, HERE, host):
                self.assertEqual(policy("private").refusal(host, 5060, peer), NEVER, host)

    def test_own(self) -> None:
        """A listener of ours is never sent to, whoever asks; another port of its address counts as loopback."""
        for peer in (PEER, HERE, "10.1.2.3"):
            for host in ("127.0.0.1", "192.0.2.1", "10.1.2.3", "::ffff:192.0.2.1"):
                self.assertEqual(policy().refusal(host, 5060, peer), OWN, host)
        for host in ("192.0.2.1", "10.1.2.3"):
            self.assertEqual([policy().refusal(host, 6379, peer) for peer in (PEER, HERE, host)], [LOOPBACK, "", ""])
        self.assertEqual(policy(wildcards=[5070]).refusal("127.0.0.9", 5070, HERE), OWN)
        self.assertEqual(policy().refusal("127.0.0.9", 5070, HERE), "")

    def test_services(self) -> None:
        """RPC, media daemons and the database are never sent to; what listens on loopback or everywhere, by no address of ours."""
        everywhere = (("10.1.2.3", 8086), ("192.0.2.1", 8086), ("::1", 8086))
        loopback = (("127.0.0.1", 8085), ("127.0.0.9", 8085), ("127.0.0.1", 5432))
        for host, port in (*everywhere, *loopback, ("10.1.2.9", 2223), ("192.0.2.200", 22222)):
            self.assertEqual(policy("private", "127.0.0.0/8").refusal(host, port, HERE), SERVICE, (host, port))
        self.assertEqual(policy().refusal("10.1.2.9", 2224, PEER), "")

    def test_private(self) -> None:
        """Of private networks only those count that a listener is in, unless the setting names others."""
        plain = ("10.1.3.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254")
        for host in (*plain, "fd00::1", "fe80::1", "::ffff:10.9.9.9", "64:ff9b::a00:1"):
            self.assertEqual(policy().refusal(host, 80, PEER), PRIVATE, host)
            self.assertEqual(policy().refusal(host, 80, HERE), PRIVATE, host)
        self.assertEqual(policy().refusal("10.1.2.77", 5060, PEER), "")
        for host in ("10.1.3.1", "192.168.1.1", "fd00::1"):
            self.assertEqual(policy("private").refusal(host, 5060, PEER), "", host)
        self.assertEqual(policy("172.16.0.0/12").refusal("172.16.9.9", 5060, PEER), "")
        self.assertEqual(policy("172.16.0.0/12").refusal("10.1.2.77", 5060, PEER), PRIVATE)

    def test_seen_there(self) -> None:
        """An address that the peer itself was seen at is no word of a message."""
        self.assertEqual(policy().refusal("192.168.1.1", 5060, "192.168.1.1"), "")
        self.assertEqual(policy().refusal("127.0.0.1", 5060, "127.0.0.1"), OWN)

    def test_one_port(self) -> None:
        """One port of loopback, for a mailbox on the same machine, opens no other."""
        made = policy("interfaces", "127.0.0.1:5080")
        self.assertEqual([made.refusal("127.0.0.1", port, PEER) for port in (5080, 5081, 5060)], ["", LOOPBACK, OWN])

    def test_friends(self) -> None:
        """Sister nodes are reached wherever they are."""
        made = policy()
        made.is_friend = lambda host: host == "192.168.7.7"
        self.assertEqual([made.refusal(host, 5060, PEER) for host in ("192.168.7.7", "192.168.7.8")], ["", PRIVATE])

    def test_hops(self) -> None:
        """Of several addresses of a name those are left that may be sent to; with none left the first one's rule is told."""
        good, bad = Hop("UDP", "203.0.113.7", 5060), Hop("TCP", "127.0.0.2", 6379)
        self.assertEqual(policy().permitted([bad, good], PEER), [good])
        for hops in ([bad], [bad, Hop("UDP", "0.0.0.0", 5060)]):
            refused = self.assertRaises(Refused, policy().permitted, hops, PEER)
            self.assertEqual((refused.rule, refused.status), (LOOPBACK, 403))

    def test_witness(self) -> None:
        """Of an address that was kept it is known that a peer on loopback named it, where nobody else reaches the listener."""
        for socket in ("udp:127.0.0.1:5060", "udp:[::1]:5060", "udp:::1:5060"):
            self.assertEqual(witness(socket), HERE)
        for socket in ("udp:0.0.0.0:5060", "udp:10.1.2.3:5060", "tcp:127.0.0.1:5060", ""):
            self.assertEqual(witness(socket), "")

    def test_setting(self) -> None:
        """What can't be read stops the start."""
        for text in ("x", "10.1.2.3/8", "127.0.0.1:x", ""):
            self.assertRaises(ConfigError, policy, text)

    def test_bounded(self) -> None:
        """A flood of addresses doesn't make it remember all of them."""
        made = policy()
        for number in range(9000):
            made.refusal(f"198.18.{number >> 8}.{number & 255}", 5060, PEER)
        self.assertLessEqual(len(made._hosts), 8192)
