"""The way to a sister node: where a question to it leaves, and the end of what waits at one that has fallen silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from sipnode.base.outbox import NODE
from sipnode.base.via import new_via
from sipnode.transaction.states import PROCEEDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.base.flows import FlowTable, Resolver
    from sipnode.nodes.address import NodeAddress
    from sipnode.records import Hop
    from sipnode.sip.message import SipRequest
    from sipnode.transaction.layer import TransactionLayer


class SisterWay:
    """The ways to all sister nodes.

    Args:
        transactions: Hold the requests that wait for an answer; their outbox is the way out.
        flows: Live flows. resolver: Names to addresses.
        clock: Epoch seconds.
    """

    def __init__(self, transactions: TransactionLayer, flows: FlowTable, resolver: Resolver, clock: Callable[[], float]) -> None:
        self._transactions = transactions
        self._flows = flows
        self._resolver = resolver
        self._clock = clock

    def ask(self, address: NodeAddress, request: SipRequest) -> Deferred[Flow]:
        """Send a node a question, without a transaction; fires with the flow that it left by, fails with NoRoute."""
        hops = self._resolver.numeric(address.host, address.port, address.transport, False)
        finding: Deferred[list[Hop]] = (
            succeed(hops) if hops is not None else self._resolver.resolve(address.host, address.port, address.transport, False)
        )
        return finding.addCallback(lambda found: self._flows.connect(found[0])).addCallback(self._send, request)

    def _send(self, flow: Flow, request: SipRequest) -> Flow:
        _, via = new_via(flow, ";rport")
        request.prepend("via", via)
        # One that can't be sent is a lost question, as any other.
        self._transactions.outbox.send(self._clock(), request.to_bytes(), flow, NODE, request.method)
        return flow

    def give_up(self, address: NodeAddress) -> None:
        """Have what waits for an answer of a node wait no more: its branches fail now."""
        layer, remote = self._transactions, (address.host.strip("[]"), address.port)
        for transaction in list(layer.clients.values()):
            user = transaction.user
            if user is not None and transaction.flow.remote == remote and transaction.state <= PROCEEDING:
                layer.end(transaction)
                user.send_failed()
