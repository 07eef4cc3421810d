"""Names of scanners."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.scanners import ScannerNames

HEAD = b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n"


class ScannerTests(SynchronousTestCase):
    """Found by User-Agent alone."""

    def setUp(self) -> None:
        self.names = ScannerNames(["friendly-scanner", "VaxSIPUserAgent", "a.b"])

    def test_found(self) -> None:
        """Whatever the case of header and name, also as a part of it, also in a message that was cut off."""
        for line in (
            b"User-Agent: friendly-scanner",
            b"USER-AGENT:Friendly-Scanner/1.0",
            b"user-agent : my vaxsipuseragent",
            b"User-Agent: a.b",
        ):
            self.assertTrue(self.names.find(HEAD + line + b"\r\n\r\n"), line)
            self.assertTrue(self.names.find(HEAD + line), line)

    def test_elsewhere(self) -> None:
        """The word in another header or in the body makes no scanner; names aren't patterns."""
        for rest in (
            b"Subject: friendly-scanner\r\n\r\n",
            b"User-Agent: phone\r\n\r\nfriendly-scanner",
            b"User-Agent: aXb\r\n\r\n",
            b"\xff\xfe",
        ):
            self.assertEqual(self.names.find(HEAD + rest), "")

    def test_no_names(self) -> None:
        """Without names nobody is one."""
        self.assertEqual(ScannerNames([""]).find(HEAD + b"User-Agent: friendly-scanner\r\n"), "")
