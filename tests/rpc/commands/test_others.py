"""tm.*, stats.*, routing.*, rtpengine.*, system.* and rpc.*"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from sipnode.errors import ConfigError
from sipnode.media.ng import NoAnswer
from sipnode.media.nodes import NodeSet, parse_nodes
from sipnode.media.service import MediaService
from sipnode.routing.script import RoutingScript
from sipnode.routing.versions import Versions
from sipnode.rpc.schema import schema
from sipnode.settings import MediaSettings, RoutingSettings, Settings
from sipnode.testing import World
from tests.rpc.support import RpcCase


class TransactionTests(RpcCase):
    """tm.*"""

    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob")
        self.bob.register()
        self.world.advance(40)

    def test_list(self) -> None:
        """A transaction is shown with its request, its branches and its method; when it is over it isn't there."""
        self.assertEqual(self.call("tm.list"), [])
        self.alice.send("INVITE", "sip:bob@example.test", call_id="call-1", from_tag="fa")
        (cell,) = self.call("tm.list")
        self.assertEqual(
            (cell["method"], cell["callid"], cell["uas_request"], cell["outgoings"]), ("INVITE", "Call-ID: call-1\r\n", "yes", 1)
        )
        self.assertEqual(cell["from"], "From: <sip:alice@example.test>;tag=fa\r\n")
        stats = self.call("tm.stats")
        self.assertEqual((stats["current"], stats["waiting"]), (1, 0))
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.assertEqual(self.call("tm.stats")["waiting"], 1)
        self.world.advance(40)
        self.assertEqual(self.call("tm.list"), [])
        self.assertEqual(self.call("tm.clean"), {})

    def test_stats(self) -> None:
        """Every number is what has happened: transactions made and gone, responses received, made here and sent, by class."""
        before = self.call("tm.stats")
        invite = self.alice.send("INVITE", "sip:bob@example.test")
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.bob.reply(received, 486)
        self.alice.ack(invite, self.alice.response("INVITE"))
        self.alice.send("INVITE", "sip:nobody@example.test")
        self.world.advance(60)
        after = self.call("tm.stats")
        grown = {name: value - before[name] for name, value in after.items()}
        # The 404 of the second is sent without a transaction.
        self.assertEqual((grown["total"], grown["created"], grown["freed"], grown["4xx"]), (1, 1, 1, 2))
        self.assertEqual((grown["rpl_received"], grown["2xx"], grown["current"]), (2, 0, 0))
        self.assertEqual(grown["rpl_sent"] - grown["rpl_generated"], 2)
        self.alice.take()
        call = self.world.call(self.alice, self.bob)
        self.world.core.dialogs.end(call.invite.call_id)
        self.assertEqual(self.call("tm.stats")["total_local"], 2)

    def test_cancel(self) -> None:
        """An INVITE is cancelled by Call-ID and CSeq; any other is refused."""
        invite = self.alice.send("INVITE", "sip:bob@example.test", call_id="call-1")
        received = self.bob.got("INVITE")
        self.bob.reply(received, 180)
        self.assertEqual(self.refused("tm.cancel", "call-1", invite.cseq + 1), (400, "Transaction not found"))
        self.assertEqual(self.call("tm.cancel", "call-1", invite.cseq), {})
        self.bob.got("CANCEL")
        self.bob.reply(received, 487)
        self.assertIn(487, self.alice.statuses())
        self.assertEqual(self.refused("tm.cancel", "call-1", invite.cseq)[0], 400)


