"""The kit for tests of scripts: a world as a server is by default, whose phones know their passwords."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.routing import RoutingScript
from sipnode.settings import DefenceSettings, NodeSettings, ProxySettings, Settings
from sipnode.testing import DOMAIN, World

USERS = {"alice": "secret", "bob": "of his own"}


class WholeTests(SynchronousTestCase):
    """A world with users."""

    def setUp(self) -> None:
        self.world = World(users=USERS)
        self.alice, self.bob = self.world.phone("alice"), self.world.phone("bob", "WSS")
        self.alice.register()
        self.bob.register()

    def test_phones_prove_themselves(self) -> None:
        """Who has a password answers challenges, and its inbox has nothing of them: REGISTER, calls, what is inside of calls."""
        self.assertEqual((self.alice.register().status, self.bob.register().status), (200, 200))
        call = self.world.call(self.alice, self.bob)
        call.from_callee("BYE")
        self.assertEqual((self.alice.methods(), self.bob.methods()), (["BYE"], []))
        self.assertEqual(self.world.core.counters["refused_strangers"], 0)
        self.world.advance(64)
        self.assertEqual(len(self.world.core.transactions), 0)

    def test_passwords_are_asked_for(self) -> None:
        """Another password gets nowhere, and who has none sees the challenge."""
        thief = self.world.phone("alice", host="203.0.113.7")
        thief.password = "wrong"
        self.assertEqual(thief.register().status, 401)
        thief.password = ""
        thief.send("INVITE", self.bob.aor)
        self.assertEqual(thief.statuses()[-1], 407)
        nobody = self.world.phone("carol")
        self.assertEqual((nobody.password, nobody.register().status), ("", 401))
        elsewhere = self.world.phone("alice", domain="else.test")
        self.assertEqual(elsewhere.password, "")

    def test_identity_is_proved(self) -> None:
        """The script sees who has proved it, and it may not be somebody else's From."""
        seen: list[str] = []

        class Site(RoutingScript):
            """Writes down who calls."""

            def location(self, r: Any) -> Any:
                seen.append(r.identity)
                return super().location(r)

        world = World(script=Site, users=USERS)
        alice, bob = world.phone("alice"), world.phone("bob")
        bob.register()
        alice.send("MESSAGE", bob.aor, body=b"hi", content_type="text/plain")
        self.assertEqual(seen, [f"alice@{DOMAIN}"])
        alice.aor = bob.aor
        alice.send("MESSAGE", bob.aor, body=b"hi", content_type="text/plain")
        self.assertEqual((alice.statuses()[-1], seen), (403, [f"alice@{DOMAIN}"]))

    def test_presence(self) -> None:
        """The packages of the settings are served."""
        self.alice.send("SUBSCRIBE", self.bob.aor, (("event", "presence"), ("expires", "300")))
        self.assertEqual(self.alice.statuses(), [200])
        self.alice.send("SUBSCRIBE", self.bob.aor, (("event", "presence"), ("expires", "300")))
        self.assertEqual(self.alice.got("NOTIFY").get("event"), "presence")
        self.alice.send("SUBSCRIBE", self.bob.aor, (("event", "nonsense"), ("expires", "300")))
        self.assertEqual(self.alice.response("SUBSCRIBE").status, 489)

    def test_defence(self) -> None:
        """A flood is shut out before the script sees it, by the settings of the world."""
        settings = replace(Settings(), defence=replace(DefenceSettings(), rate=1.0, burst=5.0))
        world = World(settings, users=USERS)
        eve = world.phone("eve", host="203.0.113.7", domain="else.test")
        for _ in range(20):
            eve.send("OPTIONS", "sip:192.0.2.1")
        self.assertLess(len(eve.statuses()), 8)
        assert world.core.defence is not None
        self.assertGreater(world.core.defence.counts()["dropped_rate"], 0)

    def test_strangers(self) -> None:
        """The script's own rules about strangers hold: they may call, by default, and not subscribe."""
        eve = self.world.phone("eve", domain="else.test")
        eve.send("INVITE", self.bob.aor)
        self.bob.reply(self.bob.got("INVITE"), 486)
        self.assertEqual(eve.statuses()[-1], 486)
        eve.send("SUBSCRIBE", self.bob.aor, (("event", "presence"),))
        self.assertEqual(eve.statuses()[-1], 403)

    def test_nodes(self) -> None:
        """A world with ``[node] address`` puts its Path into the table, as a server does."""
        node = NodeSettings(id=7, address="192.0.2.1:5060", secret="only for tests: this is no secret at all")
        world = World(replace(Settings(), node=node), users=USERS)
        alice = world.phone("alice", "TCP")
        alice.register()
        (binding,) = world.core.registrar.table.lookup(f"alice@{DOMAIN}", world.clock.seconds())
        self.assertEqual((binding.server_id, "192.0.2.1" in binding.path), (7, True))

    def test_restart(self) -> None:
        """It comes back as it was made."""
        call = self.world.call(self.alice, self.bob)
        world = self.world.restart()
        world.connect(self.alice)
        world.connect(self.bob, 45678)
        self.assertEqual(self.bob.register().status, 200)
        self.bob.take()
        call.from_caller("BYE")
        self.assertEqual(self.bob.methods(), ["BYE"])
        self.assertEqual(world.users, USERS)


class SimpleTests(SynchronousTestCase):
    """A world without users."""

    def test_nothing_else(self) -> None:
        """Everybody is believed, and what a test of routing doesn't want isn't there."""
        world = World()
        self.assertEqual((world.core.defence, world.core.presence, world.core.nodes), (None, None, None))
        alice = world.phone("alice")
        self.assertEqual((alice.password, alice.register().status), ("", 200))

    def test_parts_alone(self) -> None:
        """Presence and the defence can be had by themselves."""
        settings = replace(Settings(), proxy=ProxySettings(strangers=("any",)))
        world = World(settings, presence=True, defence=True)
        self.assertIsNotNone(world.core.defence)
        alice = world.phone("alice")
        alice.send("SUBSCRIBE", f"sip:bob@{DOMAIN}", (("event", "presence"), ("expires", "300")))
        self.assertEqual(alice.response("SUBSCRIBE").status, 200)
