"""Tests of the alias parameter: exactly one, everything else octet for octet."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.nat.alias import PROTO, TRANSPORT, Alias, handle_ruri_alias, read_alias, set_contact_alias


class SetTests(SynchronousTestCase):
    """Into a Contact."""

    def put(self, value: str, host: str = "192.0.2.7", port: int = 40000, proto: int = 5) -> str:
        return set_contact_alias(value, host, port, proto)

    def test_brackets(self) -> None:
        """The alias is the last URI parameter; display name and header parameters stay."""
        self.assertEqual(
            self.put('"A <B>" <sip:a@h.invalid;transport=ws;ob> ; expires=3'),
            '"A <B>" <sip:a@h.invalid;transport=ws;ob;alias=192.0.2.7~40000~5> ; expires=3',
        )

    def test_headers(self) -> None:
        """It stands before the headers of the URI."""
        self.assertEqual(self.put("<sip:a@h?x=y>"), "<sip:a@h;alias=192.0.2.7~40000~5?x=y>")

    def test_addr_spec(self) -> None:
        """A URI without brackets gets them, else the alias would belong to the header."""
        self.assertEqual(self.put("sip:a@h;expires=3"), "<sip:a@h;alias=192.0.2.7~40000~5>;expires=3")
        self.assertEqual(self.put(" sip:a@h"), " <sip:a@h;alias=192.0.2.7~40000~5>")

    def test_replaces(self) -> None:
        """Older aliases go, in any case and anywhere, the seed's two as well."""
        for value in (
            "<sip:a@h;alias=1.2.3.4~1~1>",
            "<sip:a@h;alias=1.2.3.4~1~6;alias=1.2.3.4~1~6>",
            "<sip:a@h;ALIAS=x>",
            "<sip:a@h;alias>",
        ):
            self.assertEqual(self.put(value), "<sip:a@h;alias=192.0.2.7~40000~5>")
        self.assertEqual(self.put("<sip:a@h;alias=1~1~1;ob>"), "<sip:a@h;ob;alias=192.0.2.7~40000~5>")

    def test_lookalikes(self) -> None:
        """A user part or another parameter that looks like one stays."""
        for value in ("<sip:a;alias=b@h{}>", "<sip:a@h;aliases=1{}>", "<sip:a@h;x=alias{}>"):
            self.assertEqual(self.put(value.format("")), value.format(";alias=192.0.2.7~40000~5"))

    def test_ipv6(self) -> None:
        """IPv6 stands in brackets, given with them or without."""
        for host in ("2001:db8::1", "[2001:db8::1]"):
            self.assertEqual(self.put("<sip:a@h>", host, 1, 1), "<sip:a@h;alias=[2001:db8::1]~1~1>")

    def test_nothing_to_do(self) -> None:
        """``*`` and what holds no address come back as they are."""
        for value in ("*", "", "<", "<>", "<sip:a@h", "a b", '"x', "<a>"):
            self.assertEqual(self.put(value), value)

    def test_first_only(self) -> None:
        """Of a list only the first address is changed."""
        self.assertEqual(self.put("<sip:a@h>, <sip:b@i>"), "<sip:a@h;alias=192.0.2.7~40000~5>, <sip:b@i>")
        self.assertEqual(self.put("sip:a@h, <sip:b@i>"), "<sip:a@h;alias=192.0.2.7~40000~5>, <sip:b@i>")
        self.assertEqual(self.put('"A, B" <sip:a@h>'), '"A, B" <sip:a@h;alias=192.0.2.7~40000~5>')

    def test_numbers(self) -> None:
        """The numbers of the transports are Kamailio's."""
        self.assertEqual(PROTO, {"UDP": 1, "TCP": 2, "TLS": 3, "SCTP": 4, "WS": 5, "WSS": 6})
        self.assertEqual(TRANSPORT[6], "WSS")


