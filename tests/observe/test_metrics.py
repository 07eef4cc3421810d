"""The numbers against what has happened in a world, read with Prometheus' own parser."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.nodes import Ports
from sipnode.observe.metrics import ServerCollector
from sipnode.observe.traffic import by_code
from sipnode.testing import World
from sipnode.transport.tls.certificates import Dated

from ..presence.kit import MoodPackage
from .kit import Watched


class TrafficTests(SynchronousTestCase):
    """Messages by method and code."""

    def setUp(self) -> None:
        self.world = World()
        self.watched = Watched(self.world)

    def test_call(self) -> None:
        """A call's messages, in and out, and what is left of it at each step."""
        world = self.world
        alice, bob = world.phone("alice"), world.phone("bob", "WSS")
        bob.register()
        call = world.call(alice, bob)
        now = self.watched.read()
        self.assertEqual(now("sipnode_registrations"), 1)
        self.assertEqual(now("sipnode_connections", transport="WSS"), 1)
        self.assertEqual((now("sipnode_calls", state="up"), now("sipnode_calls", state="ringing")), (1, 0))
        for method in ("INVITE", "ACK"):
            self.assertEqual(now("sipnode_requests_total", direction="in", method=method), 1, method)
            self.assertEqual(now("sipnode_requests_total", direction="out", method=method), 1, method)
        self.assertEqual(now("sipnode_responses_total", direction="in", method="INVITE", code="200"), 1)
        self.assertEqual(now("sipnode_responses_total", direction="out", method="INVITE", code="100"), 1)
        self.assertEqual(now("sipnode_responses_total", direction="out", method="INVITE", code="200"), 1)
        self.assertEqual(now("sipnode_responses_total", direction="out", method="REGISTER", code="200"), 1)
        self.assertGreater(now("sipnode_transactions", side="server") or 0, 0)
        world.clock.advance(7)
        bye = call.from_caller("BYE")
        bob.reply(bob.got("BYE"), 200)
        alice.send_again(bye)
        world.advance(40)
        now = self.watched.read()
        self.assertEqual(now("sipnode_requests_total", direction="in", method="BYE"), 2)
        self.assertEqual(now("sipnode_requests_total", direction="out", method="BYE"), 1)
        self.assertEqual(now("sipnode_transactions_absorbed_total"), 1)
        self.assertEqual((now("sipnode_calls", state="up"), now("sipnode_call_outcomes_total", outcome="completed")), (0, 1))
        self.assertEqual(now("sipnode_call_talking_seconds_total"), 7)
        self.assertEqual(set(now.all("sipnode_transactions").values()), {0})

    def test_own_requests(self) -> None:
        """What nobody forwarded counts as sent too: CANCEL and ACK of our own, and BYE; what is sent again counts as that."""
        world = self.world
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        invite = alice.send("INVITE", bob.aor)
        bob.reply(bob.got("INVITE"), 180)
        alice.cancel(invite)
        bob.reply(bob.got("CANCEL"), 200)
        call = world.call(world.phone("carol"), bob)
        world.core.dialogs.end(call.invite.call_id)
        invite = alice.send("INVITE", bob.aor)
        bob.reply(bob.got("INVITE"), 486)
        world.advance(0.6)
        now = self.watched.read()
        sent = now.all("sipnode_requests_total", direction="out")
        self.assertEqual([sent[method,] for method in ("CANCEL", "BYE", "INVITE", "ACK")], [1, 2, 3, 2])
        self.assertGreaterEqual(now("sipnode_transactions_repeated_total") or 0, 1)

    def test_refused_before_it_was_read(self) -> None:
        """The answer to what can't be read is counted among the responses, and the request by its method."""
        world = self.world
        phone = world.phone("mallory")
        world.sink.received(b"OPTIONS sip:x SIP/3.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\r\n", phone.flow)
        now = self.watched.read()
        self.assertEqual(now("sipnode_responses_total", direction="out", method="OPTIONS", code="505"), 1)
        self.assertEqual(now("sipnode_events_total", event="broken_requests"), 1)

    def test_made_up(self) -> None:
        """Whoever makes up methods and statuses makes no more than one number for each class of them."""
        world = self.world
        mallory = world.phone("mallory")
        for number in range(300):
            mallory.send(f"M{number}", "sip:x@example.test")
        before = len(self.watched.read().all("sipnode_responses_total"))
        answer = (
            "SIP/2.0 {} x\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nCSeq: 1 {}\r\nCall-ID: x\r\n"
            "From: <sip:x@y>;tag=1\r\nTo: <sip:x@y>\r\n\r\n"
        )
        for status in range(100, 700):
            for method in ("INVITE", "FOO", f"BAR{status}"):
                world.sink.received(answer.format(status, method).encode(), mallory.flow)
        now = self.watched.read()
        self.assertEqual(now("sipnode_requests_total", direction="in", method="other"), 300)
        self.assertEqual(len(now.all("sipnode_requests_total")), 30)
        self.assertLess(len(now.all("sipnode_responses_total")) - before, 160)
        self.assertEqual(sum(now.all("sipnode_responses_total", direction="in").values()), 1800)
        counts = {("INVITE", 499): 2, ("INVITE", 498): 1, ("INVITE", 486): 4}
        self.assertEqual(by_code(counts), {("INVITE", "486"): 4, ("INVITE", "4xx"): 3})

    def test_connections_come_back_to_zero(self) -> None:
        """Thousands of connections opened and closed leave the gauges at 0."""
        world = self.world
        for number in range(3000):
            phone = world.phone(f"u{number % 50}", ("WS", "WSS", "TCP", "TLS")[number % 4])
            if number % 3 == 0 and phone.flow.transport != "TCP":
                # Those on TCP may be connected to, until their bindings expire.
                phone.register()
            world.close(phone)
        now = self.watched.read()
        self.assertEqual(set(now.all("sipnode_connections").values()), {0})
        self.assertEqual((now("sipnode_registrations"), now("sipnode_registered_addresses")), (0, 0))


