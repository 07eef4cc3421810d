"""A site's tests of its own routing: no network, no waiting. Run with ``python -m twisted.trial test_routing`` or pytest."""

from __future__ import annotations

from unittest import TestCase

from sipnode.routing import Fork, Managed, Reject, Request, RoutingScript, Step, Target
from sipnode.testing import RecordingMediaRelay, World


class SiteRouting(RoutingScript):
    """Who is busy has a mailbox; nobody calls 0900."""

    def sipout(self, r: Request) -> Step:
        if r.ruri.user.startswith("0900"):
            raise Reject(403, "Number Barred")
        return super().sipout(r)

    def manage_failure(self, fork: Fork) -> Managed:
        if fork.status == 486:
            fork.ring([Target("sip:mailbox@192.0.2.99")])
        return super().manage_failure(fork)


class SiteTests(TestCase):
    """What the site promises its users."""

    def setUp(self) -> None:
        self.relay = RecordingMediaRelay()
        self.world = World(script=SiteRouting, media=self.relay)
        self.alice = self.world.phone("alice", "WSS")
        self.bob = self.world.phone("bob")
        self.bob.register()

    def test_barred(self) -> None:
        """A number that costs is refused."""
        self.alice.send("INVITE", "sip:0900123@carrier.test")
        self.assertEqual(self.alice.statuses(), [403])

    def test_mailbox(self) -> None:
        """A busy phone's caller gets the mailbox."""
        mailbox = self.world.phone("mailbox", host="192.0.2.99")
        self.alice.send("INVITE", "sip:bob@example.test")
        self.bob.reply(self.bob.got("INVITE"), 486)
        mailbox.reply(mailbox.got("INVITE"), 200)
        self.assertEqual(self.alice.statuses(), [100, 200])

    def test_nobody_answers(self) -> None:
        """A phone that says nothing for half a minute: 408."""
        self.alice.send("INVITE", "sip:bob@example.test")
        self.world.advance(33)
        self.assertEqual(self.alice.statuses(), [100, 408])

    def test_media(self) -> None:
        """The browser's SDP goes through the relay, and BYE gives its ports back."""
        call = self.world.call(self.alice, self.bob, b"v=0\r\n", b"v=0\r\n")
        call.from_callee("BYE")
        self.assertEqual(self.relay.operations, ["offer", "answer", "delete"])

    def test_restart(self) -> None:
        """A call survives the server."""
        call = self.world.call(self.alice, self.bob)
        world = self.world.restart()
        world.connect(self.bob)
        world.connect(self.alice, port=40001)
        call.from_caller("BYE")
        self.bob.got("BYE")
