"""Promises of ``sipnode.transport.forwarded``."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.forwarded import Client, client_of

OURS = {"10.0.0.5", "10.0.0.6", "2001:db8::5"}


def by_x(*values: str, proto: str = "") -> Client:
    """Of X-Forwarded-For."""
    return client_of("10.0.0.5", OURS.__contains__, values, (proto,) if proto else ())


def by_rfc(*values: str) -> Client:
    """Of Forwarded."""
    return client_of("10.0.0.5", OURS.__contains__, forwarded=values)


class ClientTests(SynchronousTestCase):
    """Who asks."""

    def test_nearest(self) -> None:
        """The nearest hop that is none of our proxies, whatever the client wrote before it."""
        self.assertEqual(by_x("203.0.113.9").host, "203.0.113.9")
        self.assertEqual(by_x("127.0.0.1, 198.51.100.1", "203.0.113.9").host, "203.0.113.9")
        self.assertEqual(by_x("127.0.0.1, 203.0.113.9, 10.0.0.6").host, "203.0.113.9")
        self.assertEqual(by_rfc("for=127.0.0.1;proto=https", "for=203.0.113.9, for=10.0.0.6").host, "203.0.113.9")

    def test_forms(self) -> None:
        """Ports and brackets as they are written by proxies."""
        for text in ("203.0.113.9:4711", '"203.0.113.9:4711"', " 203.0.113.9 "):
            self.assertEqual(by_x(text).host, "203.0.113.9", text)
        for text in ("2001:db8::9", "[2001:db8::9]", "[2001:db8::9]:4711"):
            self.assertEqual(by_x(text).host, "2001:db8::9", text)
        for text in ('for="[2001:db8::9]:4711"', 'For="[2001:db8::9]";by=x', 'by="a,b;c";for="[2001:db8::9]"'):
            self.assertEqual(by_rfc(text).host, "2001:db8::9", text)

    def test_nothing_usable(self) -> None:
        """A hop that hides or is none leaves whoever told of it."""
        for text in ("unknown", "_hidden", "", "::1%eth0", "300.1.1.1", "203.0.113.9, unknown"):
            self.assertEqual(by_x(text).host, "10.0.0.5", text)
        for text in ("for=unknown", "for=_x", "proto=https", '"', "for=203.0.113.9, !"):
            self.assertEqual(by_rfc(text).host, "10.0.0.5", text)
        self.assertEqual(by_x("unknown, 10.0.0.6").host, "10.0.0.6")
        self.assertEqual(client_of("10.0.0.5", OURS.__contains__).host, "10.0.0.5")

    def test_both(self) -> None:
        """Where a proxy writes X-Forwarded-For, what stands in Forwarded is the client's own."""
        found = client_of("10.0.0.5", OURS.__contains__, ("203.0.113.9",), (), ("for=198.51.100.1;proto=https",))
        self.assertEqual(found, Client("203.0.113.9", False))

    def test_secure(self) -> None:
        """https as the nearest hop says."""
        self.assertEqual([by_x("203.0.113.9", proto=text).secure for text in ("https", "http", "https, http", "http, https")],
                         [True, False, False, True])  # fmt: skip
        self.assertEqual([by_rfc(text).secure for text in ("for=203.0.113.9;proto=https", "for=1.2.3.4;proto=https, for=203.0.113.9")],
                         [True, False])  # fmt: skip

    def test_long(self) -> None:
        """Of a list without end only the end is looked at."""
        self.assertEqual(by_x("198.51.100.1, " * 100_000 + "203.0.113.9").host, "203.0.113.9")
        self.assertEqual(by_rfc("for=198.51.100.1, " * 100_000 + "for=203.0.113.9").host, "203.0.113.9")
        self.assertEqual(by_rfc('for="' + "\\" * 5000 + '", for=203.0.113.9').host, "203.0.113.9")

    @given(st.text(), st.text())
    def test_any_text(self, one: str, other: str) -> None:
        """Whatever is written the answer is an address."""
        self.assertTrue(client_of("10.0.0.5", OURS.__contains__, (one,), (other,), (other,)).host)
        self.assertTrue(by_rfc(one, other).host)
