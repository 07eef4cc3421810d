"""Promises of ``sipnode.insight.masking``: secrets are covered however they are spelt."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.insight.masking import masked

SECRETS = {
    "Authorization": ('Digest username="a", {nonce}="SECRET", {response}="SECRET"', ""),
    "PROXY-authorization": ("Bearer SECRET", ""),
    "www-AUTHENTICATE": ('Digest realm="r", NONCE="SECRET"', ""),
    "Authentication-Info": ('nextnonce="SECRET"', ""),
    "Record-Route": ("<sip:192.0.2.1;lr;SN=SECRET>", ""),
    "Contact": ("<sip:a@192.0.2.1;PN-prid=SECRET;x=1>;Access_Token=SECRET", ""),
    "IDENTITY": ("SECRET;info=<https://x>", ""),
    "Content-Type": ("APPLICATION/dtmf-Relay", "SIGNAL=SECRET\r\nDuration=100\r\n"),
    "CONTENT-type": ("application/sdp", "A=Crypto:1 AES INLINE:SECRET|2^20\r\na=ICE-pwd:SECRET\r\nK=clear:SECRET\r\na=TLS-id:SECRET\r\n"),
    "c": ("application/DTMF", "SECRET"),
}


class MaskingTests(SynchronousTestCase):
    """Messages with one secret each."""

    def test_spelling(self) -> None:
        """No secret is left, whatever the case of the names around it, and every message keeps its length and lines."""
        for name, (value, body) in SECRETS.items():
            for change in (str, str.upper, str.lower):
                text = value.replace("{nonce}", change("Nonce")).replace("{response}", change("Response"))
                said = f"INVITE sip:b@x SIP/2.0\r\n{change(name)}: {text}\r\nSubject: none\r\n\r\n{body}".encode()
                seen = masked(said)
                self.assertNotIn(b"SECRET", seen, name)
                self.assertEqual((len(seen), seen.count(b"\r\n")), (len(said), said.count(b"\r\n")), name)
                self.assertIn(b"Subject: none", seen)
