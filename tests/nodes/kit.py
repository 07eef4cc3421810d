"""Two servers in memory that share a location table and a network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock

from sipnode.errors import FlowClosed
from sipnode.fakes import FakeFlow, FakeFlows, FakeListener, RecordingMediaRelay
from sipnode.nodes.way import SisterWay
from sipnode.records import Binding, Hop
from sipnode.routing.parts import Parts
from sipnode.settings import NodeSettings, Settings
from sipnode.testing import World
from sipnode.transaction.layer import TransactionLayer
from sipnode.wiring.nodes import build_nodes, shared_secret

SECRET = "only for tests: this is no secret at all"


class Link(FakeFlow):
    """A UDP flow to another node: what is sent arrives there a moment later, unless it is dead."""

    def __init__(self, remote: tuple[str, int], listener: FakeListener, net: Net, sender: Node) -> None:
        super().__init__("UDP", remote, listener=listener)
        self.net = net
        self.sender = sender

    def send(self, data: bytes) -> None:
        """Carry it over."""
        if self.closed:
            raise FlowClosed("closed")
        self.sent.append(data)
        self.net.carry(data, self.sender, self.remote)


class NodeFlows(FakeFlows):
    """Flows of a node: to addresses of other nodes they are links."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def udp(self, hop: Hop, listener_name: str = "") -> FakeFlow:
        """A link where a node has that address."""
        found = self.by_address("UDP", hop.host, hop.port)
        if found is None:
            listener = self.node.listener
            if hop.host in self.node.net.nodes:
                found = Link(remote=(hop.host, hop.port), listener=listener, net=self.node.net, sender=self.node)
            else:
                found = FakeFlow(remote=(hop.host, hop.port), listener=listener)
            self.flows.append(found)
        return found


class Net:
    """The network, and the table that is shared.

    Attributes:
        nodes: By address.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.nodes: dict[str, Node] = {}
        self.dead: set[str] = set()

    def carry(self, data: bytes, sender: Node, to: tuple[str, int]) -> None:
        """A datagram on its way."""
        if to[0] in self.dead or sender.host in self.dead:
            return
        receiver = self.nodes[to[0]]
        flow = receiver.flows.udp(Hop("UDP", sender.host, 5060))
        self.clock.callLater(0, receiver.sink.received, data, flow)

    def changed(self, writer: Node, kind: str, binding: Binding) -> None:
        """A row that one node has written, as the others read it."""
        if binding.server_id != writer.number:
            return
        for node in self.nodes.values():
            if node is writer:
                continue
            row = replace(binding, connection_id="")
            if kind in ("registered", "refreshed"):
                node.core.registrar.table.save(row.aor, row)
            else:
                node.core.registrar.table.remove(row.aor, row.ruid)
            node.core.registrar._watchers.tell(kind, row)

    def run(self, seconds: float = 0.0) -> None:
        """Let what is under way arrive, and time pass."""
        for _ in range(12):
            self.clock.advance(0)
        steps = round(seconds / 0.05)
        self.clock.pump([0.05] * steps)


class Node(World):
    """One server of the net, at 198.51.100.NUMBER."""

    def __init__(self, net: Net, number: int, settings: Settings | None = None, secret: str = SECRET) -> None:
        self.net = net
        self.number = number
        self.host = f"198.51.100.{number}"
        self.listener = FakeListener("UDP", self.host, via_host=self.host)
        self.websocket = FakeListener("WS", self.host, 8080, self.host, 8080, True)
        node = NodeSettings(id=number, address=f"{self.host}:5060", secret=secret)
        self.media = RecordingMediaRelay()
        super().__init__(replace(settings or Settings(), node=node), self.media, clock=net.clock)
        assert self.watch is not None
        self.watch.startService()
        self.core.registrar.on_change(lambda kind, binding: net.changed(self, kind, binding))
        net.nodes[self.host] = self

    def _new_flows(self) -> FakeFlows:
        return NodeFlows(self)

    def _secret(self) -> bytes:
        return shared_secret(self.settings.node, b"x" * 32)

    def _own_host(self, host: str) -> bool:
        return host == self.host

    def _is_own(self, host: str, port: int) -> bool:
        return host == self.host and port in (0, 5060, 8080)

    def _parts(self, layer: TransactionLayer, *others: Any) -> Parts:
        parts = super()._parts(layer, *others)
        way = SisterWay(layer, self.flows, self.resolver, self.clock.seconds)
        listeners = [self.listener, self.websocket]
        parts.nodes, self.watch = build_nodes(self.settings, self.clock, way, listeners, self._is_own, self._secret())
        assert self.watch is not None
        parts.ping_answered = self.watch.answered
        parts.registrar.node = parts.nodes
        parts.registrar.on_change(parts.nodes.changed)
        return parts

    def _flow(self, transport: str, host: str, port: int) -> FakeFlow:
        flow = super()._flow(transport, host, port)
        flow.listener = self.websocket if flow.websocket else self.listener
        return flow
