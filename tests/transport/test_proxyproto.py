"""Promises of ``sipnode.transport.proxyproto``."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.transport.proxyproto import MOST, SIGNATURE, ProxyHeaderError, read_header


def v2(command: int = 0x21, kind: int = 0x11, block: bytes = b"", length: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes((command, kind)) + (len(block) if length is None else length).to_bytes(2, "big") + block


V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.1") + b"\x9c\x40\x13\xc4"
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(socket.AF_INET6, "::1") + b"\x9c\x40\x13\xc4"
GOOD = {
    b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 5060\r\n": ("203.0.113.9", 40000),
    b"PROXY TCP6 2001:DB8:0::9 ::1 40000 5060\r\n": ("2001:db8::9", 40000),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN 1 2 3 4\r\n": None,
    v2(block=V4): ("203.0.113.9", 40000),
    v2(kind=0x21, block=V6): ("2001:db8::9", 40000),
    v2(block=V4 + b"\x04\x00\x02ab"): ("203.0.113.9", 40000),
    v2(command=0x20, kind=0): None,
    v2(command=0x20, block=b"x" * 100): None,
    v2(kind=0): None,
    v2(kind=0x31, block=bytes(216)): None,
}
BAD = (
    b"OPTIONS sip:a SIP/2.0\r\n",
    b"proxy TCP4 203.0.113.9 10.0.0.1 40000 5060\r\n",
    b"PROXY TCP5 203.0.113.9 10.0.0.1 40000 5060\r\n",
    b"PROXY TCP4 2001:db8::9 10.0.0.1 40000 5060\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 40000\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 040 5060\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 65536\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 +1 5060\r\n",
    b"PROXY TCP4  203.0.113.9 10.0.0.1 40000 5060\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0 40000 5060\r\n",
    b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 5060\n",
    b"PROXY TCP4 " + b"1" * 120,
    v2(command=0x11, block=V4),
    v2(command=0x22, block=V4),
    v2(kind=0x12, block=V4),
    v2(kind=0x11, block=V4[:11]),
    v2(kind=0x21, block=V4),
    v2(kind=0x31, block=V4),
    v2(length=60000),
)


class HeaderTests(SynchronousTestCase):
    """Both versions."""

    def test_whole(self) -> None:
        """The client that a header names, and where it ends, whatever stands behind it."""
        for octets, client in GOOD.items():
            found = read_header(octets + b"\r\nOPTIONS")
            assert found is not None, octets
            self.assertEqual((found.client, found.size), (client, len(octets)))

    def test_cut(self) -> None:
        """Of a header that isn't whole more is waited for, wherever it is cut."""
        for octets in GOOD:
            for size in range(len(octets)):
                self.assertIsNone(read_header(octets[:size]), octets[:size])

    def test_refused(self) -> None:
        """What differs from the specification in anything is no header."""
        for octets in BAD:
            self.assertRaises(ProxyHeaderError, read_header, octets)

    @given(st.one_of(st.binary(max_size=3000), st.binary(max_size=3000).map(SIGNATURE.__add__), st.binary().map(b"PROXY ".__add__)))
    def test_any_octets(self, octets: bytes) -> None:
        """Whatever comes it is a header, no header, or the beginning of one that is within bounds."""
        try:
            found = read_header(octets)
        except ProxyHeaderError:
            return
        if found is None:
            self.assertLess(len(octets), MOST)
        else:
            self.assertLessEqual(found.size, len(octets))
