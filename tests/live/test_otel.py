"""A collector of OpenTelemetry beside a server: it decodes what it gets by OpenTelemetry's own definitions."""

from __future__ import annotations

import json
import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site as WebSite

from sipnode.base.trace import parsed
from sipnode.settings import AccSettings, OtelSettings, RecorderSettings
from tests.insight.otlp import attributes, decoded, spans_of

from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until

reactor: Any = _reactor


class Taker(Resource):
    """Takes bodies.

    Attributes:
        requests: Headers and body of each.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[dict[str, str], bytes]] = []

    def render_POST(self, request: Any) -> bytes:
        """One."""
        headers = {name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()}
        self.requests.append((headers, request.content.read()))
        request.setHeader(b"content-type", b"application/json")
        return b"{}"


class CollectorTests(TestCase):
    """One call."""

    timeout = 60
    skip = missing("rtpengine")

    def listen(self, port: int) -> Taker:
        """A service on a port."""
        taker = Taker()
        web = reactor.listenTCP(port, WebSite(taker), interface=HOST)
        self.addCleanup(web.stopListening)
        return taker

    async def test_a_call(self) -> None:
        """It is one trace, with the relay and both ends in it, and the webhook of its record is told to which it belongs; a collector that
        comes late gets it, too.
        """
        port, hook_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        hook = self.listen(hook_port)
        otel = OtelSettings(endpoint=f"http://{HOST}:{port}/v1/traces", header="Authorization: Bearer token-of-the-test", service="edge")
        acc = AccSettings(webhook=f"http://{HOST}:{hook_port}/")
        site = await Site(self, recorder=RecorderSettings(enabled=True), otel=otel, acc=acc).start()
        alice, bob = await site.registered("alice"), await site.registered("bob")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hang_up()
        await bob.calls[0].ended("BYE")
        await until(lambda: hook.requests, "the webhook has the record")
        collector = self.listen(port)
        await until(lambda: collector.requests, "the collector has the trace")
        headers, body = collector.requests[0]
        self.assertEqual((headers["authorization"], headers["content-type"]), ("Bearer token-of-the-test", "application/json"))
        self.assertEqual(attributes(decoded(body).resource_spans[0].resource)["service.name"], "edge")
        spans = spans_of(body)
        names = [(span.name, span.kind) for span in spans]
        for wanted in (("call", 2), ("INVITE", 2), ("INVITE", 3), ("BYE", 2), ("BYE", 3), ("relay offer", 3), ("relay answer", 3)):
            self.assertIn(wanted, names)
        root = next(span for span in spans if span.name == "call")
        told, record = hook.requests[0]
        self.assertEqual(parsed(told["traceparent"]), (root.trace_id.hex(), root.span_id.hex()))
        self.assertEqual(attributes(root)["sip.call_id"], json.loads(record)["call_id"])
        self.assertEqual(attributes(root)["sip.outcome"], "completed")

    async def test_dead_collector(self) -> None:
        """A port that takes connections and says nothing holds up no call."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as dead:
            dead.bind((HOST, 0))
            dead.listen(1)
            otel = OtelSettings(endpoint=f"http://{HOST}:{dead.getsockname()[1]}/v1/traces")
            site = await Site(self, recorder=RecorderSettings(enabled=True), otel=otel).start()
            alice, bob = await site.registered("alice"), await site.registered("bob")
            for number in range(3):
                call = alice.dial(f"sip:bob@{DOMAIN}")
                self.assertEqual((await call.outcome).status, 200)
                await call.hang_up()
                await bob.calls[number].ended("BYE")
