from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.auth.claims import FOREIGN, Claim, claim_of, is_anonymous, shown_realm
from sipnode.errors import ParseError
from sipnode.sip.build import request
from sipnode.sip.hosts import normal_host
from sipnode.sip.message import SipRequest
from sipnode.sip.uri import SipUri


def is_local(host: str) -> bool:
    return normal_host(host) in ("example.test", "192.0.2.1", "sip.example.test")


def message(sender: str, *headers: tuple[str, str], method: str = "INVITE", to: str = "<sip:bob@example.test>") -> SipRequest:
    return request(method, "sip:bob@example.test", [("from", f"{sender};tag=1"), ("to", to), *headers])


class ClaimTests(SynchronousTestCase):
    """Whom does a request say to be from?"""

    def test_spellings(self) -> None:
        """Every spelling of a host of ours is a claim; what reads as nothing is refused."""
        for uri, realm in (
            ("sip:alice@example.test.", "example.test"),
            ("sips:alice@EXAMPLE.TEST:5071;transport=tcp", "example.test"),
            ("SIP:alice@192.0.2.1:9", "192.0.2.1"),
            ("sip:alice@192.0.513", "192.0.2.1"),
            ("sip:alice@[::ffff:192.0.2.1]", "192.0.2.1"),
            ("sip:alice@0xc0000201", "192.0.2.1"),
            ("sip:alice:password@sip.Example.test", "sip.example.test"),
            ("sip:alice@example.test;maddr=198.51.100.1", "example.test"),
        ):
            self.assertEqual(claim_of(message(f'"someone" <{uri}>'), is_local), Claim("alice", realm), uri)
        self.assertEqual(claim_of(message("<sip:%61lice@example.test>"), is_local), Claim("%61lice", "example.test"))
        for host in ("%65xample.test", "example.test@else.test", "exämple.test", "example.test\\.else.test", "[example.test]"):
            uri = f"sip:alice@{host}"
            self.assertRaises(ParseError, claim_of, message(f"<{uri}>"), is_local)

    def test_other_schemes(self) -> None:
        """A number of our own plan is a claim, a global one is a stranger's; nothing else is a caller."""
        self.assertEqual(claim_of(message("<tel:100;phone-context=EXAMPLE.test.>"), is_local), Claim("100", "example.test"))
        for uri in ("tel:+15550100", "tel:100;phone-context=else.test", "tel:100;phone-context=+1"):
            self.assertEqual(claim_of(message(f"<{uri}>"), is_local), FOREIGN)
        for scheme in ("http", "https", "mailto", "im", "pres", "xmpp", "urn", "x"):
            fault = self.assertRaises(ParseError, claim_of, message(f"<{scheme}:alice@example.test>"), is_local)
            self.assertEqual(fault.status, 403)

    def test_register(self) -> None:
        """REGISTER is about To, whatever From says."""
        made = message("<sip:x@else.test>", method="REGISTER", to="<sip:alice@Example.test.>")
        self.assertEqual(claim_of(made, is_local), Claim("alice", "example.test"))
        self.assertEqual(claim_of(message("<sip:x@else.test>", method="REGISTER", to="<http:alice@example.test>"), is_local), FOREIGN)

    def test_anonymous(self) -> None:
        """Who hides its name may say to us who it is (RFC 3325 §6)."""
        preferred = ("p-preferred-identity", "<tel:+15550100>, <sip:alice@example.test>")
        self.assertEqual(claim_of(message("<sip:anonymous@anonymous.invalid>", preferred), is_local), Claim("alice", "example.test"))
        self.assertEqual(claim_of(message("<sip:anonymous@anonymous.invalid>"), is_local), FOREIGN)
        self.assertEqual(claim_of(message("<sip:eve@else.test>", preferred), is_local), FOREIGN)
        for uri in ("sip:x@anonymous.invalid", "sip:Anonymous@else.test", "sip:a@invalid."):
            self.assertTrue(is_anonymous(SipUri.parse(uri)), uri)
        self.assertFalse(is_anonymous(SipUri.parse("sip:a@b.test")))

    def test_shown_realm(self) -> None:
        """Credentials for a realm of ours are seen however they are written."""
        for value, realm in (
            ('Digest username="a", realm="Example.test."', "example.test"),
            ('Digest realm="else.test", username="a"', ""),
            ("Bearer x", ""),
        ):
            self.assertEqual(shown_realm(message("<sip:a@else.test>", ("proxy-authorization", value)), is_local), realm)
