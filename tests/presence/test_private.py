"""Who sees what of others' calls."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sipnode.presence.packages.dialoginfo import DIALOG_INFO
from sipnode.settings import PresenceSettings
from sipnode.storage.memory import MemoryStorage
from sipnode.testing import World
from sipnode.wiring.presence import named_packages
from tests.presence.kit import User, world

ALICE, BOB = "alice@example.test", "bob@example.test"
PACKAGES = ("dialog", "presence")


class PrivateCase(SynchronousTestCase):
    """Carol is in a call with alice."""

    def server(self, policy: str = "state", storage: Any = None, former: World | None = None) -> World:
        """A server with that ``dialog_policy``."""
        return world(PresenceSettings(dialog_policy=policy, notify_seconds=0.0), named_packages(PACKAGES), storage, former)

    def scene(self, net: World) -> tuple[User, User]:
        """Alice, whose call is up, and bob, who hasn't asked yet."""
        alice, carol = User(net, "alice"), net.phone("carol")
        alice.phone.register()
        self.call = net.call(carol, alice.phone)
        return alice, User(net, "bob")

    def told(self, user: User) -> ElementTree.Element:
        """The only dialog of the newest document that a user has."""
        (dialog,) = ElementTree.fromstring([body for body in user.bodies() if body][-1])
        return dialog

    def sees(self, user: User) -> tuple[str | None, bool, bool]:
        """State, whether there are names of the dialog, whether there is anybody's address; the other end is there in any case."""
        dialog = self.told(user)
        names = {"call-id", "local-tag", "remote-tag"} & set(dialog.attrib)
        self.assertIn(len(names), (0, 3))
        identities = [found.text for found in dialog.iter(f"{{{DIALOG_INFO}}}identity")]
        told = bool(set(identities) - {"sip:anonymous@anonymous.invalid"})
        return dialog.findtext(f"{{{DIALOG_INFO}}}state"), bool(names), told


class DialogPolicyTests(PrivateCase):
    """``[presence] dialog_policy``"""

    def test_state(self) -> None:
        """By default a colleague's lamp is lit, without a word of what could be used against the call."""
        alice, bob = self.scene(self.server())
        self.assertEqual(bob.subscribe("alice", event="dialog").status, 200)
        self.assertEqual(self.sees(bob), ("confirmed", False, False))
        self.assertEqual(alice.subscribe("alice", event="dialog").status, 200)
        self.assertEqual(self.sees(alice), ("confirmed", True, True))

    def test_approved(self) -> None:
        """With ``approved`` nobody sees anything until the presentity said so."""
        net = self.server("approved")
        _, bob = self.scene(net)
        self.assertEqual(bob.subscribe("alice", event="dialog").status, 200)
        waiting = bob.notified()
        self.assertEqual((waiting.get("subscription-state"), waiting.body), ("pending;expires=300", b""))
        net.core.presence.decide(ALICE, BOB, "dialog", True)
        self.assertEqual(self.sees(bob), ("confirmed", False, False))
        self.assertEqual(User(net, "dave").subscribe("alice", event="presence").status, 200)

    def test_full(self) -> None:
        """An office may keep what it had: everybody picks up everybody's calls; strangers of other domains see nothing."""
        net = self.server("full")
        _, bob = self.scene(net)
        bob.subscribe("alice", event="dialog")
        self.assertEqual(self.sees(bob), ("confirmed", True, True))
        self.assertEqual(User(net, "eve", domain="else.where").subscribe("alice", event="dialog").status, 403)

    def test_pickup_comes_and_goes(self) -> None:
        """Who is let pick up calls is told all at once, and no more when that is taken back."""
        net = self.server()
        _, bob = self.scene(net)
        bob.subscribe("alice", event="dialog")
        self.sees(bob)
        decide = net.core.presence.decide
        for pickup, allowed in ((True, True), (False, True), (True, True), (False, None)):
            decide(ALICE, BOB, "dialog", allowed, pickup)
            net.advance(2)
            self.assertEqual(self.sees(bob), ("confirmed", pickup, pickup))
        decide(ALICE, BOB, "dialog", False)
        self.assertIn("rejected", bob.notified().get("subscription-state") or "")

    def test_pickup_of_presence_is_nothing_more(self) -> None:
        """The word for one package is none for another."""
        net = self.server()
        _, bob = self.scene(net)
        net.core.presence.decide(ALICE, BOB, "presence", True, True)
        bob.subscribe("alice", event="dialog")
        self.assertEqual(self.sees(bob), ("confirmed", False, False))

    def test_hook(self) -> None:
        """A site's script may let somebody pick up calls."""
        net = self.server()
        net.core.presence.policy.hook = lambda watcher, resource, event: "pickup" if watcher == BOB else None
        _, bob = self.scene(net)
        bob.subscribe("alice", event="dialog")
        self.assertEqual(self.sees(bob), ("confirmed", True, True))

    def test_broken_hook(self) -> None:
        """A site's script that fails keeps nobody from being told, and shows nobody more."""
        net = self.server()
        _, bob = self.scene(net)
        bob.subscribe("alice", event="dialog")
        self.sees(bob)
        net.core.presence.policy.hook = lambda watcher, resource, event: "maybe"
        self.call.from_caller("BYE")
        net.advance(2)
        self.assertEqual(self.sees(bob), ("terminated", False, False))
        net.core.presence.judge_again(ALICE, BOB, "dialog")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(net.core.presence.subscriptions), 1)

    def test_two_lamps_tell_no_pair(self) -> None:
        """Whoever has lamps of both ends of a call can't tell by the names in them that it is the same one."""
        net = self.server()
        _, bob = self.scene(net)
        names: list[str | None] = []
        for other in ("alice", "carol"):
            bob.subscribe(other, event="dialog")
            names.append(self.told(bob).get("id"))
        self.assertEqual(len({(name or "").rpartition("-")[0] or name for name in names}), 2)

    def test_lasts(self) -> None:
        """What was said about a watcher is so after a restart, and a narrower setting counts for subscriptions that are there."""
        storage = MemoryStorage(Clock())
        first = self.server("full", storage)
        first.advance(0.05)
        for watcher, pickup in ((BOB, True), ("dave@example.test", False)):
            first.core.presence.decide(ALICE, watcher, "dialog", True, pickup)
            first.advance(0.05)
        eve = User(first, "eve")
        self.assertRaises(AssertionError, eve.subscribe, "alice", event="dialog")
        first.advance(0.05)
        eve.bodies()
        first.advance(0.05)
        second = self.server("approved", storage, first)
        eve.world = eve.phone.world = second
        eve.phone.flow.sent.clear()
        second.advance(0.1)
        policy, package = second.core.presence.policy, second.core.presence.packages["dialog"]
        self.assertEqual([policy.sees_all(one, ALICE, package) for one in (ALICE, BOB, "dave@example.test")], [True, True, False])
        self.assertIn("pending", eve.notified().get("subscription-state") or "")
