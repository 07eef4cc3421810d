"""Tests of lists, parameters, quotes and folds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip.grammar import is_token, parse_params, quote, split_commas, split_params, unfold, unquote
from tests.sip.kit import PROFILE, param_lists, quoted, tokens, uris

text = st.text(max_size=20)


class ListTests(SynchronousTestCase):
    """Comma lists."""

    def test_values(self) -> None:
        """Commas inside quotes and brackets don't count; empty values stay, so that nothing is lost."""
        for value, parts in (
            ("a", ["a"]),
            (" a ,\tb", ["a", "b"]),
            ('"a, b" <sip:x,y>, c', ['"a, b" <sip:x,y>', "c"]),
            ('"\\", " <x>, y', ['"\\", " <x>', "y"]),
            ("a,,b,", ["a", "", "b", ""]),
            ("", [""]),
        ):
            self.assertEqual(split_commas(value), parts)

    def test_left_open(self) -> None:
        """A quote or bracket that stays open is a fault."""
        for value in ('a, "b', "a, <b", 'a, "b\\"', '"a" "b, c'):
            self.assertRaises(ParseError, split_commas, value)

    @PROFILE
    @given(
        st.lists(st.one_of(tokens, quoted, uris().map("<{}>".format), st.tuples(quoted, uris()).map("{0[0]} <{0[1]}>".format)), min_size=1)
    )
    def test_any_list(self, values: list[str]) -> None:
        """Values that are joined come apart again."""
        self.assertEqual(split_commas(", ".join(values)), values)
        self.assertEqual(split_commas(",".join(values)), values)


class ParamTests(SynchronousTestCase):
    """``;name=value``."""

    def test_values(self) -> None:
        """Flags, tokens, quoted values, white space everywhere, names in lower case."""
        self.assertEqual(
            parse_params(';A=b ; C = "d;\\"e" ;f;g= ;h=[::1]:5060'), {"a": "b", "c": 'd;"e', "f": "", "g": "", "h": "[::1]:5060"}
        )
        self.assertEqual(parse_params(""), {})
        self.assertEqual(parse_params(" ; "), {})

    def test_faults(self) -> None:
        """What is no list of parameters, or names one twice."""
        for params in ("a", ";a b", ";a=b c", ';a="b', ";a;A", ";=b", ";a=b=<", ";é=1", ';a="b"c'):
            self.assertRaises(ParseError, parse_params, params)

    def test_split(self) -> None:
        """Cut at semicolons outside quotes."""
        self.assertEqual(split_params(";a=1; b ;;c"), ["a=1", "b", "c"])
        self.assertEqual(split_params(';a="x;y" ;b'), ['a="x;y"', "b"])
        self.assertRaises(ParseError, split_params, ';a="x;y')

    @PROFILE
    @given(param_lists())
    def test_split_is_parse(self, params: str) -> None:
        """Both ways of taking a list apart find the same names."""
        self.assertEqual([part.partition("=")[0].lower() for part in split_params(params)], list(parse_params(params)))
        self.assertEqual("".join(";" + part for part in split_params(params)), params)


class QuoteTests(SynchronousTestCase):
    """Quoted strings and tokens."""

    @PROFILE
    @given(text)
    def test_round_trip(self, value: str) -> None:
        """What is quoted is unquoted again."""
        self.assertEqual(unquote(quote(value)), value)

    def test_unquote(self) -> None:
        """Text without quotes, or with one, stays."""
        for value in ("a", '"', '"a', 'a"', ""):
            self.assertEqual(unquote(value), value)

    def test_tokens(self) -> None:
        """The characters of RFC 3261 §25.1, and no others."""
        self.assertTrue(is_token("aZ9-.!%*_+`'~"))
        for value in ("", "a b", "a/b", "é", "a@b", 'a"', "a\n"):
            self.assertFalse(is_token(value))

    def test_unfold(self) -> None:
        """Each fold is one blank."""
        self.assertEqual(unfold("a \t\r\n \t b\r\n c"), "a b c")
        self.assertEqual(unfold("a  b"), "a  b")
