"""The event packages that come with sipnode, over a network in memory."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.interfaces import IPresenceSources
from sipnode.presence.packages.pidf import PIDF
from sipnode.settings import PresenceSettings
from sipnode.testing import Phone
from sipnode.wiring.presence import named_packages
from tests.presence.kit import User, world

ALL = PresenceSettings().packages
PIDF_TYPE = "application/pidf+xml"


def basics(body: bytes) -> list[str | None]:
    """What each tuple of a PIDF document says."""
    return [one.text for one in ElementTree.fromstring(body).iter(f"{{{PIDF}}}basic")]


def open_document(basic: str = "open") -> bytes:
    """A document to publish."""
    return f'<presence xmlns="{PIDF}" entity="sip:x@y"><tuple id="t"><status><basic>{basic}</basic></status></tuple></presence>'.encode()


class PackagesCase(SynchronousTestCase):
    """A server with all packages, and users of it."""

    settings = PresenceSettings()

    def setUp(self) -> None:
        self.world = world(self.settings, named_packages(ALL))
        self.alice, self.bob = User(self.world, "alice"), User(self.world, "bob")

    def call_up(self, caller: Phone, callee: Phone) -> Any:
        """A call that is up: the INVITE as sent and its 200 as it arrived."""
        invite = caller.send("INVITE", callee.aor, body=b"v=0")
        callee.reply(callee.got("INVITE"), 200, b"v=0")
        answer = caller.response("INVITE")
        caller.ack(invite, answer)
        return invite, answer


class PresenceTests(PackagesCase):
    """Package ``presence``."""

    def watch(self) -> bytes:
        """Bob watches alice; the first document."""
        self.assertEqual(self.bob.subscribe("alice", event="presence").status, 200)
        first = self.bob.notified()
        self.assertEqual(first.get("content-type"), PIDF_TYPE)
        return first.body

    def test_nobody(self) -> None:
        """Somebody of whom nothing is known is closed."""
        self.assertEqual(basics(self.watch()), ["closed"])

    def test_registration(self) -> None:
        """Who registers opens, who unregisters closes; a refresh is no news."""
        self.watch()
        self.alice.phone.register()
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["open"]])
        self.world.advance(10)
        self.alice.phone.register()
        self.assertEqual(self.bob.bodies(), [])
        self.alice.phone.register(0)
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["closed"]])

    def test_publications(self) -> None:
        """What is published arrives, and goes with its end."""
        self.watch()
        tag = self.alice.publish(open_document(), event="presence", content_type=PIDF_TYPE).get("sip-etag") or ""
        tag = self.alice.publish(open_document("closed"), tag, event="presence", content_type=PIDF_TYPE).get("sip-etag") or ""
        self.alice.publish(b"", tag, 0, event="presence")
        self.assertEqual([basics(body) for body in self.bob.bodies()], [["open"], ["closed"]])
        self.world.advance(1)
        self.assertNotIn(b'id="t"', self.world.core.presence._compose(self.subscription, 0)[1])

    @property
    def subscription(self) -> Any:
        """Bob's."""
        (found,) = self.world.core.presence.subscriptions.by_tag.values()
        return found

    def test_on_the_phone(self) -> None:
        """A call that is up shows at once on both ends; that it rings or is refused is no news."""
        self.alice.phone.register()
        self.watch()
        carol = self.world.phone("carol")
        carol.register()
        missed = carol.send("INVITE", self.alice.phone.aor, body=b"v=0")
        self.alice.phone.reply(self.alice.phone.got("INVITE"), 486)
        carol.ack(missed, carol.response("INVITE"))
        self.assertEqual(self.bob.bodies(), [])
        invite, answer = self.call_up(carol, self.alice.phone)
        self.assertEqual([b"on-the-phone" in body for body in self.bob.bodies()], [True])
        carol.within("BYE", invite, answer, True)
        self.assertEqual([b"on-the-phone" in body for body in self.bob.bodies()], [False])

    def test_hostile(self) -> None:
        """What can't be read is refused and changes nothing."""
        bomb = b'<!DOCTYPE a [<!ENTITY b "b">]>' + open_document()
        cases = [
            (bomb, PIDF_TYPE, 400),
            (open_document().decode().encode("utf-16"), PIDF_TYPE, 415),
            (b'<?xml version="1.0" encoding="latin-1"?>' + open_document(), PIDF_TYPE, 415),
            (open_document(), "text/xml", 415),
            (b"<presence/>", PIDF_TYPE, 400),
        ]
        for body, content_type, status in cases:
            answer = self.alice.publish(body, event="presence", content_type=content_type)
            self.assertEqual(answer.status, status, body)
        self.assertEqual(len(self.world.core.presence.publications), 0)


class NamedTests(SynchronousTestCase):
    """``[presence] packages``"""

    def test_defaults(self) -> None:
        """Each package that is on by default is there, in its order, and what it is asks the server that it belongs to."""
        ours, theirs = named_packages(ALL), named_packages(ALL)
        self.assertEqual(tuple(one.name for one in ours), ALL)
        one: Any = object()
        other: IPresenceSources = one
        ours[0].start(other)
        self.assertIsNot(ours[0], theirs[0])
        self.assertFalse(hasattr(theirs[0], "sources"))

    def test_missing(self) -> None:
        """One that isn't installed stops the start with its name and those that are there."""
        error = self.assertRaises(ConfigError, named_packages, ("presence", "weather"))
        self.assertEqual(error.key, "presence.packages")
        self.assertIn("weather", str(error))
        self.assertIn("presence", str(error).partition("there are")[2])
