"""Promises of ``sipnode.transport.tls.watch`` and ``certificates``: new files are taken as a whole or not at all."""

from __future__ import annotations

import os
import time

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ConfigError
from sipnode.transport.tls.certificates import DAY, Dated, dated_files
from sipnode.transport.tls.config import load_tls_config
from sipnode.transport.tls.contexts import TLSContexts
from sipnode.transport.tls.watch import TLSWatch

from .certificates import make, revocation_list
from .test_tls import FakeProtocol, shake

TEXT = "[server:default]\ncertificate=one-cert.pem\nprivate_key=one-key.pem\n"


class WatchTests(SynchronousTestCase):
    """A server whose certificate is replaced."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        make("old").save(self.folder, "one")
        self.path = os.path.join(self.folder, "tls.cfg")
        self.write(TEXT)
        self.clock = Clock()
        self.clock.advance(time.time())
        self.contexts = TLSContexts(load_tls_config(self.path))
        self.creator = self.contexts.for_server("127.0.0.1", 5061)
        self.watch = TLSWatch(self.contexts, self.path, self.clock, 10.0)
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)
        self.watch.startService()
        self.addCleanup(lambda: self.watch.running and self.watch.stopService())

    def hear(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "sipnode.transport.tls.watch.TLSWatch":
            self.said.append(formatEvent(event))

    def write(self, text: str) -> None:
        with open(self.path, "w") as file:
            file.write(text)

    def shown(self) -> str:
        """Who the server says to be in a new handshake."""
        client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertEqual(shake(client, self.creator.serverConnectionForTLS(FakeProtocol())), "")
        certificate = client.get_peer_certificate()
        assert certificate is not None
        return str(certificate.get_subject().CN)

    def test_by_itself(self) -> None:
        """A new certificate in the place of the old one is used without anybody's help, once the files stand still."""
        self.assertEqual(self.shown(), "old")
        make("new").save(self.folder, "one")
        self.clock.advance(10)
        self.assertEqual(self.shown(), "old")
        self.clock.advance(10)
        self.assertEqual((self.shown(), self.contexts.generation), ("new", 1))
        self.clock.pump([10] * 5)
        self.assertEqual(self.contexts.generation, 1)

    def test_half_written(self) -> None:
        """While key and certificate don't match the old pair stays, and it is said once; when they do they are used."""
        os.rename(os.path.join(self.folder, "one-key.pem"), os.path.join(self.folder, "kept.pem"))
        make("new").save(self.folder, "one")
        new = os.path.join(self.folder, "one-key.pem")
        os.rename(new, new + ".later")
        os.rename(os.path.join(self.folder, "kept.pem"), new)
        self.clock.pump([10] * 6)
        self.assertEqual(self.shown(), "old")
        self.assertEqual(len([text for text in self.said if "can't be used" in text]), 1)
        os.rename(new + ".later", new)
        self.clock.pump([10] * 2)
        self.assertEqual(self.shown(), "new")

    def test_all_or_nothing(self) -> None:
        """A fault in one section keeps all sections as they were, and names file, line and key."""
        make("new").save(self.folder, "one")
        self.write(TEXT + "[client:default]\nca_list=none.pem\n")
        error = self.assertRaises(ConfigError, self.watch.reload)
        self.assertEqual((error.file, error.line, error.key), (self.path, 5, "[client:default] ca_list"))
        self.assertEqual((self.shown(), self.contexts.generation), ("old", 0))
        self.write(TEXT + "nonsense=1\n")
        self.assertRaises(ConfigError, self.watch.reload)
        self.write("[client:default]\n")
        self.assertRaises(ConfigError, self.watch.reload)
        self.assertEqual(self.shown(), "old")

    def test_open_connections(self) -> None:
        """A connection that stands goes on through a reload."""
        client, server = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None), self.creator.serverConnectionForTLS(FakeProtocol())
        self.assertEqual(shake(client, server), "")
        make("new").save(self.folder, "one")
        self.watch.reload()
        client.send(b"REGISTER")
        server.bio_write(client.bio_read(4096))
        self.assertEqual(server.recv(100), b"REGISTER")

    def test_expiry(self) -> None:
        """Fourteen days before the end there is a warning, one a day; what has ended is said to have."""
        self.clock.advance(15 * DAY)
        before = len(self.said)
        self.clock.advance(DAY + 1)
        self.assertEqual([("expires in" in text, "one-cert.pem" in text) for text in self.said[before:]], [(True, True)])
        self.clock.advance(20 * DAY)
        self.assertIn("has expired", self.said[-1])

    def test_warnings(self) -> None:
        """Who asks hears what the file deserves and what ends soon, e.g. before the start."""
        self.write(TEXT + "method=TLSv1\n")
        self.watch.reload()
        self.assertEqual(["raised to TLSv1.2+" in text for text in self.watch.warnings()], [True])
        self.clock.advance(20 * DAY)
        self.assertIn("expires in", self.watch.warnings()[1])

    def test_dated(self) -> None:
        """Certificates, authorities and revocation lists are known with their ends; what can't be read isn't."""
        authority = make("authority", authority=True)
        authority.save(self.folder, "ca")
        with open(os.path.join(self.folder, "crl.pem"), "wb") as file:
            file.write(revocation_list(authority))
        self.write(TEXT + "ca_list=ca-cert.pem\ncrl=crl.pem\n")
        self.watch.reload()
        files = {each.key: each for each in self.watch.files()}
        subjects = {key: each.subject for key, each in files.items()}
        self.assertEqual(subjects, {"certificate": "CN=old", "ca_list": "CN=authority", "crl": "CN=authority"})
        self.assertEqual(round((files["crl"].until - time.time()) / DAY), 1)
        os.unlink(os.path.join(self.folder, "crl.pem"))
        self.assertEqual(len(dated_files(self.contexts.config)), 2)
        # What is in force doesn't change with the disk.
        self.assertEqual(len(self.watch.files()), 3)

    def test_warning(self) -> None:
        """Nothing is said before its time."""
        dated = Dated("server:default", "certificate", "a.pem", "CN=a", 100 * DAY)
        self.assertEqual(dated.warning(80 * DAY), "")
        self.assertIn("expires in 10.0 days", dated.warning(90 * DAY))
        self.assertIn("has expired", dated.warning(101 * DAY))
