"""Tests of URIs: what they hold, and when two are the same (RFC 3261 §19.1.4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip.uri import SipUri, unescape
from tests.sip.kit import PROFILE, uris

EQUAL = (
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
)
"""The examples of §19.1.4 for URIs that are equivalent."""

DIFFERENT = (
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
)
"""Its examples for URIs that are not, and the two that show why equivalence isn't transitive."""

MORE_DIFFERENT = (
    ("sip:a@b", "sips:a@b"),
    ("sip:a@b", "sip:b"),
    ("sip:a:x@b", "sip:a@b"),
    ("sip:a:x@b", "sip:a:X@b"),
    ("sip:a@b;user=phone", "sip:a@b"),
    ("sip:a@b;ttl=1", "sip:a@b"),
    ("sip:a@b;method=INVITE", "sip:a@b"),
    ("sip:a@b;maddr=192.0.2.1", "sip:a@b"),
    ("sip:a@b;x=1", "sip:a@b;x"),
    ("sip:a@b?x=1", "sip:a@b?x=2"),
    ("sip:a@b?x=1", "sip:a@b?x=1&x=1"),
    ("tel:+1234", "tel:+1235"),
    ("tel:+1234", "sip:+1234@b"),
    ("mailto:a@b", "mailto:a@c"),
)
MORE_EQUAL = (
    ("SIP:a@b", "sip:a@B"),
    ("sip:a@b;X=Y", "sip:a@b;x=y"),
    ("sip:a@b;lr", "sip:a@b;lr"),
    ("sip:a@b;x=%41", "sip:a@b;x=a"),
    ("sip:a@b?Subject=x", "sip:a@b?subject=%78"),
    ("sip:a%20b@c", "sip:a%20b@c;any=1"),
    ("sip:[2001:DB8::1]", "sip:[2001:db8::1]"),
    ("tel:+1-201-555;x=y", "TEL:+1-201-555;x=y"),
)