class StateTests(SynchronousTestCase):
    """What is asked of other rooms."""

    def test_nothing_there(self) -> None:
        """A server without media, TLS, presence or defence has every family all the same, and its zeros."""
        now = Watched(World()).read()
        self.assertEqual((now("sipnode_presence_subscriptions"), now("sipnode_defence_banned")), (0, 0))
        self.assertEqual(now.all("sipnode_tls_expiry_timestamp_seconds"), {})
        self.assertIn("sipnode_media_node_up", now.families)

    def test_everything_there(self) -> None:
        """Media nodes, certificates, sister nodes and queues by their names."""
        world = World()
        ports = (Ports("default", "192.0.2.50", 30000, 30099, 40, 100), Ports("external", "198.51.100.4", 30000, 30099, 90, 100))
        node: Any = SimpleNamespace(host="192.0.2.50", port=2223, ports=ports)
        media = SimpleNamespace(nodes=SimpleNamespace(nodes=[node], is_up=lambda one: False))
        tls = SimpleNamespace(files=lambda: [Dated("server:default", "certificate", "/x.pem", "CN=a", 1_800_000_000.0)])
        sister = SimpleNamespace(address=SimpleNamespace(hostport="192.0.2.60:5060"), down=False)
        watched = Watched(world, media=media, tls=tls, sisters=lambda: [sister], queues={"database": lambda: 7})
        now = watched.read()
        self.assertEqual(now("sipnode_media_node_up", node="192.0.2.50:2223"), 0)
        free, total = (now(name, node="192.0.2.50:2223") for name in ("sipnode_media_node_ports_free", "sipnode_media_node_ports"))
        self.assertEqual((free, total), (130, 200))
        labels = {"section": "server:default", "key": "certificate", "path": "/x.pem", "subject": "CN=a"}
        self.assertEqual(now("sipnode_tls_expiry_timestamp_seconds", **labels), 1_800_000_000)
        self.assertEqual((now("sipnode_sister_node_up", node="192.0.2.60:5060"), now("sipnode_queue_length", queue="database")), (1, 7))

    def test_ready(self) -> None:
        """The gauge is what /readyz says, and the reasons stand beside it."""
        world = World()
        watched = Watched(world)
        self.assertEqual(watched.read()("sipnode_ready"), 1)
        world.core.busy["drain"] = lambda: 1
        now = watched.read()
        self.assertEqual((now("sipnode_ready"), now("sipnode_busy", reason="drain"), now("sipnode_busy", reason="overload")), (0, 1, 0))

    def test_presence(self) -> None:
        """Subscriptions and publications are counted where presence is served."""
        world = World(presence=[MoodPackage()])
        self.addCleanup(world.core.presence.stopService)
        watched = Watched(world)
        headers = (("event", "mood"), ("expires", "60"))
        world.phone("alice").send("PUBLISH", "sip:alice@example.test", headers, b"x", content_type="text/plain")
        now = watched.read()
        self.assertEqual((now("sipnode_presence_publications"), now("sipnode_presence_subscriptions")), (1, 0))
        for _ in range(2):
            world.phone("bob", host="192.0.2.99").send("SUBSCRIBE", "sip:alice@example.test", headers)
        now = watched.read()
        self.assertEqual((now("sipnode_presence_unanswered"), now("sipnode_presence_notify_limited_total", how="held")), (2, 1))
        self.assertEqual(now("sipnode_presence_refused_total", limit="not_watcher"), 0)

    def test_pulse(self) -> None:
        """Lag and pauses are histograms, cumulated, with their sums."""
        watched = Watched(World())
        pulse = watched.sources.pulse
        pulse.lag.add(0.004)
        pulse.lag.add(0.3)
        pulse.pauses[2].add(7.0)
        now = watched.read()
        self.assertEqual(now("sipnode_reactor_lag_seconds_bucket", le="0.005"), 1)
        self.assertEqual(now("sipnode_reactor_lag_seconds_bucket", le="+Inf"), 2)
        self.assertAlmostEqual(now("sipnode_reactor_lag_seconds_sum") or 0, 0.304)
        self.assertEqual(now("sipnode_gc_pause_seconds_bucket", generation="2", le="5.0"), 0)
        self.assertEqual(now("sipnode_gc_pause_seconds_count", generation="2"), 1)


class NameTests(SynchronousTestCase):
    """What Prometheus' own rules say about names."""

    def test_names(self) -> None:
        """Every family begins with sipnode_, has a text that ends, and a unit in its name where it has one."""
        for family in ServerCollector(Watched(World()).sources).collect():
            self.assertTrue(re.fullmatch(r"sipnode_[a-z_]+", family.name), family.name)
            self.assertTrue(family.documentation.endswith("."), family.name)
            if "seconds" in family.documentation.lower():
                self.assertIn("_seconds", family.name)
