"""Tests of :mod:`sipnode.trunk.proof`: whom our password answers, and how often."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.digest import ha1, matches, parse_credentials
from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message
from sipnode.trunk.proof import Account

URI = "sip:100@provider.test"


def challenged(*values: str, status: int = 407) -> SipResponse:
    """A challenge with these values."""
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    asked = [f"{name}: {value}" for value in values]
    lines = (f"SIP/2.0 {status} Prove it", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "CSeq: 1 INVITE", *asked)
    message = parse_message("\r\n".join((*lines, "", "")).encode())
    assert isinstance(message, SipResponse)
    return message


def offer(realm: str = "provider.test", more: str = ', algorithm=MD5, qop="auth"') -> str:
    """The value of a challenge."""
    return f'Digest realm="{realm}", nonce="abc"{more}'


class ProofTests(SynchronousTestCase):
    """One account."""

    def setUp(self) -> None:
        self.account = Account("us", "secret", "provider.test")

    def test_answers(self) -> None:
        """401 and 407 are answered, by MD5 and SHA-256, with qop and without; what comes out proves the password."""
        for status, name in ((401, "authorization"), (407, "proxy-authorization")):
            for algorithm in ("MD5", "SHA-256"):
                for more in (f", algorithm={algorithm}", f', algorithm={algorithm}, qop="auth,auth-int", opaque="o"'):
                    found = self.account.answer(challenged(offer(more=more), status=status), "INVITE", URI, 0)
                    assert found is not None
                    self.assertEqual(found[0], name)
                    sent = parse_credentials(found[1])
                    self.assertEqual((sent.username, sent.realm, sent.uri, sent.algorithm), ("us", "provider.test", URI, algorithm))
                    self.assertTrue(matches(sent, ha1(algorithm, "us", "provider.test", "secret"), "INVITE"))

    def test_strongest(self) -> None:
        """Of several challenges the one with the strongest known algorithm is answered, whatever stands beside it."""
        values = [offer(more=f", algorithm={name}") for name in ("MD5", "SHA-256", "SHA-512-256")]
        found = self.account.answer(challenged(*values, "Basic x", "Digest"), "INVITE", URI, 0)
        assert found is not None
        self.assertIn("algorithm=SHA-256", found[1])

    def test_not_answered(self) -> None:
        """Another realm, an unknown algorithm, no qop of ours, what can't be read, a nonce of pages: nothing is computed."""
        values = (
            offer("other.test"), offer("Provider.test"), offer(more=", algorithm=MD5-sess"), offer(more=', qop="auth-int"'), "Basic x",
            'Digest realm="provider.test"', f'Digest realm="provider.test", nonce="{"n" * 5000}"',
        )  # fmt: skip
        for value in values:
            self.assertIsNone(self.account.answer(challenged(value), "INVITE", URI, 0), value[:80])

    def test_once(self) -> None:
        """A request is answered for once, and once more where the nonce was too old; never a third time."""
        stale = challenged(offer(more=', stale=true, qop="auth"'))
        self.assertIsNone(self.account.answer(challenged(offer()), "INVITE", URI, 1))
        self.assertIsNotNone(self.account.answer(stale, "INVITE", URI, 1))
        self.assertIsNone(self.account.answer(stale, "INVITE", URI, 2))

    def test_nobody(self) -> None:
        """Without user or password nothing is answered, and no text shows the password."""
        for account in (Account("", "secret", "provider.test"), Account("us", "", "provider.test")):
            self.assertIsNone(account.answer(challenged(offer()), "INVITE", URI, 0))
        self.assertNotIn("secret", repr(self.account))
