"""A connection that has ended is freed at once: nothing of it points in a circle that only the garbage collector would find."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.handshake import HandshakeRules
from sipnode.transport.http import WebPort, XHTTPRoot
from sipnode.transport.sniff import StreamPort
from sipnode.transport.tls.config import load_tls_config
from sipnode.transport.tls.contexts import TLSContexts
from sipnode.transport.tls.wire import TLSWireFactory
from sipnode.transport.websocket import websocket_factory

from .certificates import make
from .kit import OK, OPTIONS, Bench, Wire, listener
from .test_http import UPGRADE, request
from .test_websocket import TEXT, masked


class FreedTests(SynchronousTestCase):
    """Connections over TLS to a port that takes SIP and WebSocket."""

    def setUp(self) -> None:
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        make("one").save(folder, "one")
        path = os.path.join(folder, "tls.cfg")
        with open(path, "w") as file:
            file.write("[server:default]\ncertificate=one-cert.pem\nprivate_key=one-key.pem\n")
        self.bench = Bench()
        self.bench.sink.on_received = lambda data, flow: flow.send(OK)
        websockets = websocket_factory(self.bench.hub, listener("WSS", 5061, True), self.bench.clock)
        root = XHTTPRoot(HandshakeRules(lambda host: True, ("*",), False), websockets, None, None, "")
        port = StreamPort(self.bench.hub, listener("TLS", 5061, True), WebPort(self.bench.hub, root, self.bench.clock).channel)
        creator = TLSContexts(load_tls_config(path)).for_server("127.0.0.1", 5061)
        self.factory = TLSWireFactory(creator, False, port, Clock())
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def life(self, *messages: bytes) -> list[Any]:
        """Connect, say these, and end; weak references to what the connection was made of."""
        wire = Wire()
        wire.setTcpNoDelay = lambda enabled: None  # type: ignore[attr-defined]
        wire.protocol = self.factory.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        client.set_connect_state()
        for octets in (b"", b"", b"", *messages):
            try:
                client.send(octets) if octets else client.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                wire.protocol.dataReceived(client.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
            if answer := wire.take():
                client.bio_write(answer)
        parts = [wire.protocol, wire.protocol.getHandle(), wire.protocol.wrappedProtocol, *self.bench.sink.flows]
        found = [weakref.ref(part) for part in parts if type(part).__weakrefoffset__]
        self.assertGreaterEqual(len(found), 3)
        parts.clear()
        wire.end()
        # As Twisted's own transports do.
        wire.protocol = wire.producer = None
        self.bench.sink.flows.clear()
        self.bench.sink.messages.clear()
        return found

    def test_all(self) -> None:
        """After a SIP connection, a WebSocket and one that never said anything."""
        upgrade = request(UPGRADE | {"Host": "127.0.0.1:5061"})
        for messages in ((OPTIONS,), (upgrade, masked(TEXT, OPTIONS)), ()):
            self.assertEqual([type(part()).__name__ for part in self.life(*messages) if part() is not None], [], messages)
        self.assertEqual(self.bench.sink.log.count("closed WSS"), 1)
