"""Tests of `sipnode.media.service`."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError, MediaError
from sipnode.media import ng
from sipnode.media.bridge import NoRelay
from sipnode.media.service import MediaService
from sipnode.settings import MediaSettings
from tests.media.support import DatagramTransport


class Port:
    """A UDP port that only knows whether it was closed."""

    def __init__(self) -> None:
        self.open = True

    def stopListening(self) -> Any:
        self.open = False
        return succeed(None)


class Reactor(Clock):
    """Time, UDP and names in memory: ``names`` says what resolves."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str]] = {}
        self.listening: list[tuple[Any, str, Port]] = []
        self.refused = False
        self.nameResolver = self

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Port:
        if self.refused:
            raise CannotListenError(interface, port, OSError(97, "Address family not supported"))
        protocol.transport = DatagramTransport()
        self.listening.append((protocol, interface, Port()))
        return self.listening[-1][2]

    def resolveHostName(self, receiver: Any, host: str, port: int = 0) -> None:
        receiver.resolutionBegan(None)
        for literal in self.names.get(host, ()):
            kind = IPv6Address if ":" in literal else IPv4Address
            receiver.addressResolved(kind("UDP", literal, port))
        receiver.resolutionComplete()

    @property
    def interfaces(self) -> list[str]:
        return [interface for _, interface, _ in self.listening]


class ServiceTests(SynchronousTestCase):
    """Start, stop, names and sockets."""

    def setUp(self) -> None:
        self.reactor = Reactor()

    def service(self, *nodes: str, **settings: Any) -> MediaService:
        return MediaService(MediaSettings(nodes=nodes, **settings), self.reactor)

    def sent(self) -> list[tuple[str, int]]:
        """Where datagrams went."""
        return [address for protocol, _, _ in self.reactor.listening if protocol.transport for _, address in protocol.transport.written]

    def test_no_node(self) -> None:
        """Without nodes there is no relay, no socket and no timer."""
        service = self.service()
        self.assertIsInstance(service.relay, NoRelay)
        service.startService()
        self.assertEqual((self.reactor.listening, self.reactor.getDelayedCalls()), ([], []))
        self.successResultOf(service.stopService())

    def test_settings_that_cannot_be(self) -> None:
        """Nonsense stops the start, with the name of the setting."""
        for key, settings in (
            ("media.nodes", {"nodes": ("nonsense",)}), ("media.timeouts", {"timeouts": ()}), ("media.timeouts", {"timeouts": (0.3, 0.0)}),
        ):  # fmt: skip
            with self.assertRaises(ConfigError) as caught:
                MediaService(MediaSettings(**settings), self.reactor)
            self.assertEqual(caught.exception.key, key)

    def test_one_socket_on_loopback(self) -> None:
        """Nodes on this machine share one socket that nobody else can reach, and are pinged at the start."""
        service = self.service("127.0.0.1:2223", "127.0.0.2:2224")
        service.startService()
        self.assertEqual(self.reactor.interfaces, ["127.0.0.1"])
        self.assertEqual(self.sent(), [("127.0.0.1", 2223), ("127.0.0.2", 2224)])
        self.successResultOf(service.stopService())

    def test_sockets_by_family_and_reach(self) -> None:
        """IPv6 and remote nodes get sockets that can reach them."""
        service = self.service("127.0.0.1:1", "192.0.2.1:1", "[::1]:1", "[2001:db8::1]:1", "192.0.2.2:1")
        service.startService()
        self.assertEqual(self.reactor.interfaces, ["127.0.0.1", "", "::1", "::"])
        self.successResultOf(service.stopService())

    def test_stop(self) -> None:
        """Stopping ends what is under way, closes the sockets, leaves no timer, and what comes later fails."""
        service = self.service("127.0.0.1:2223")
        service.startService()
        node = service.nodes.nodes[0]
        waiting = service.nodes.command(node, ng.query("c"))
        self.successResultOf(service.stopService())
        self.failureResultOf(waiting, MediaError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(self.reactor.listening[0][2].open)
        self.failureResultOf(service.nodes.command(node, ng.query("c")), MediaError)

    def test_starts_again(self) -> None:
        """A service that was stopped starts with new sockets."""
        service = self.service("127.0.0.1:2223")
        for count in (1, 2):
            service.startService()
            self.assertEqual(len(self.reactor.listening), count)
            self.assertEqual(len(self.reactor.listening[-1][0].transport.written), 1)
            self.successResultOf(service.stopService())

    def test_name(self) -> None:
        """A host name is resolved once, IPv4 first, and then the node is asked."""
        self.reactor.names["rtp.a.test"] = ["2001:db8::7", "192.0.2.7"]
        service = self.service("rtp.a.test:2223")
        self.assertEqual(service.relay.choose("c"), "")
        service.startService()
        self.assertEqual((service.relay.choose("c"), self.sent()), (service.nodes.nodes[0].name, [("192.0.2.7", 2223)]))
        self.successResultOf(service.stopService())

    def test_name_that_does_not_resolve(self) -> None:
        """A name that can't be resolved is a node that is down, asked for again at each interval; the others work."""
        service = self.service("rtp.a.test:2223", "127.0.0.1:2223")
        service.startService()
        self.assertEqual(service.relay.choose("c"), service.nodes.nodes[1].name)
        self.failureResultOf(service.nodes.command(service.nodes.nodes[0], ng.query("c")), MediaError)
        self.reactor.advance(5)
        self.reactor.names["rtp.a.test"] = ["127.0.0.7"]
        self.reactor.pump([5, 5])
        self.assertIn(("127.0.0.7", 2223), self.sent())
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_while_a_name_is_unknown(self) -> None:
        """Stopping ends the search for a name."""
        service = self.service("rtp.a.test:2223")
        service.startService()
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_socket(self) -> None:
        """A machine without IPv6 starts all the same; commands to such a node fail with 503."""
        self.reactor.refused = True
        service = self.service("[::1]:2223")
        service.startService()
        failure = self.failureResultOf(service.nodes.command(service.nodes.nodes[0], ng.ping()), MediaError)
        self.assertEqual(failure.value.status, 503)
        self.successResultOf(service.stopService())
