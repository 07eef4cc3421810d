"""Promises of ``sipnode.transport.flowtable``."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.base.flow import Listener
from sipnode.errors import NoRoute
from sipnode.interfaces import IFlowTable
from sipnode.records import Hop
from sipnode.transport.stream import SipStream
from sipnode.transport.udp import UdpEndpoint

from .kit import Bench, Wire, listener


class FlowTableTests(SynchronousTestCase):
    """The table."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.flows = self.bench.flows
        verifyObject(IFlowTable, self.flows)

    def open(self, transport: str = "TCP", peer: str = "127.0.0.9", port: int = 40000) -> tuple[Any, Wire]:
        wire = self.bench.connect(SipStream(self.bench.hub, transport, listener(transport), None), peer, port)
        return self.bench.sink.flows[-1], wire

    def endpoint(self, host: str, port: int = 5060) -> UdpEndpoint:
        endpoint = UdpEndpoint(Listener("UDP", host, port, host), self.bench.sink)
        self.flows.add_endpoint(endpoint)
        return endpoint

    def test_tokens(self) -> None:
        """Tokens are of the allowed letters and never the same, in this run or another."""
        tokens = [self.flows.new_token() for _ in range(2000)] + [Bench().flows.new_token() for _ in range(20)]
        self.assertEqual(len(set(tokens)), len(tokens))
        for token in tokens:
            self.assertRegex(token, "^[0-9A-Za-z_-]+$")

    def test_counts(self) -> None:
        """Live connections are counted by transport."""
        _, wire = self.open("TCP")
        self.open("TLS", port=2)
        self.open("TLS", port=3)
        self.assertEqual(self.flows.counts(), {"TCP": 1, "TLS": 2})
        wire.end()
        self.assertEqual(self.flows.counts(), {"TLS": 2})

    def test_same_address_again(self) -> None:
        """When a peer comes back from the same address, the end of its old connection doesn't hide the new one."""
        old, wire = self.open()
        new, _ = self.open()
        wire.end()
        self.assertIs(self.flows.by_address("TCP", "127.0.0.9", 40000), new)
        self.assertIsNone(self.flows.by_token(old.token))

    def test_udp(self) -> None:
        """UDP has a flow for every address of a family that we have a socket for, at once, and the same each time."""
        self.endpoint("127.0.0.1")
        hop = Hop("UDP", "127.0.0.5", 5060)
        self.assertIsNone(self.flows.by_address("UDP", "127.0.0.5", 5060))
        flow = self.flows.udp(hop)
        assert flow is not None
        self.assertEqual(flow.remote, ("127.0.0.5", 5060))
        self.assertIs(self.flows.udp(hop), flow)
        self.assertIs(self.successResultOf(self.flows.connect(hop)), flow)
        self.assertIs(self.flows.by_address("UDP", "127.0.0.5", 5060), flow)
        self.assertIsNone(self.flows.udp(Hop("UDP", "::1", 5060)))
        self.failureResultOf(self.flows.connect(Hop("UDP", "::1", 5060)), NoRoute)

    def test_udp_side(self) -> None:
        """Among several sockets the one on the side of the destination sends, unless another is asked for by name."""
        outside = self.endpoint("192.0.2.1")
        inside = self.endpoint("127.0.0.1")
        ipv6 = self.endpoint("::1")

        def sender(host: str, name: str = "") -> Any:
            flow = self.flows.udp(Hop("UDP", host, 5060), name)
            assert flow is not None
            return flow.listener

        self.assertIs(sender("127.0.0.1"), inside.listener)
        self.assertIs(sender("192.0.2.77"), outside.listener)
        self.assertIs(sender("::1"), ipv6.listener)
        self.assertIs(sender("127.0.0.1", "udp:192.0.2.1:5060"), outside.listener)
        self.assertIs(sender("127.0.0.2", "udp:192.0.2.9:5060"), inside.listener)

    def test_connect_reuses(self) -> None:
        """A live connection to the hop is taken; a closing one isn't."""
        attempts: list[Hop] = []

        def connector(hop: Hop, cause: str) -> Deferred[Any]:
            attempts.append(hop)
            return Deferred()

        self.flows.connector = connector
        flow, _ = self.open()
        hop = Hop("TCP", "127.0.0.9", 40000)
        self.assertIs(self.successResultOf(self.flows.connect(hop)), flow)
        flow.close("enough")
        self.assertNoResult(self.flows.connect(hop))
        self.assertEqual(attempts, [hop])

    def test_tls_for_another_name(self) -> None:
        """A TLS connection is not taken for a name that it wasn't checked for (RFC 5923)."""
        self.flows.connector = lambda hop, cause: Deferred()
        flow, _ = self.open("TLS")
        flow.server_name = "example.com"
        self.assertIs(self.successResultOf(self.flows.connect(Hop("TLS", "127.0.0.9", 40000, "example.com"))), flow)
        self.assertNoResult(self.flows.connect(Hop("TLS", "127.0.0.9", 40000, "example.org")))

    def test_alias(self) -> None:
        """Requests to the port of a peer's Via go by the connection that it opened, for the names that it proved and no others."""
        attempts: list[Hop] = []

        def connector(hop: Hop, cause: str) -> Deferred[Any]:
            attempts.append(hop)
            return Deferred()

        self.flows.connector = connector
        flow, wire = self.open("TLS")
        flow._peer = ("example.com",)
        hop = Hop("TLS", "127.0.0.9", 5061, "example.com")
        self.assertNoResult(self.flows.connect(hop))
        self.flows.alias(flow, 0)
        self.assertIs(self.successResultOf(self.flows.connect(hop)), flow)
        attempts.clear()
        for other in (
            Hop("TLS", "127.0.0.9", 5061, "example.org"),
            Hop("TLS", "127.0.0.9", 5062, "example.com"),
            Hop("TCP", "127.0.0.9", 5061),
            Hop("TLS", "127.0.0.9", 5061, "example.com", "trunk"),
        ):
            self.assertNoResult(self.flows.connect(other))
            self.assertEqual(attempts.pop(), other)
        self.flows.alias(flow, 5062)
        self.assertNoResult(self.flows.connect(hop))
        self.assertIs(self.successResultOf(self.flows.connect(Hop("TLS", "127.0.0.9", 5062, "example.com"))), flow)
        wire.end()
        self.assertEqual(self.flows._aliases, {})

    def test_alias_of_nobody(self) -> None:
        """A peer that has proved nothing names no connection, nor does one over TCP."""
        for transport, domains in (("TLS", ()), ("TCP", ("example.com",))):
            flow, _ = self.open(transport)
            flow._peer = domains
            self.flows.alias(flow, 5061)
            self.assertEqual(self.flows._aliases, {})

    def test_websockets_are_never_opened(self) -> None:
        """There is no way to open a WebSocket."""
        for transport in ("WS", "WSS"):
            failure = self.failureResultOf(self.flows.connect(Hop(transport, "127.0.0.9", 80)), NoRoute)
            self.assertEqual(failure.value.status, 480)

    def test_stop(self) -> None:
        """On stop every connection is closed, those that don't go are cut, and the wheel stands still."""
        _, polite = self.open(port=1)
        _, rude = self.open(port=2)
        done = self.flows.stopService()
        self.assertTrue(polite.disconnecting and rude.disconnecting)
        polite.end()
        self.assertNoResult(done)
        self.bench.pass_time(2)
        self.successResultOf(done)
        self.assertTrue(rude.ended)
        self.assertEqual(self.bench.sink.reasons, ["server stops", "server stops"])
        self.assertEqual(self.bench.clock.getDelayedCalls(), [])