class StatisticsTests(RpcCase):
    """stats.*"""

    def test_groups(self) -> None:
        """All, a group, one by its name; as lines, as text, as numbers."""
        self.world.phone("alice").register()
        self.assertIn("usrloc:registered_users = 1", self.call("stats.get_statistics", "all"))
        self.assertEqual(self.call("stats.fetchn", "registered_users"), {"usrloc.registered_users": 1})
        self.assertEqual(self.call("stats.fetch", "usrloc:registered_users"), {"usrloc.registered_users": "1"})
        group = self.call("stats.fetchn", "usrloc:")
        self.assertTrue(group and all(name.startswith("usrloc.") for name in group))
        self.assertEqual(self.call("stats.fetch", "nosuch"), {})
        self.assertEqual(len(self.call("stats.fetch")), len(self.call("stats.get_statistics", "all")))

    def test_messages(self) -> None:
        """Kamailio's counters of messages: by method, by class, and what became of REGISTERs."""
        alice, bob = self.world.phone("alice"), self.world.phone("bob")
        before = self.call("stats.fetchn", "core:", "registrar:")
        bob.register()
        bob.register(5)
        alice.send("FROBNICATE", "sip:bob@example.test")
        bob.reply(bob.got("FROBNICATE"), 501)
        after = self.call("stats.fetchn", "core:", "registrar:")
        grown = {name: value - before[name] for name, value in after.items() if value != before[name]}
        self.assertEqual(
            grown,
            {
                "core.rcv_requests": 3, "core.rcv_requests_register": 2, "core.unsupported_methods": 1,
                "core.rcv_replies": 1, "core.rcv_replies_5xx": 1, "registrar.accepted_regs": 1, "registrar.rejected_regs": 1,
            },
        )  # fmt: skip

    def test_counters(self) -> None:
        """What the server counts is there under sipnode:."""
        self.world.sink.received(b"nonsense\r\n\r\n", self.world.phone("x").flow)
        self.assertEqual(self.call("stats.fetchn", "sipnode:broken_messages"), {"sipnode.broken_messages": 1})
        self.assertEqual(self.call("routing.counters")["broken_messages"], 1)


class _Site(RoutingScript):
    def record(self, ctx: Any) -> Any:
        return None


class RoutingTests(RpcCase):
    """routing.*"""

    def test_stages(self) -> None:
        """Stages in order, with the methods that they are for and the class that they come from."""
        self.prepare(World(script=_Site))
        stages = {stage["name"]: stage for stage in self.call("routing.stages")}
        self.assertEqual(list(stages), self.call("routing.script")["stages"])
        self.assertTrue(stages["record"]["source"].endswith("_Site"))
        self.assertTrue(stages["location"]["source"].endswith("RoutingScript"))
        self.assertEqual(stages["registrar"]["methods"], ["REGISTER"])

    def test_reload(self) -> None:
        """The script is read anew; one at fault is told, and the old one goes on."""
        made: list[type[RoutingScript]] = [RoutingScript]

        def read() -> tuple[type[RoutingScript], list[Any]]:
            if not made:
                raise ConfigError("SyntaxError: invalid syntax", "routing.py", 7, "routing.script")
            return made.pop(), []

        self.parts.scripts = Versions(self.core, read)
        made.append(_Site)
        answer = self.call("routing.reload")
        self.assertEqual((answer["version"], answer["stages"]), (2, list(self.core.engine.names)))
        self.assertEqual(self.refused("routing.reload"), (500, "routing.py:7: routing.script: SyntaxError: invalid syntax"))
        self.assertIsInstance(self.core.script, _Site)
        self.assertEqual([(one["version"], one["current"]) for one in self.call("routing.versions")], [(1, False), (2, True)])
        self.assertEqual(self.call("routing.rollback")["version"], 1)
        self.assertIs(type(self.core.script), RoutingScript)
        self.assertEqual(self.refused("routing.rollback")[0], 404)
        self.assertEqual(self.call("routing.rollback", 2)["version"], 2)
        self.assertEqual(self.refused("routing.rollback", 7)[0], 404)
        settings = replace(Settings(), routing=RoutingSettings(script="routing.Site"))
        self.prepare(World(settings))
        self.assertEqual(self.call("routing.script")["setting"], "routing.Site")


class _Media:
    """Two nodes; ``dead`` ones don't answer."""

    def __init__(self, clock: Any) -> None:
        self.dead: set[int] = set()
        self.nodes = NodeSet(parse_nodes(["192.0.2.50:2223 weight 2", "[2001:db8::5]:2223"]), self.send, clock, 60.0, 5.0)

    def send(self, node: Any, command: Any, waits: Any) -> Deferred[Any]:
        if self.nodes.nodes.index(node) in self.dead:
            return fail(NoAnswer())
        return succeed({b"result": b"pong"})