class ReadingTests(SynchronousTestCase):
    """The parts of a URI."""

    def test_parts(self) -> None:
        """All of them at once (RFC 3261 §19.1.1)."""
        uri = SipUri.parse("SIPS:Alice%20A;day=tuesday:se:cret@Example.COM:5062;Transport=TCP;lr?subject=x&a=b")
        self.assertEqual(
            (uri.scheme, uri.user, uri.password, uri.host, uri.port), ("sips", "Alice%20A;day=tuesday", "se:cret", "example.com", 5062)
        )
        self.assertEqual((uri.params, uri.query, uri.secure), ({"transport": "TCP", "lr": ""}, "subject=x&a=b", True))

    def test_least(self) -> None:
        """A host is enough."""
        uri = SipUri.parse("sip:h")
        self.assertEqual((uri.user, uri.host, uri.port, uri.params, uri.query, uri.secure), ("", "h", 0, {}, "", False))

    def test_semicolons(self) -> None:
        """A semicolon before the at sign belongs to the user, behind the host to the parameters (RFC 4475 §3.1.1.9)."""
        uri = SipUri.parse("sip:user;par=u%40example.net@example.com")
        self.assertEqual((uri.user, uri.host, uri.params), ("user;par=u%40example.net", "example.com", {}))
        uri = SipUri.parse("sip:example.com;x=a@b")
        self.assertEqual((uri.user, uri.host), ("example.com;x=a", "b"))

    def test_other_schemes(self) -> None:
        """tel: has a number and parameters; other schemes are kept whole."""
        tel = SipUri.parse("tel:+358-555-1234567;postd=pp22;phone-context=x")
        self.assertEqual(
            (tel.scheme, tel.user, tel.host, tel.params), ("tel", "+358-555-1234567", "", {"postd": "pp22", "phone-context": "x"})
        )
        other = SipUri.parse("nobodyKnowsThisScheme:totallyopaquecontent")
        self.assertEqual(
            (other.scheme, other.user, other.host, str(other)),
            ("nobodyknowsthisscheme", "", "", "nobodyKnowsThisScheme:totallyopaquecontent"),
        )

    def test_faults(self) -> None:
        """What is no URI is refused."""
        for text in (
            "",
            "sip:",
            "sip",
            "example.com",
            "<sip:a@b>",
            "sip:a@",
            "sip:@b",
            "sip:a@b:x",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:123456",
            "sip:a b@c",
            "sip:a@b c",
            "sip:a@b@c",
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:[host]",
            "sip:a%zz@b",
            "sip:a@b;x=%1",
            "sip:a@b;x=1;X=2",
            "sip:a@b;=1",
            "sip:-a",
            "sip:a@exa_mple-",
            "\u017fip:a@b",
            "sip:\u212a",
            "sip:a@b:٥٠٦٠",
            "sip:a\n@b",
            'sip:a@b;x="y"',
        ):
            self.assertRaises(ParseError, SipUri.parse, text)

    def test_aor(self) -> None:
        """The address-of-record: user decoded, host in lower case, nothing else (RFC 3261 §10.3)."""
        self.assertEqual(SipUri.parse("sips:%6aOE%20x:secret@Example.COM:5061;transport=tls?a=b").aor, "jOE x@example.com")
        self.assertEqual(SipUri.parse("sip:Example.com").aor, "example.com")

    def test_unescape(self) -> None:
        """UTF-8 is decoded as a whole; octets that are none survive both ways."""
        self.assertEqual(unescape("%c3%a9t%C3%A9"), "été")
        self.assertEqual(unescape("%ff").encode("utf-8", "surrogateescape"), b"\xff")
        self.assertEqual(unescape("é%00"), "é\0")

    def test_without_params(self) -> None:
        """Named parameters go, in any case; the rest of the text stays as written."""
        for text, after in (
            ("sip:a@b;alias=1~2~3;lr", "sip:a@b;lr"),
            ("sip:a@b;ALIAS=1;x?q=1", "sip:a@b;x?q=1"),
            ("sip:a@b;alias=1", "sip:a@b"),
            ("sip:a;alias=1@b;alias=1", "sip:a;alias=1@b"),
            ("sip:a:;alias=1@b;alias=1", "sip:a:;alias=1@b"),
            ("sip:b;alias=1", "sip:b"),
            ("sip:a@b", "sip:a@b"),
            ("tel:1;alias=2", "tel:1"),
        ):
            self.assertEqual(SipUri.parse(text).without_params("alias"), after)

    @PROFILE
    @given(uris())
    def test_round_trip(self, text: str) -> None:
        """Every valid URI is read and written as it was, and its parts say all that it says."""
        uri = SipUri.parse(text)
        self.assertEqual(str(uri), text)
        userinfo = (uri.user + (f":{uri.password}" if uri.password else "") + "@") if uri.user else ""
        params = "".join(f";{name}={value}" if value else f";{name}" for name, value in uri.params.items())
        rebuilt = f"{uri.scheme}:{userinfo}{uri.host}{f':{uri.port}' if uri.port else ''}{params}{'?' + uri.query if uri.query else ''}"
        self.assertTrue(SipUri.parse(rebuilt).equals(uri))
        self.assertEqual(uri.without_params(), text)

    @PROFILE
    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is a URI or a ParseError."""
        for candidate in (text, "sip:" + text):
            try:
                self.assertEqual(str(SipUri.parse(candidate)), candidate)
            except ParseError as error:
                self.assertEqual(error.status, 400)

    def test_many(self) -> None:
        """However many URIs come by, those that are kept are bounded, and a long one isn't kept."""
        from sipnode.sip import uri

        for number in range(uri._CACHE_SIZE + 100):
            SipUri.parse(f"sip:{number}@cache.example")
        self.assertTrue(0 < len(uri._cache) <= uri._CACHE_SIZE)
        long = "sip:" + "a" * 300 + "@b"
        self.assertIsNot(SipUri.parse(long), SipUri.parse(long))


class EqualityTests(SynchronousTestCase):
    """RFC 3261 §19.1.4."""

    def check(self, one: str, two: str, equal: bool) -> None:
        for a, b in ((one, two), (two, one)):
            self.assertEqual(SipUri.parse(a).equals(SipUri.parse(b)), equal, f"{a} and {b}")

    def test_examples_of_the_rfc(self) -> None:
        """All examples of the section, both ways round."""
        for one, two in EQUAL:
            self.check(one, two, True)
        for one, two in DIFFERENT:
            self.check(one, two, False)

    def test_more(self) -> None:
        """Each rule that the section has no example for."""
        for one, two in MORE_EQUAL:
            self.check(one, two, True)
        for one, two in MORE_DIFFERENT:
            self.check(one, two, False)

    @PROFILE
    @given(uris(), uris())
    def test_symmetric(self, one: str, two: str) -> None:
        """Equality doesn't depend on who asks, and everything equals itself."""
        a, b = SipUri.parse(one), SipUri.parse(two)
        self.assertEqual(a.equals(b), b.equals(a))
        self.assertTrue(a.equals(a))

    @PROFILE
    @given(uris(), st.sampled_from(["transport", "user", "ttl", "method", "maddr"]))
    def test_parameters_that_count(self, text: str, name: str) -> None:
        """transport, user, ttl, method and maddr that only one of two has make them differ; others don't."""
        uri = SipUri.parse(text)
        query = "?" + uri.query if uri.query else ""
        base = text.removesuffix(query)
        if name not in uri.params:
            self.check(text, f"{base};{name}=x{query}", False)
        if "other" not in uri.params:
            self.check(text, f"{base};other=x{query}", True)
