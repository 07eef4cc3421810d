from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.hosts import bare_host, normal_host
from sipnode.sip.uri import SipUri


class NormalHostTests(SynchronousTestCase):
    """Is this host that host?"""

    def test_names(self) -> None:
        """Case, the dot of the root, escapes, and letters of other scripts don't make another domain of it."""
        for text in ("Example.COM", "example.com.", "EXAMPLE.com..", "ex%61mple.com", "ｅｘａｍｐｌｅ.com", "example。com"):
            self.assertEqual(normal_host(text), "example.com", text)
        self.assertEqual(normal_host("Bücher.Example."), normal_host("XN--BCHER-KVA.example"))

    def test_ipv4(self) -> None:
        """Every way of a C library to write an IPv4 address is that address, also inside of IPv6."""
        odd = ("127.1", "127.0.1", "0x7f.0.0.1", "0177.0.0.01", "2130706433", "0x7f000001", "127.000.000.001")
        for text in (*odd, "127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]", "::FFFF:7f00:1"):
            self.assertEqual(normal_host(text), "127.0.0.1", text)

    def test_ipv6(self) -> None:
        """An IPv6 address has one spelling, in brackets; sockets get it without."""
        for text in ("[2001:DB8:0:0::1]", "2001:db8::1", "[2001:0db8:0000:0000:0000:0000:0000:0001]"):
            self.assertEqual((normal_host(text), bare_host(text)), ("[2001:db8::1]", "2001:db8::1"))

    def test_names_that_look_like_numbers(self) -> None:
        """A realm such as 3000, and a name that only begins or ends like an address, stay what they are."""
        for text in ("3000", "100", "1.2.3.4.5", "256.1.1.1", "192.168.08.1", "host1", "a.0x1g", "[:::1]", "", "..", "1.2.3.4.example"):
            self.assertEqual(normal_host(text), text.rstrip("."))

    @given(st.text(max_size=80))
    def test_never_fails(self, text: str) -> None:
        """Whatever stands there is made to one text, and that text to itself."""
        once = normal_host(text)
        self.assertEqual(normal_host(once), once)

    def test_full_width_percent_sign(self) -> None:
        """A letter that folds to a percent sign makes no escape of what follows: two readings would be two hosts."""
        for text in ("\uff0514\xe9", "\xe9\uff0541.test", "a.\uff0561\xe9.b."):
            once = normal_host(text)
            self.assertEqual((normal_host(once), "\x14" in once, "%" in once), (once, False, False), text)

    def test_uris(self) -> None:
        """A URI has its host in that spelling, so that everybody who compares hosts compares the same, and is written as it came."""
        for text in ("sip:a@EXAMPLE.test.:5070", "sip:a@127.1", "sip:a@[::FFFF:127.0.0.1]"):
            uri = SipUri.parse(text)
            self.assertEqual((uri.host, uri.text), (normal_host(text[6:].removesuffix(":5070")), text))
        self.assertTrue(SipUri.parse("sip:a@b.test.").equals(SipUri.parse("sip:a@B.test")))
        self.assertEqual(SipUri.parse("sip:a@B.test.").aor, "a@b.test")