class MediaTests(RpcCase):
    """rtpengine.*"""

    FIRST, SECOND = "udp:192.0.2.50:2223", "udp:[2001:db8::5]:2223"

    def setUp(self) -> None:
        world = World()
        self.media = _Media(world.clock)
        self.prepare(world, media=self.media)

    def test_show(self) -> None:
        """Nodes by their url, with weight and health."""
        first, second = self.call("rtpengine.show", "all")
        self.assertEqual((first["url"], first["weight"], first["disabled"]), (self.FIRST, 2, 0))
        self.assertEqual((second["url"], second["index"]), (self.SECOND, 1))
        self.assertEqual(self.call("rtpengine.show", self.SECOND), [second])
        self.assertEqual(self.refused("rtpengine.show", "udp:192.0.2.1:1"), (404, "Instance not found"))

    def test_ping(self) -> None:
        """Success only when each that was asked answers; who doesn't gets no calls."""
        self.assertEqual(self.call("rtpengine.ping", "all"), {"url": "all", "status": "success"})
        self.media.dead.add(1)
        self.assertEqual(self.call("rtpengine.ping", "all")["status"], "fail")
        self.assertEqual(self.call("rtpengine.ping", self.FIRST)["status"], "success")
        self.assertEqual([node["disabled"] for node in self.call("rtpengine.show")], [0, 1])
        self.assertEqual(self.call("rtpengine.show", self.SECOND)[0]["recheck_ticks"], 60)

    def test_enable(self) -> None:
        """A node that is taken out gets no new calls until it is wanted again and answers."""
        self.assertEqual(self.call("rtpengine.enable", self.FIRST, 0), {"url": self.FIRST, "status": "disable"})
        chosen = self.media.nodes.choose("any")
        self.assertEqual(chosen, self.media.nodes.nodes[1])
        self.assertEqual(self.call("rtpengine.enable", self.FIRST, 1)["status"], "enable")
        self.media.dead.add(0)
        self.assertEqual(self.call("rtpengine.enable", self.FIRST, 1)["status"], "fail")
        self.assertEqual(self.refused("rtpengine.enable", self.FIRST, 2)[0], 400)

    def test_reload(self) -> None:
        """Nodes that came and went; lines at fault change nothing."""
        self.parts.reload_media = lambda: (["192.0.2.60:2223"], [])
        self.assertEqual(self.call("rtpengine.reload"), {"added": ["192.0.2.60:2223"], "removed": []})

        def fault() -> Any:
            raise ConfigError("no", key="media.nodes")

        self.parts.reload_media = fault
        self.assertEqual(self.refused("rtpengine.reload"), (500, "media.nodes: no"))
        self.prepare(World())
        self.assertEqual(self.refused("rtpengine.reload")[0], 500)
        self.assertEqual(self.refused("rtpengine.show"), (404, "Instance not found"))

    def test_add_and_remove(self) -> None:
        """A node comes and goes while the server runs; a line that can't be is refused, and so is taking away the last."""
        media = MediaService(MediaSettings(nodes=("192.0.2.50:2223 weight 2",)), Clock())
        self.prepare(World(), media=media)
        self.assertEqual(self.call("rtpengine.add", "192.0.2.60:2223 set 1"), {"added": ["192.0.2.60:2223"], "removed": []})
        self.assertEqual(self.call("rtpengine.show")[-1]["set"], 1)
        self.assertEqual(self.call("rtpengine.remove", "udp:192.0.2.60:2223"), {"added": [], "removed": ["192.0.2.60:2223"]})
        for line in ("192.0.2.60", self.FIRST.removeprefix("udp:")):
            self.assertEqual(self.refused("rtpengine.add", line)[0], 400)
        self.assertEqual(self.refused("rtpengine.remove", "all")[0], 400)

    def test_calls(self) -> None:
        """Calls with media on some node are counted."""
        self.assertEqual(self.call("rtpengine.get_hash_total"), 0)


class SystemTests(RpcCase):
    """system.* and rpc.*"""

    def test_help(self) -> None:
        """Every method has its help, its usage and its types."""
        for name in self.call("system.listMethods"):
            self.assertTrue(self.call("system.methodHelp", name))
            self.assertTrue(self.call("system.methodSignature", name).startswith(name))
            self.assertEqual(self.call("rpc.describe", name)["name"], name)
        self.assertEqual(self.refused("system.methodHelp", "nosuch"), (400, "command not found"))

    def test_discover(self) -> None:
        """The OpenRPC document names every method once, with the schema of its result."""
        document = self.call("rpc.discover")
        self.assertEqual([method["name"] for method in document["methods"]], self.call("system.listMethods"))
        found = {method["name"]: method for method in document["methods"]}
        self.assertEqual(found["core.uptime"]["result"]["schema"], schema(self.registry.get("core.uptime").result))
        self.assertEqual([p["name"] for p in found["ul.add"]["params"]][:4], ["table", "aor", "contact", "expires"])
        self.assertFalse(found["ul.add"]["params"][4]["required"])
