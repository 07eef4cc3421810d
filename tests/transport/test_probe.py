"""Promises of ``sipnode.transport.probe``: a real handshake on loopback, and what is said of it."""

from __future__ import annotations

import os
import socket
import threading
import time

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from sipnode import cli
from sipnode.transport.probe import ProbeError, look, objections, report
from sipnode.transport.tls.certificates import DAY

from .certificates import make


class ProbeTests(SynchronousTestCase):
    """A server that answers one connection."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        authority = make("authority", authority=True)
        authority.save(self.folder, "ca")
        make("good", ("sip.example.com", "127.0.0.1"), authority).save(self.folder, "good")
        make("wild", ("*.example.com",), authority).save(self.folder, "wild")
        self.ca = os.path.join(self.folder, "ca-cert.pem")

    def serve(self, pair: str, octets: bytes = b"") -> int:
        """Answer one connection, by TLS with that certificate or with these octets; the port."""
        listener = socket.create_server(("127.0.0.1", 0))
        context = SSL.Context(SSL.TLS_METHOD)
        if pair:
            context.use_certificate_chain_file(os.path.join(self.folder, f"{pair}-cert.pem"))
            context.use_privatekey_file(os.path.join(self.folder, f"{pair}-key.pem"))

        def answer() -> None:
            wire, _ = listener.accept()
            with wire, listener:
                try:
                    if octets:
                        wire.recv(1000)
                        wire.sendall(octets)
                        return
                    connection = SSL.Connection(context, wire)
                    connection.set_accept_state()
                    connection.do_handshake()
                    connection.recv(1)
                except (SSL.Error, OSError):
                    return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return int(listener.getsockname()[1])

    def test_good(self) -> None:
        """Chain, names, dates, version and cipher, and nothing to object."""
        shown = look("127.0.0.1", self.serve("good"), "sip.example.com", self.ca)
        text, good = report(shown, "sip.example.com", time.time())
        self.assertTrue(good, text)
        for words in ("TLSv1.3", "CN=good", "CN=authority", "sip.example.com, 127.0.0.1", "30 days left", "SIP peer: nothing to object"):
            self.assertIn(words, text)

    def test_not_trusted(self) -> None:
        """Without its authority both object, as both do to a wrong name."""
        shown = look("127.0.0.1", self.serve("good"))
        browser, peer = objections(shown, "127.0.0.1", time.time())
        self.assertEqual((len(browser), len(peer)), (1, 1))
        shown = look("127.0.0.1", self.serve("good"), "other.example", self.ca)
        browser, peer = objections(shown, "other.example", time.time())
        self.assertIn("is not for other.example", browser[0])
        self.assertIn("RFC 5922", peer[0])

    def test_wildcard(self) -> None:
        """A browser takes a wildcard, a SIP peer doesn't (RFC 5922 §7.2)."""
        shown = look("127.0.0.1", self.serve("wild"), "sip.example.com", self.ca)
        browser, peer = objections(shown, "sip.example.com", time.time())
        self.assertEqual((browser, len(peer)), ([], 1))

    def test_expired(self) -> None:
        """One that has ended is said to have."""
        shown = look("127.0.0.1", self.serve("good"), "sip.example.com", self.ca)
        browser, peer = objections(shown, "sip.example.com", time.time() + 40 * DAY)
        self.assertEqual((browser, peer), (["the certificate has expired"],) * 2)

    def test_no_tls(self) -> None:
        """Plain text, a closed connection and a closed port are told as what they are."""
        plain = self.serve("", b"HTTP/1.1 400 Bad\r\n\r\n")
        self.assertIn("no TLS handshake", str(self.assertRaises(ProbeError, look, "127.0.0.1", plain)))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.assertIn("no connection", str(self.assertRaises(ProbeError, look, "127.0.0.1", port)))
        self.assertIn("can't be read", str(self.assertRaises(ProbeError, look, "127.0.0.1", 1, "", "nowhere.pem")))

    def test_command(self) -> None:
        """``sipnode tls probe`` says it, and its exit status is 0 only where nobody objects."""
        port = self.serve("good")
        self.assertEqual(cli.main(["tls", "probe", f"127.0.0.1:{port}", "--name", "sip.example.com", "--ca", self.ca]), 0)
        self.assertEqual(cli.main(["tls", "probe", f"127.0.0.1:{self.serve('good')}", "--name", "x.example", "--ca", self.ca]), 1)
        self.assertRaises(SystemExit, cli.main, ["tls", "probe", "nowhere"])
