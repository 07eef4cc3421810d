"""Promises of ``sipnode.transport.connect``."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import NoRoute
from sipnode.records import Hop
from sipnode.transport.connect import Connector

from .kit import Bench, Wire, listener

HOP = Hop("TCP", "192.0.2.9", 5060)


class ConnectorTests(SynchronousTestCase):
    """Outgoing TCP in memory."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.reactor = MemoryReactorClock()
        self.asked: list[Any] = []
        self.connector = Connector(self.bench.hub, self.reactor, self.listener_for, self.creator_for)

    def listener_for(self, transport: str, host: str) -> Any:
        self.asked.append((transport, host))
        return listener(transport)

    def creator_for(self, hop: Hop) -> Any:
        raise NoRoute("no TLS here")

    def answer(self, index: int = 0) -> Wire:
        """The connection comes about."""
        host, port, factory = self.reactor.tcpClients[index][:3]
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        return self.bench.connect(protocol, host, port)

    def test_one_attempt(self) -> None:
        """All who ask for one hop share one attempt and one flow."""
        waiting = [self.connector.connect(HOP) for _ in range(3)]
        other = self.connector.connect(Hop("TCP", "192.0.2.8", 5060))
        self.assertEqual([each[:2] for each in self.reactor.tcpClients], [("192.0.2.9", 5060), ("192.0.2.8", 5060)])
        self.answer()
        flows = {self.successResultOf(each) for each in waiting}
        self.assertEqual(len(flows), 1)
        flow = flows.pop()
        self.assertEqual((flow.transport, flow.remote), ("TCP", ("192.0.2.9", 5060)))
        self.assertIs(self.bench.flows.by_address("TCP", "192.0.2.9", 5060), flow)
        self.assertNoResult(other)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)

    def test_again_after_success(self) -> None:
        """An attempt that ended is not shared any more."""
        self.connector.connect(HOP)
        self.answer()
        self.connector.connect(HOP)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_refused(self) -> None:
        """A refusal fails everybody with the reason, and the next one tries anew."""
        waiting = [self.connector.connect(HOP) for _ in range(2)]
        self.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        for each in waiting:
            error = self.failureResultOf(each, NoRoute).value
            self.assertIn("192.0.2.9:5060", str(error))
            self.assertEqual(error.status, 503)
        self.connector.connect(HOP)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_no_answer(self) -> None:
        """After connect_seconds everybody is told, and the attempt is given up."""
        waiting = self.connector.connect(HOP)
        self.reactor.advance(4.9)
        self.assertNoResult(waiting)
        self.reactor.advance(0.2)
        self.assertEqual(self.failureResultOf(waiting, NoRoute).value.status, 408)
        self.assertEqual(self.reactor.connectors[0]._disconnected, True)

    def test_cancel(self) -> None:
        """Who loses patience leaves the others waiting."""
        patient, hasty = self.connector.connect(HOP), self.connector.connect(HOP)
        hasty.addErrback(lambda _: None)
        hasty.cancel()
        self.answer()
        self.successResultOf(patient)

    def test_tls_without_a_way(self) -> None:
        """Where TLS cannot be had the answer is NoRoute, and nothing is connected."""
        self.failureResultOf(self.connector.connect(Hop("TLS", "192.0.2.9", 5061)), NoRoute)
        self.assertEqual(self.reactor.tcpClients, [])
