"""Tests of :mod:`sipnode.demo.certificate`."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from sipnode.demo import certificate


class CertificateTests(SynchronousTestCase):
    """A pair of files that a TLS server can use."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.files = (folder / "cert.pem", folder / "key.pem")

    def test_made(self) -> None:
        """The pair fits together, names domain and address, and only its owner reads the key."""
        certificate.ensure(*self.files, "a.test", "127.0.0.1")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self.files)
        made = x509.load_pem_x509_certificate(self.files[0].read_bytes())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertIn("a.test", names.get_values_for_type(x509.DNSName))
        self.assertEqual([str(address) for address in names.get_values_for_type(x509.IPAddress)], ["127.0.0.1"])
        self.assertEqual(stat.S_IMODE(self.files[1].stat().st_mode), 0o600)

    def test_kept(self) -> None:
        """A pair that serves is kept, so that a browser asks only once."""
        certificate.ensure(*self.files, "a.test", "127.0.0.1")
        before = [file.read_bytes() for file in self.files]
        certificate.ensure(*self.files, "a.test", "127.0.0.1")
        self.assertEqual([file.read_bytes() for file in self.files], before)

    def test_replaced(self) -> None:
        """Another address, or a file that can't be read, gets a new pair."""
        certificate.ensure(*self.files, "a.test", "127.0.0.1")
        before = self.files[0].read_bytes()
        certificate.ensure(*self.files, "a.test", "::1")
        after = self.files[0].read_bytes()
        self.assertNotEqual(after, before)
        self.files[0].write_bytes(b"nonsense")
        certificate.ensure(*self.files, "a.test", "::1")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self.files)
