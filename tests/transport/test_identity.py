"""Promises of ``sipnode.transport.identity``."""

from __future__ import annotations

from OpenSSL.crypto import X509
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.identity import certificate_matches, sip_domains

from .certificates import make


class CertificateMatches(SynchronousTestCase):
    """RFC 5922 §7."""

    def test_names(self) -> None:
        """A SIP URI decides where there is one, else a DNS name, never a wildcard, never the common name."""
        for names, wanted, right in (
            (("uri:sip:example.com",), "example.com", True),
            (("uri:sip:example.com",), "example.org", False),
            (("uri:sip:example.com", "example.org"), "example.org", False),
            (("uri:https://example.com", "example.org"), "example.org", True),
            (("example.com",), "example.com", True),
            (("example.com",), "EXAMPLE.com", True),
            (("example.com",), "a.example.com", False),
            (("*.example.com",), "a.example.com", False),
            (("192.0.2.1",), "192.0.2.1", True),
            (("192.0.2.1",), "192.0.2.2", False),
            (("2001:db8::1",), "2001:db8::1", True),
            ((), "example.com", False),
            (("example.com",), "", False),
        ):
            certificate = X509.from_cryptography(make("example.com", names).certificate)
            self.assertEqual(certificate_matches(certificate, wanted), right, (names, wanted))

    def test_domains(self) -> None:
        """What a peer has proved to be: its SIP URIs, else its DNS names without wildcards."""
        for names, domains in (
            (("uri:sip:Example.com", "uri:sips:b.example", "other.org"), ("example.com", "b.example")),
            (("Example.com", "*.example.com", "192.0.2.1"), ("example.com",)),
            (("uri:https://example.com",), ()),
            ((), ()),
        ):
            certificate = X509.from_cryptography(make("example.com", names).certificate)
            self.assertEqual(sip_domains(certificate), domains, names)
