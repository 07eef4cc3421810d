"""Tests of `sipnode.media.bencode`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import MediaError
from sipnode.media.bencode import MAX_BYTES, MAX_DEPTH, BencodeError, decode, decode_dictionary, encode

values = st.recursive(
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.binary(max_size=12), inner, max_size=5),
    max_leaves=25,
)


class EncodeTests(SynchronousTestCase):
    """Writing."""

    @given(values)
    def test_round_trip(self, value: object) -> None:
        """What was written is read as the same value."""
        self.assertEqual(decode(encode(value)), value)

    def test_canonical(self) -> None:
        """Keys are sorted by their octets whatever order they came in; text is UTF-8; tuples are lists."""
        self.assertEqual(encode({"b": 1, "a": ("x", -2), "B": {}}), b"d1:Bde1:al1:xi-2ee1:bi1ee")
        self.assertEqual(encode("é"), b"2:\xc3\xa9")

    def test_octets_that_are_no_utf8_survive(self) -> None:
        """A Call-ID with an odd octet, decoded by surrogateescape, goes out as it came in."""
        self.assertEqual(encode(b"a\xffb".decode("utf-8", "surrogateescape")), b"3:a\xffb")

    def test_no_form(self) -> None:
        """What bencoding can't hold is a named error, also when it would be ambiguous."""
        deep: list[object] = []
        for _ in range(MAX_DEPTH + 1):
            deep = [deep]
        for value in (None, 1.5, True, {1: 2}, {"a": 1, b"a": 2}, [object()], deep):
            self.assertRaises(BencodeError, encode, value)


class DecodeTests(SynchronousTestCase):
    """Reading."""

    @given(st.binary(max_size=60) | st.text("0123456789ilde:-", max_size=60).map(str.encode))
    def test_hostile_octets(self, data: bytes) -> None:
        """Any octets give a value or a BencodeError, and a value that is read writes back to something that reads the same."""
        try:
            value = decode(data)
        except BencodeError:
            return
        self.assertEqual(decode(encode(value)), value)

    def test_any_order_of_keys(self) -> None:
        """rtpengine doesn't sort its keys."""
        self.assertEqual(decode_dictionary(b"d7:warning1:x6:result2:oke"), {b"warning": b"x", b"result": b"ok"})

    def test_refused(self) -> None:
        """Each fault is refused on its own."""
        for data in (
            b"", b"x", b"i", b"ie", b"i-e", b"i-0e", b"i01e", b"i-01e", b"i+1e", b"i1 e", b"i1", b"i" + b"9" * 21 + b"e", b"1:", b"01:a",
            b"3:ab", b"-1:a", b"99999999999999999999:a", b"1", b"l", b"li1e", b"d", b"d1:a", b"d1:ai1e", b"di1ei2ee", b"dle1:ae",
            b"d1:ai1e1:ai2ee", b"i1ei2e", b"0:0:", b"i\xb2e", b"1a:b", b"e",
        ):  # fmt: skip
            with self.assertRaises(BencodeError, msg=repr(data)) as caught:
                decode(data)
            self.assertEqual(caught.exception.status, 500)

    def test_depth(self) -> None:
        """Nesting is read up to the limit and refused beyond, however deep."""
        self.assertTrue(decode(b"l" * MAX_DEPTH + b"e" * MAX_DEPTH) == eval("[" * MAX_DEPTH + "]" * MAX_DEPTH))
        for depth in (MAX_DEPTH + 1, 30_000):
            self.assertRaises(BencodeError, decode, b"l" * depth + b"e" * depth)

    def test_size(self) -> None:
        """More than a datagram holds isn't read at all."""
        self.assertRaises(BencodeError, decode, b"%d:" % MAX_BYTES + b"x" * MAX_BYTES)

    def test_dictionary_wanted(self) -> None:
        """An ng message is a dictionary; the error is a MediaError for whoever catches those."""
        self.assertRaises(MediaError, decode_dictionary, b"le")
