"""Tests of addresses with parameters: From, To, Contact, Route."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip import address
from sipnode.sip.address import NameAddr
from sipnode.sip.grammar import unquote
from tests.sip.kit import PROFILE, param_lists, quoted, uris


class AddressTests(SynchronousTestCase):
    """``name-addr`` and ``addr-spec`` (RFC 3261 §20.10)."""

    def check(self, text: str, display: str, uri: str, params: dict[str, str]) -> None:
        found = NameAddr.parse(text)
        self.assertEqual((found.display, found.uri_text, found.params, found.tag), (display, uri, params, params.get("tag", "")))

    def test_forms(self) -> None:
        """With and without display name, brackets and parameters."""
        self.check('"A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s', "A. G. Bell", "sip:agb@bell-telephone.com", {"tag": "a48s"})
        self.check("Anonymous <sip:c8@chicago.com>;tag=hyh8", "Anonymous", "sip:c8@chicago.com", {"tag": "hyh8"})
        self.check("caller one\ttwo<sip:a@b;lr?x=y,z>", "caller one\ttwo", "sip:a@b;lr?x=y,z", {})
        self.check("<sip:a@b>", "", "sip:a@b", {})
        self.check("< sip:a@b >", "", "sip:a@b", {})
        self.check("tel:+12;tag=1", "", "tel:+12", {"tag": "1"})

    def test_parameters_without_brackets(self) -> None:
        """Without brackets they are the header's, not the URI's."""
        self.check("sip:+12125551212@phone2net.com;tag=887s", "", "sip:+12125551212@phone2net.com", {"tag": "887s"})
        self.assertEqual(NameAddr.parse("sip:a@b;transport=tcp").uri.params, {})

    def test_parameters_inside_brackets(self) -> None:
        """A tag inside the brackets is no tag."""
        self.check("<sip:a@b;tag=1>;x=2", "", "sip:a@b;tag=1", {"x": "2"})

    def test_quotes(self) -> None:
        """A quoted name may hold brackets, commas, escapes, and even nothing (RFC 4475 §3.1.1.6)."""
        self.check(r'"<sip:x>, \"y\" \\" <sip:a@b>', r'<sip:x>, "y" \ '.strip(" "), "sip:a@b", {})
        self.check('"" <sip:a@b>', "", "sip:a@b", {})
        self.check('"x"<sip:a@b>;q="a;b"', "x", "sip:a@b", {"q": "a;b"})
        self.check('"A" <sip:a@b>;tag=1', "A", "sip:a@b", {"tag": "1"})
        self.check('"A" <\tsip:a@b >;tag=1', "A", "sip:a@b", {"tag": "1"})
        self.check('"A<B" <sip:a@b>', "A<B", "sip:a@b", {})
        for wrong in ('"A" "B" <sip:a@b>', '"A\\" <sip:a@b>', '"A" <sip:a@b', '"A" <sip:a<b>'):
            self.assertRaises(ParseError, NameAddr.parse, wrong)

    def test_tag(self) -> None:
        """Any case, any place, empty; a tag is a token."""
        for params, tag in (
            (";tag=A.b-c", "A.b-c"),
            (";x;TAG=1;y", "1"),
            ("; tag = 9 ", "9"),
            (";tag=", ""),
            (";tag", ""),
            ("", ""),
            (";Stage=2", ""),
        ):
            self.assertEqual(NameAddr.parse(f"<sip:a@b>{params}").tag, tag)

    def test_faults(self) -> None:
        """What can't be read is refused: so is a second value."""
        for text in (
            "",
            "<sip:a@b",
            "sip:a@b>",
            '"x <sip:a@b>',
            '"x" "y" <sip:a@b>',
            "<sip:a@b>x",
            "<sip:a@b>;tag=1, <sip:c@d>",
            "<sip:a@b>, <sip:c@d>",
            "<<sip:a@b>>",
            "sip:a@b, sip:c@d",
            "sip:a@b?x=y",
            "<sip:a@b>;tag=1;tag=2",
            "<sip:a@b>;tag=1 2",
            "<sip:a@b>;tag=<x>",
            '<sip:a@b>;x="y',
            "x, y <sip:a@b>",
        ):
            self.assertRaises(ParseError, NameAddr.parse, text)

    def test_uri_is_read_when_asked_for(self) -> None:
        """An address whose URI can't be read is an address still; the fault comes with the URI."""
        found = NameAddr.parse("<sip:not a uri>;tag=1")
        self.assertEqual(found.tag, "1")
        self.assertRaises(ParseError, getattr, found, "uri")
        self.assertIs(NameAddr.parse("<sip:a@b>").uri, NameAddr.parse("<sip:a@b>").uri)

    @PROFILE
    @given(st.one_of(st.just(""), quoted, st.sampled_from(["Bob", "Bob B."])), uris(), param_lists(), st.sampled_from(["", " ", "\t "]))
    def test_all_forms(self, display: str, uri: str, params: str, blank: str) -> None:
        """Every valid address gives back what it was made of."""
        found = NameAddr.parse(f"{display}{blank}<{uri}>{blank}{params}")
        self.assertEqual((found.display, found.uri_text), (unquote(display), uri))
        self.assertEqual(str(found.uri), uri)
        self.assertEqual(len(found.params), params_in(params))

    @PROFILE
    @given(st.text(st.sampled_from('abc <>";,\\=?:@%\r\n\t'), max_size=30))
    def test_any_text(self, text: str) -> None:
        """Any text is an address or a ParseError."""
        try:
            self.assertIsInstance(NameAddr.parse(text).params, dict)
        except ParseError as error:
            self.assertEqual(error.status, 400)

    def test_many(self) -> None:
        """However many addresses come by, those that are kept are bounded."""
        for number in range(address._CACHE_SIZE + 100):
            NameAddr.parse(f"<sip:{number}@cache.example>")
        self.assertTrue(0 < len(address._cache) <= address._CACHE_SIZE)


def params_in(text: str) -> int:
    """How many parameters a list of :func:`param_lists` has."""
    quote = escaped = False
    count = 0
    for character in text:
        if quote:
            quote = escaped or character != '"'
            escaped = character == "\\" and not escaped
        else:
            count += character == ";"
            quote = character == '"'
    return count
