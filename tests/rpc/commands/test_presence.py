"""presence.*"""

from __future__ import annotations

from sipnode.settings import PresenceSettings
from tests.presence.kit import User, world
from tests.rpc.support import RpcCase


class PresenceTests(RpcCase):
    """What is published and who watches, seen and changed from outside."""

    def setUp(self) -> None:
        self.prepare(world(PresenceSettings()))
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")

    def test_publications(self) -> None:
        """What somebody published, by presentity and by package, without its content."""
        answer = self.alice.publish(b"glad", expires=300)
        self.bob.publish(b"sad")
        (row,) = self.call("presence.publications", "sip:alice@EXAMPLE.test")
        self.assertEqual((row["presentity"], row["event"], row["octets"], row["expires"]), ("alice@example.test", "mood", 4, 300))
        self.assertEqual(row["etag"], answer.get("sip-etag"))
        self.assertEqual(len(self.call("presence.publications", "", "mood")), 2)
        self.assertEqual(self.call("presence.publications", "", "other"), [])
        basic, full = self.call("presence.presentity_list")[0], self.call("presence.presentity_list", "full")[0]
        self.assertEqual((basic["user"], basic["domain"], full["body"]), ("alice", "example.test", "glad"))
        self.assertEqual(full | basic, full)
        self.assertNotIn("body", basic)
        self.assertEqual(
            self.call("presence.counts"), {"publications": 2, "subscriptions": 0, "packages": ["mood", "mood.winfo"], "ready": True}
        )

    def test_subscriptions(self) -> None:
        """Who watches whom, and what it is told once more when it is asked for."""
        self.alice.publish(b"glad")
        self.bob.subscribe("alice")
        self.world.advance(2)
        self.bob.bodies()
        (row,) = self.call("presence.subscriptions")
        self.assertEqual((row["presentity"], row["watcher"], row["status"]), ("alice@example.test", "bob@example.test", "active"))
        self.assertEqual(self.call("presence.subscriptions", "bob@example.test"), [])
        self.assertEqual([each["watcher"] for each in self.call("presence.watchers", "alice@example.test", "mood")], ["bob@example.test"])
        self.assertEqual(self.call("presence.refreshWatchers", "alice@example.test", "mood"), {})
        self.world.advance(10)
        self.assertEqual(self.bob.bodies(), [b"glad"])
        self.assertEqual(self.call("presence.updateWatchers", "alice@example.test", "mood"), {})
        self.assertEqual(self.call("presence.cleanup"), "Ok")

    def test_deny(self) -> None:
        """A watcher that is denied is told that it is over, and may watch again when it is allowed."""
        self.bob.subscribe("alice")
        self.world.advance(2)
        self.bob.bodies()
        self.call("presence.deny", "alice@example.test", "bob@example.test", "mood")
        self.world.advance(2)
        self.assertIn("terminated;reason=rejected", self.bob.notified().get("subscription-state") or "")
        self.assertEqual(self.call("presence.subscriptions"), [])
        self.call("presence.allow", "alice@example.test", "bob@example.test", "mood")
        self.assertEqual(self.bob.subscribe("alice").status // 100, 2)
        self.assertEqual(self.call("presence.forget", "alice@example.test", "bob@example.test", "mood"), {})

    def test_pickup(self) -> None:
        """The word that somebody may pick up calls, and that it may only watch."""
        self.call("presence.allow", "alice@example.test", "bob@example.test", "mood")
        self.call("presence.allow", "alice@example.test", "carol@example.test", "mood", True)
        shown = {row["watcher"]: (row["allowed"], row["pickup"]) for row in self.call("presence.decisions")}
        self.assertEqual(shown, {"bob@example.test": (True, False), "carol@example.test": (True, True)})

    def test_limits(self) -> None:
        """What waits for a first answer, what was refused and held back."""
        self.bob.subscribe("alice")
        self.bob.subscribe("alice")
        shown = self.call("presence.limits")
        self.assertEqual((shown["unanswered"], shown["held"], shown["refused_silent"]), (2, 1, 0))
        self.world.advance(40)
        self.bob.phone.flow.sent.clear()
        self.bob.subscribe("alice")
        shown = self.call("presence.limits")
        self.assertEqual((shown["unanswered"], shown["silenced"], shown["refused_silent"]), (0, 2, 1))

    def test_end(self) -> None:
        """One subscription ends with a last NOTIFY."""
        self.bob.subscribe("alice")
        self.world.advance(2)
        self.bob.bodies()
        (row,) = self.call("presence.subscriptions")
        self.assertEqual(self.call("presence.end", row["to_tag"]), {})
        self.world.advance(2)
        self.assertIn("terminated", self.bob.notified().get("subscription-state") or "")
        self.assertEqual(self.refused("presence.end", row["to_tag"]), (404, "Subscription not found"))

    def test_refusals(self) -> None:
        """No such package, no address: nothing happens."""
        self.assertEqual(self.refused("presence.watchers", "alice@example.test", "weather")[0], 404)
        self.assertEqual(self.refused("presence.deny", "<>", "bob@example.test", "mood")[0], 400)
        self.assertEqual(self.refused("presence.allow", "alice@example.test", "bob@example.test", "weather")[0], 404)
