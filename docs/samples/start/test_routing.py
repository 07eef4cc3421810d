"""What the site promises its users, without a network and without waiting."""

from __future__ import annotations

from unittest import TestCase

from routing import SiteRouting
from sipnode.testing import World


class SiteTests(TestCase):
    """Our routing."""

    def setUp(self) -> None:
        self.world = World(script=SiteRouting)
        self.alice = self.world.phone("alice")
        self.bob = self.world.phone("bob")
        self.bob.register()

    def test_barred(self) -> None:
        """A number that costs money is refused."""
        self.alice.send("INVITE", "sip:0900123@carrier.test")
        self.assertEqual(self.alice.statuses(), [403])

    def test_mailbox(self) -> None:
        """The caller of a busy phone gets the mailbox."""
        mailbox = self.world.phone("mailbox", host="192.0.2.99")
        self.alice.send("INVITE", "sip:bob@example.test")
        self.bob.reply(self.bob.got("INVITE"), 486)
        mailbox.reply(mailbox.got("INVITE"), 200)
        self.assertEqual(self.alice.statuses(), [100, 200])
