"""The line that a start ends with, and whose users can't register."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.lifecycle.domains import strangers
from sipnode.lifecycle.greeting import greeting
from sipnode.settings import CoreSettings, MediaSettings, Settings, StorageSettings

LISTENERS = ["udp:192.0.2.7:5060", "ws:0.0.0.0:8080", "wss:[2001:db8::7]:8443"]


class GreetingTests(SynchronousTestCase):
    """One line."""

    def test_whole(self) -> None:
        """Version, domains, listeners, page, store without its password, media nodes as in the configuration."""
        settings = replace(
            Settings(),
            core=CoreSettings(domains=("a.test", "b.test")),
            storage=StorageSettings(url="postgres://me:hunter2@db.test/sip"),
            media=MediaSettings(nodes=("192.0.2.50:2223 weight 2",)),
        )
        self.assertEqual(
            greeting("1.2.3", settings, LISTENERS, ""),
            "sipnode 1.2.3 is ready for a.test, b.test; listening on udp:192.0.2.7:5060, ws:0.0.0.0:8080, wss:[2001:db8::7]:8443;"
            " page http://localhost:8080/, https://[2001:db8::7]:8443/; store postgres://db.test/sip; media by 192.0.2.50:2223 weight 2",
        )

    def test_bare(self) -> None:
        """What isn't there is said to be so."""
        self.assertEqual(
            greeting("1", Settings(), LISTENERS[:1], ""),
            "sipnode 1 is ready for no domain; listening on udp:192.0.2.7:5060; page on no listener (ws: or wss:);"
            " store sqlite:sipnode.sqlite; media untouched (no [media] nodes)",
        )
        self.assertIn("; page not built: do it; ", greeting("1", Settings(), LISTENERS, "not built: do it"))

    def test_broken_url(self) -> None:
        """A URL that can't be read isn't shown."""
        settings = replace(Settings(), storage=StorageSettings(url="postgres://me:hunter2@[db/sip"))
        self.assertNotIn("hunter2", greeting("1", settings, [], ""))


class StrangersTests(SynchronousTestCase):
    """Users who would wonder."""

    def test_strangers(self) -> None:
        """Users of our domains, however they are written, and of an address of ours are no strangers."""
        settings = replace(Settings(), core=CoreSettings(domains=("A.test.",), listen=("udp:192.0.2.7:5060", "tcp:[2001:db8::7]:5060")))
        self.assertEqual(strangers(settings, ["a.test", "192.0.2.7", "[2001:db8::7]"]), [])
        self.assertEqual(len(strangers(settings, ["b.test", "192.0.2.8"])), 2)
