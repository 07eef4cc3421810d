"""Plugins that are event packages: the sample of the manual, found, named and watched."""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import sipnode.plugins
from sipnode.errors import ConfigError
from sipnode.interfaces import IEventPackage
from sipnode.wiring.presence import named_packages
from tests.presence.kit import User, world

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "callcount.py"


class SampleTests(SynchronousTestCase):
    """docs/samples/callcount.py"""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        shutil.copy(SAMPLE, folder / "sample_callcount.py")
        self.patch(sipnode.plugins, "__path__", [*sipnode.plugins.__path__, str(folder)])

    def test_watched(self) -> None:
        """Who watches hears the number when it changes, and only then."""
        (package,) = named_packages(("x-callcount",))
        verifyObject(IEventPackage, package)
        net = world(packages=[package])
        alice, bob = User(net, "alice"), User(net, "bob")
        alice.phone.register()
        bob.subscribe("alice", event="x-callcount")
        self.assertEqual(bob.bodies(), [b"0"])
        carol = net.phone("carol")
        invite = carol.send("INVITE", alice.phone.aor, body=b"v=0")
        alice.phone.reply(alice.phone.got("INVITE"), 200, b"v=0")
        answer = carol.response("INVITE")
        carol.ack(invite, answer)
        carol.within("BYE", invite, answer, True)
        self.assertEqual(bob.bodies(), [b"1", b"0"])

    def test_not_named(self) -> None:
        """One that isn't installed stops the start."""
        self.assertIn("x-other", str(self.assertRaises(ConfigError, named_packages, ("x-other",))))
