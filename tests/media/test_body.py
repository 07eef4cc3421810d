"""Tests of `sipnode.media.body`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.media.body import MAX_PARTS, SdpPart, find_sdp, hides_sdp, locate
from sipnode.sip.message import SipRequest

SDP = b"v=0\r\ns=-\r\n"
NEW = b"v=0\r\ns=relayed\r\n"


def message(body: bytes, content_type: str | None = "application/sdp", encoding: str | None = None) -> SipRequest:
    """An INVITE with that body."""
    request = SipRequest("INVITE", "sip:bob@a.test", [], [], body)
    if content_type is not None:
        request.set("content-type", content_type)
    if encoding is not None:
        request.set("content-encoding", encoding)
    return request


def multipart(*parts: bytes, boundary: bytes = b"b1", preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    """A multipart body in canonical form."""
    return preamble + b"".join(b"\r\n--%b\r\n%b" % (boundary, part) for part in parts) + b"\r\n--%b--" % boundary + epilogue


def swapped(content_type: str, body: bytes) -> bytes | None:
    """The body with NEW in place of its SDP, None where it has none."""
    part = locate(content_type, body)
    return None if part is None else part.replaced(body, NEW)


class PlainTests(SynchronousTestCase):
    """A body that is SDP altogether."""

    def test_found_and_replaced(self) -> None:
        """The whole body is the SDP, whatever case and parameters its type has."""
        for content_type in ("application/sdp", "Application/SDP", "application/sdp ; charset=utf-8"):
            part = find_sdp(message(SDP, content_type))
            self.assertEqual(part, SdpPart(0, len(SDP)))
            self.assertEqual((part.of(SDP), part.replaced(SDP, NEW)), (SDP, NEW))

    def test_nothing_there(self) -> None:
        """No body, no type, another type: nothing."""
        self.assertIsNone(find_sdp(message(b"")))
        self.assertIsNone(find_sdp(message(SDP, None)))
        for content_type in (
            "text/plain",
            "application/sdpx",
            "",
            "application/sdp-fragment",
            "multipart/mixed",
            'multipart/mixed;boundary=""',
        ):
            self.assertIsNone(find_sdp(message(SDP, content_type)))

    def test_encoded(self) -> None:
        """An encoded body is left alone and reported; identity is none."""
        self.assertIsNone(find_sdp(message(SDP, encoding="gzip")))
        self.assertTrue(hides_sdp(message(SDP, encoding="gzip")))
        self.assertTrue(hides_sdp(message(SDP, "multipart/mixed;boundary=b", "deflate")))
        self.assertFalse(hides_sdp(message(SDP, "text/plain", "gzip")))
        self.assertFalse(hides_sdp(message(b"", encoding="gzip")))
        self.assertFalse(hides_sdp(message(SDP)))
        self.assertIsNotNone(find_sdp(message(SDP, encoding="Identity")))


class MultipartTests(SynchronousTestCase):
    """A body of several parts."""

    def test_only_the_sdp_changes(self) -> None:
        """Every octet around the SDP stays: preamble, heads, other parts, epilogue."""
        before = b"Content-Type: text/plain\r\n\r\nv=0 isn't SDP here\r\n"
        part = b"content-type:application/sdp\r\nX-Other: 1\r\n\r\n%b"
        after = b"Content-Type: application/octet-stream\r\n\r\n\x00\xff--b1x\r\n"
        for preamble, epilogue in ((b"", b"\r\n"), (b"hello", b"\r\nbye\r\n--b1\r\n"), (b"", b"")):
            body, expected = (multipart(before, part % sdp, after, preamble=preamble, epilogue=epilogue) for sdp in (SDP, NEW))
            self.assertEqual(swapped("multipart/mixed;boundary=b1", body), expected)

    def test_starts_with_its_boundary(self) -> None:
        """No line end is needed before the first boundary."""
        body = multipart(b"Content-Type: application/sdp\r\n\r\n" + SDP)[2:]
        self.assertEqual(swapped("multipart/mixed;boundary=b1", body), body.replace(SDP, NEW))

    def test_boundary_parameter(self) -> None:
        """A boundary may be quoted, with odd characters, after other parameters."""
        for value, boundary in (('"b 1:\'()"', b"b 1:'()"), ("b.+*", b"b.+*"), (r'"a\"b"', b'a"b')):
            body = multipart(b"Content-Type: application/sdp\r\n\r\n" + SDP, boundary=boundary)
            self.assertEqual(swapped(f"Multipart/Related; type=x ; Boundary = {value} ; q=1", body), body.replace(SDP, NEW))

    def test_own_length_follows(self) -> None:
        """A part's own Content-Length is that of the new SDP."""
        head = b"Content-Type: application/sdp\r\nContent-Length: %d\r\nX: 1\r\n\r\n%b"
        self.assertEqual(
            swapped("multipart/mixed;boundary=b1", multipart(head % (len(SDP), SDP), b"Content-Length: 3\r\n\r\nabc")),
            multipart(head % (len(NEW), NEW), b"Content-Length: 3\r\n\r\nabc"),
        )

    def test_bare_line_feeds(self) -> None:
        """Parts divided by LF alone are found as well."""
        body = multipart(b"Content-Type: application/sdp\r\n\r\n" + SDP).replace(b"\r\n", b"\n")
        self.assertEqual(swapped("multipart/mixed;boundary=b1", body), body.replace(SDP.replace(b"\r\n", b"\n"), NEW))

    def test_nested(self) -> None:
        """SDP inside a multipart inside a multipart is found; deeper than the limit it isn't, and costs nothing."""
        body = b"Content-Type: application/sdp\r\n\r\n" + SDP
        for level in range(2, 6):
            body = b"Content-Type: multipart/alternative;boundary=b%d\r\n\r\n" % level + multipart(body, boundary=b"b%d" % level)
            found = swapped("multipart/mixed;boundary=b1", multipart(body))
            self.assertEqual(found, multipart(body.replace(SDP, NEW)) if level < 4 else None)

    def test_encoded_or_foreign_parts(self) -> None:
        """A part in base64 or gzip, and one for an early session, is passed over for the next."""
        for field in (b"Content-Transfer-Encoding: base64", b"Content-Encoding: gzip", b"Content-Disposition: early-session"):
            hidden = b"Content-Type: application/sdp\r\n%b\r\n\r\nAAAA" % field
            plain = b"Content-Type: application/sdp\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: session;x=1\r\n\r\n"
            self.assertIsNone(swapped("multipart/mixed;boundary=b1", multipart(hidden)))
            self.assertEqual(swapped("multipart/mixed;boundary=b1", multipart(hidden, plain + SDP)), multipart(hidden, plain + NEW))

    def test_first_of_several(self) -> None:
        """Of two SDP parts the first counts."""
        part = b"Content-Type: application/sdp\r\n\r\n"
        self.assertEqual(swapped("multipart/mixed;boundary=b1", multipart(part + SDP, part + SDP)), multipart(part + NEW, part + SDP))

    def test_too_many_parts(self) -> None:
        """Beyond the limit nothing is looked at."""
        parts = [b"\r\nx"] * MAX_PARTS
        sdp = b"Content-Type: application/sdp\r\n\r\n" + SDP
        self.assertIsNone(swapped("multipart/mixed;boundary=b1", multipart(*parts, sdp)))
        self.assertIsNotNone(swapped("multipart/mixed;boundary=b1", multipart(*parts[1:], sdp)))

    def test_long_boundary(self) -> None:
        """A boundary longer than anybody's isn't looked for: to make a pattern of it would cost more than to read it."""
        for length, found in ((70, True), (200, True), (201, False), (60000, False)):
            body = b"--" + b"a" * length + b"\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--" + b"a" * length + b"--"
            self.assertEqual(locate(f"multipart/mixed;boundary={'a' * length}", body) is not None, found)

    def test_cut_short(self) -> None:
        """A part that no boundary closes reaches to the end, for the other side may read it so."""
        head = b"--b1\r\nContent-Type: application/sdp\r\n\r\n"
        self.assertEqual(swapped("multipart/mixed;boundary=b1", head + SDP), head + NEW)
        self.assertIsNone(swapped("multipart/mixed;boundary=b1", b"--b1"))
        self.assertIsNone(swapped("multipart/mixed;boundary=b1", b"--b1\r\n"))

    @given(
        st.lists(
            st.sampled_from([b"--b1", b"--b1--", b"\r\n", b"\n", b"Content-Type: application/sdp", b"\r\n\r\n", b"v=0", b" ", b"--"]),
            max_size=20,
        )
    )
    def test_hostile_bodies(self, pieces: list[bytes]) -> None:
        """Whatever the pieces, what is found lies within the body and replacing it by itself changes nothing."""
        body = b"".join(pieces)
        part = locate("multipart/mixed;boundary=b1", body)
        if part is not None:
            self.assertTrue(0 <= part.start <= part.end <= len(body))
            self.assertEqual(part.replaced(body, part.of(body)), body)
