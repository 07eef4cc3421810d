"""sipnode.* and corex.debug"""

from __future__ import annotations

from types import SimpleNamespace

from sipnode.log import LogControl
from sipnode.nodes.address import NodeAddress
from sipnode.observe.wiretrace import WireTrace
from sipnode.testing import World
from tests.rpc.support import RpcCase


class StatusTests(RpcCase):
    """The server in one look."""

    def test_status(self) -> None:
        """Counts of what is there, and why it is busy."""
        alice, bob = self.world.phone("alice", "WS"), self.world.phone("bob")
        alice.register()
        bob.register()
        self.world.call(alice, bob)
        status = self.call("sipnode.status")
        self.assertEqual((status["registrations"], status["calls"], status["connections"]), (2, 1, {"WS": 1}))
        self.assertEqual((status["ready"], status["busy"]), (True, []))
        self.core.busy["drain"] = lambda: 5
        self.assertEqual(self.call("sipnode.status")["busy"], ["drain"])

    def test_memory(self) -> None:
        """What the process takes."""
        memory = self.call("sipnode.memory")
        self.assertTrue(1_000_000 < memory["resident_bytes"] <= memory["highest_bytes"] * 2)

    def test_conf(self) -> None:
        """Settings in force by section; no secret is shown."""
        self.assertEqual(self.call("sipnode.conf")["core"]["domains"], ["example.test"])
        self.assertEqual(self.call("sipnode.conf", "rpc")["token"], "(set)")
        self.assertEqual(self.call("sipnode.conf", "storage"), {"url": "(set)"} | self.call("sipnode.conf", "storage"))
        self.assertEqual(self.refused("sipnode.conf", "nosuch")[0], 404)

    def test_nodes(self) -> None:
        """Sister nodes, and whether they answer."""
        self.assertEqual(self.call("sipnode.nodes"), [])
        self.parts.sisters = lambda: [SimpleNamespace(address=NodeAddress("192.0.2.2", 5060, "UDP"), down=True, unanswered=3, until=9.5)]
        row = {"address": "udp:192.0.2.2:5060", "down": True, "unanswered": 3, "bindings_until": 9}
        self.assertEqual(self.call("sipnode.nodes"), [row])


class LogTests(RpcCase):
    """Level and trace while it runs."""

    def setUp(self) -> None:
        world = World()
        self.logs = LogControl(world.settings.log, world.core.tap)
        self.prepare(world, logs=self.logs)

    def test_level(self) -> None:
        """Another level by its name, or by Kamailio's number."""
        self.assertEqual(self.call("sipnode.log_level"), "info")
        self.assertEqual(self.call("sipnode.set_log_level", "debug"), "debug")
        self.assertEqual(self.refused("sipnode.set_log_level", "loud")[0], 400)
        self.assertEqual(self.call("corex.debug"), {"debug": 3})
        self.assertEqual(self.call("corex.debug", 0), {"old": 3, "new": 0})
        self.assertEqual(self.call("sipnode.log_level"), "warn")

    def test_trace(self) -> None:
        """Messages are written while it is on, those that fit its conditions."""
        self.assertEqual(self.call("sipnode.trace"), {"on": False, "conditions": {}})
        shown = self.call("sipnode.trace_on", "alice", "", "", "register")
        self.assertEqual((shown["on"], shown["conditions"]["user"], shown["conditions"]["method"]), (True, "alice", "REGISTER"))
        self.assertIn(self.logs.trace, self.core.tap.watchers)
        self.assertFalse(self.call("sipnode.trace_off")["on"])
        self.assertFalse(any(isinstance(watcher, WireTrace) for watcher in self.core.tap.watchers))
        self.assertEqual(self.refused("sipnode.trace_on", "a\nb")[0], 400)

    def test_reload(self) -> None:
        """What a reload did, took and refused."""
        self.assertEqual(self.refused("sipnode.reload"), (500, "this server can't reload"))
        report = SimpleNamespace(done=["log: info"], refused=[], restart=["core.listen"])
        self.parts.lifecycle = SimpleNamespace(ready=True, reload=lambda: report)
        self.assertEqual(self.call("sipnode.reload"), {"done": ["log: info"], "refused": [], "restart": ["core.listen"]})

    def test_without(self) -> None:
        """Where the log isn't the server's own nothing is changed."""
        self.parts.logs = None
        self.assertEqual(self.refused("sipnode.set_log_level", "debug")[0], 500)
