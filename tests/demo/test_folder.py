"""Tests of :mod:`sipnode.demo.folder`."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipnode import config
from sipnode.console.members import Members, matches
from sipnode.demo.folder import DemoFolder, Places

LOOPBACK = Places("127.0.0.1", 5060, 8080, "127.0.0.1:2223", tls=False)
NETWORK = Places("192.0.2.7", 5060, 8443, "127.0.0.1:2223", tls=True)


class FolderTests(SynchronousTestCase):
    """What is written."""

    def setUp(self) -> None:
        self.folder = DemoFolder(Path(self.mktemp()))

    def test_loopback(self) -> None:
        """On loopback nothing listens elsewhere, and the page needs no certificate."""
        self.folder.prepare(LOOPBACK)
        settings = config.load(str(self.folder.path))
        self.assertEqual(settings.core.listen, ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "ws:127.0.0.1:8080"))
        self.assertEqual(settings.media.nodes, ("127.0.0.1:2223",))
        self.assertEqual(LOOPBACK.page("alice", "pw"), "http://127.0.0.1:8080/#user=alice&password=pw&remember=1")

    def test_network(self) -> None:
        """For the network the page is https, with a certificate made for the address; a phone may use TLS."""
        self.folder.prepare(NETWORK)
        settings = config.load(str(self.folder.path))
        self.assertIn("wss:192.0.2.7:8443", settings.core.listen)
        self.assertIn("tls:192.0.2.7:5061", settings.core.listen)
        self.assertFalse([line for line in settings.core.listen if line.startswith("ws:")])
        self.assertTrue((self.folder.path / settings.tls.config).exists())
        self.assertTrue(NETWORK.page("alice", "pw").startswith("https://192.0.2.7:8443/#"))

    def test_console(self) -> None:
        """The console is on, for this machine or for whoever reaches the https page; its admin's password is in the file as a hash only."""
        for places, allowed in ((LOOPBACK, ("127.0.0.0/8", "::1")), (NETWORK, ("0.0.0.0/0", "::/0"))):
            self.folder.prepare(places)
            settings = config.load(str(self.folder.path))
            self.assertEqual((settings.console.enabled, settings.recorder.enabled, settings.console.allow), (True, True, allowed))
            member = Members(settings.console.users).get("admin")
            assert member is not None
            self.assertEqual(member.role, "admin")
            self.assertTrue(matches(self.folder.operator_password(), member.secret))
            self.assertNotIn(self.folder.operator_password(), self.folder.conf.read_text())

    def test_address_of_ipv6(self) -> None:
        """An IPv6 address stands in brackets wherever a port follows."""
        places = Places("::1", 5060, 8080, "127.0.0.1:2223", tls=False)
        self.assertEqual(places.listen()[0], "udp:[::1]:5060")
        self.assertTrue(places.page("alice", "pw").startswith("http://[::1]:8080/#"))

    def test_accounts(self) -> None:
        """Passwords are random, stay the same, and are read by their owner alone."""
        self.folder.prepare(LOOPBACK)
        accounts = self.folder.accounts()
        self.assertEqual(sorted(accounts), ["alice", "john"])
        self.assertEqual(self.folder.accounts(), accounts)
        self.assertEqual(stat.S_IMODE(self.folder.accounts_file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.folder.path.stat().st_mode), 0o700)
        password = self.folder.operator_password()
        self.assertEqual((self.folder.operator_password(), stat.S_IMODE(self.folder.operator_file.stat().st_mode)), (password, 0o600))
        other = DemoFolder(Path(self.mktemp()))
        other.prepare(LOOPBACK)
        self.assertNotEqual(other.operator_password(), password)
        self.assertFalse(set(other.accounts().values()) & set(accounts.values()))