class HandleTests(SynchronousTestCase):
    """Off a Request-URI."""

    def test_taken_off(self) -> None:
        """The URI is as it was, and where it pointed is known."""
        uri, alias = handle_ruri_alias("sip:a@h.invalid;transport=ws;alias=192.0.2.7~40000~6;ob")
        self.assertEqual(uri, "sip:a@h.invalid;transport=ws;ob")
        self.assertEqual(alias, ("192.0.2.7", 40000, 6))
        assert alias is not None
        self.assertEqual(alias.transport, "WSS")

    def test_none(self) -> None:
        """A URI without one comes back as it is."""
        for uri in ("sip:a@h", "sip:a;alias=1.2.3.4~1~1@h", "sip:a@h?alias=1.2.3.4~1~1", "sip:a@h;aliasx=1.2.3.4~1~1", "", "tel:+1"):
            self.assertEqual(handle_ruri_alias(uri), (uri, None))

    def test_case(self) -> None:
        """Parameter names have no case."""
        self.assertEqual(handle_ruri_alias("sip:a@h;Alias=192.0.2.7~1~1"), ("sip:a@h", Alias("192.0.2.7", 1, 1)))

    def test_last_counts(self) -> None:
        """Of several all go and the last, added by the nearest hop, counts."""
        uri, alias = handle_ruri_alias("sip:a@h;alias=192.0.2.1~1~1;alias=192.0.2.2~2~2")
        self.assertEqual((uri, alias), ("sip:a@h", ("192.0.2.2", 2, 2)))

    def test_ipv6(self) -> None:
        """Brackets come off."""
        self.assertEqual(handle_ruri_alias("sip:a@h;alias=[2001:db8::1]~5~2")[1], ("2001:db8::1", 5, 2))

    def test_malformed(self) -> None:
        """One that can't be read goes off and points nowhere."""
        for value in ("", "=", "=x", "=1.2.3.4~0~1", "=1.2.3.4~65536~1", "=1.2.3.4~5~0", "=1.2.3.4~5~7", "=1.2.3.4~5", "=~5~1", "=a b~5~1"):
            self.assertEqual(handle_ruri_alias(f"sip:a@h;alias{value};ob"), ("sip:a@h;ob", None), value)
        self.assertIsNone(read_alias("1.2.3.4~\u0661~1"))


_TOKEN = st.text("abcxyz019-", min_size=1, max_size=6)
_PARAMS = st.lists(st.tuples(_TOKEN.filter(lambda n: n != "alias"), _TOKEN | st.just("")), max_size=4)


@st.composite
def uris(draw: st.DrawFn) -> str:
    """sip URIs with parameters and headers, and users that look like parameters."""
    user = draw(st.sampled_from(["", "a@", "a;alias=1.2.3.4~1~1@", "a?b@", "+1;ext=2@", "%61:pw@"]))
    host = draw(st.sampled_from(["h", "h.invalid", "192.0.2.1:5060", "[2001:db8::1]:99"]))
    params = "".join(f";{name}={value}" if value else f";{name}" for name, value in draw(_PARAMS))
    return f"{draw(st.sampled_from(['sip', 'sips']))}:{user}{host}{params}{draw(st.sampled_from(['', '?a=b', '?a=b&alias=c']))}"


class RoundTripTests(SynchronousTestCase):
    """There and back."""

    @given(
        uris(),
        st.sampled_from(["192.0.2.7", "2001:db8::7"]),
        st.integers(1, 65535),
        st.sampled_from(sorted(TRANSPORT)),
        st.sampled_from(["{}", "<{}>", '"x" <{}>;q=1', '"a<b" <{}>, <sip:z@z>', "n <{}>"]),
        st.integers(1, 3),
    )
    @settings(max_examples=200, deadline=None)
    def test_round_trip(self, uri: str, host: str, port: int, proto: int, form: str, times: int) -> None:
        """However often it is set, one alias stands in the URI; taking it off gives the URI and the source back."""
        if form == "{}" and any(character in uri for character in ";?"):
            form = "<{}>"  # such a URI must have brackets (RFC 3261 §20.10)
        value = form.format(uri)
        for _ in range(times):
            value = set_contact_alias(value, host, port, proto)
        head, _, tail = form.replace("{}", "<{}>" if form == "{}" else "{}").partition("{}")
        self.assertTrue(value.startswith(head) and value.endswith(tail))
        inner = value[len(head) : len(value) - len(tail)]
        self.assertEqual(handle_ruri_alias(inner), (uri, (host, port, proto)))

    @given(st.text(max_size=60) | st.text(";alis=~@<>?\"':.1[]* ", max_size=60))
    @settings(max_examples=200, deadline=None)
    def test_any_text(self, text: str) -> None:
        """No text raises, and what was taken off stays off."""
        set_contact_alias(text, "192.0.2.7", 1, 1)
        uri, _ = handle_ruri_alias(text)
        self.assertEqual(handle_ruri_alias(uri), (uri, None))
