"""Promises of ``sipnode.transport.listeners``, ``sipnode.transport.portowner`` and ``sipnode.transport.flow``."""

from __future__ import annotations

import errno
import os
import socket

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.base.flow import Listener
from sipnode.transport.listen import parse_listen
from sipnode.transport.listeners import OwnAddresses, StreamService, choose_listener
from sipnode.transport.portowner import local_addresses, port_taken, who_has_port

from .kit import listener


class ListenerTests(SynchronousTestCase):
    """The names of a socket."""

    def test_bound(self) -> None:
        """The kernel's port is taken over, and advertised unless another is."""
        own = parse_listen("udp:127.0.0.1:0").listener()
        own.bound(5099)
        self.assertEqual((own.port, own.via_host, own.via_port, own.name), (5099, "127.0.0.1", 5099, "udp:127.0.0.1:5099"))
        other = parse_listen("wss:[::1]:0 advertise example.com:443").listener(websocket_port=True)
        other.bound(5099)
        self.assertEqual((other.port, other.via_host, other.via_port, other.name), (5099, "example.com", 443, "wss:[::1]:5099"))
        self.assertTrue(other.websocket_port and other.secure)


class OwnAddressesTests(SynchronousTestCase):
    """Which address is ours."""

    def test_bound_and_advertised(self) -> None:
        """Bound and advertised addresses are ours, at their ports and where the port is the default one without any."""
        own = OwnAddresses()
        own.add(Listener("UDP", "192.0.2.1", 5060, "sip.example.com", 5062))
        own.add(Listener("TLS", "2001:db8::1", 5061, "[2001:db8::1]"))
        for host, port, ours in (
            ("192.0.2.1", 5060, True),
            ("192.0.2.1", 0, True),
            ("192.0.2.1", 5062, False),
            ("sip.example.com", 5062, True),
            ("SIP.example.com", 5062, True),
            ("sip.example.com", 0, False),
            ("[2001:db8::1]", 5061, True),
            ("2001:db8::1", 0, True),
            ("192.0.2.2", 5060, False),
        ):
            self.assertEqual(own.has(host, port), ours, (host, port))
        self.assertTrue(own.has_host("sip.example.com") and own.has_host("2001:db8::1"))
        self.assertFalse(own.has_host("example.com"))

    def test_all_addresses(self) -> None:
        """A socket on 0.0.0.0 makes every IPv4 address of the machine ours, and what is advertised, but not 0.0.0.0."""
        own = OwnAddresses()
        own.add(Listener("UDP", "0.0.0.0", 5060, "203.0.113.5"))
        self.assertTrue(own.has("203.0.113.5", 5060) and own.has("127.0.0.1", 5060))
        self.assertFalse(own.has("0.0.0.0", 5060) or own.has("::1", 5060))


class ChooseListener(SynchronousTestCase):
    """Which address is advertised on a connection that we open."""

    def test_best(self) -> None:
        """The same transport and family come first, then the side."""
        outside, inside = Listener("TCP", "192.0.2.1", 5060, "a"), Listener("TCP", "127.0.0.1", 5060, "b")
        ipv6, tls = Listener("TCP", "2001:db8::1", 5060, "c"), Listener("TLS", "192.0.2.1", 5061, "d")
        every = [tls, outside, inside, ipv6]
        for transport, host, wanted in (
            ("TCP", "192.0.2.9", outside),
            ("TCP", "127.0.0.9", inside),
            ("TCP", "2001:db8::9", ipv6),
            ("TCP", "::1", ipv6),
            ("TLS", "127.0.0.1", tls),
            ("TLS", "::1", tls),
            ("UDP", "127.0.0.1", None),
        ):
            self.assertIs(choose_listener(every, transport, host), wanted, (transport, host))


class StreamServiceTests(SynchronousTestCase):
    """A listening stream port as a service."""

    def test_life(self) -> None:
        """The port is bound once, by whichever start comes first, and given back on stop."""
        reactor = MemoryReactorClock()
        bound: list[str] = []
        service = StreamService([listener("TCP", 5070)], object(), reactor, lambda each: bound.append(each.name))
        service.privilegedStartService()
        service.startService()
        self.assertEqual(len(reactor.tcpServers), 1)
        self.assertEqual((reactor.tcpServers[0][0], reactor.tcpServers[0][3]), (5070, "127.0.0.1"))
        self.assertEqual(len(bound), 1)
        service.stopService()
        self.assertFalse(service.running)


class PortTaken(SynchronousTestCase):
    """The words of an address in use."""

    def test_owner(self) -> None:
        """A port is traced to the process that has it, for TCP and UDP."""
        for kind, udp in ((socket.SOCK_STREAM, False), (socket.SOCK_DGRAM, True)):
            with socket.socket(socket.AF_INET, kind) as sock:
                sock.bind(("127.0.0.1", 0))
                if not udp:
                    sock.listen()
                port = sock.getsockname()[1]
                self.assertIn(f"(pid {os.getpid()})", who_has_port(port, udp))
                error = port_taken(listener("UDP" if udp else "TCP", port), OSError(errno.EADDRINUSE, "in use"))
                self.assertIn(f"127.0.0.1:{port} is taken by", str(error))
            self.assertEqual(who_has_port(port, udp), "")

    def test_other_causes(self) -> None:
        """An address that isn't ours and a port that needs a right are named as such."""
        for number, words in (
            (errno.EADDRNOTAVAIL, "not an address of this machine"),
            (errno.EACCES, "needs the right"),
            (errno.EIO, "cannot be bound"),
        ):
            self.assertIn(words, str(port_taken(listener("UDP"), OSError(number, "x"))))

    def test_local_addresses(self) -> None:
        """Loopback is among the addresses of the machine."""
        self.assertIn("127.0.0.1", local_addresses())
