from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sipnode.errors import ParseError
from sipnode.sip.digest import (
    MD5,
    SHA256,
    authorization,
    challenge,
    digest,
    ha1,
    is_digest,
    is_safe,
    matches,
    parse_challenge,
    parse_credentials,
    response,
)

# RFC 7616 §3.9.1: one request, answered with either algorithm.
RFC7616 = (
    'Digest username="Mufasa",\r\n realm="http-auth@example.org",\r\n uri="/dir/index.html",\r\n algorithm={algorithm},\r\n '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",\r\n nc=00000001,\r\n cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",\r\n '
    'qop=auth,\r\n response="{response}",\r\n opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC7616_MD5 = "8ca523f5e9506fed4657c9700eebdbec"
RFC7616_SHA256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
# RFC 2617 §3.5.
RFC2617 = (
    'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, '
    'nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
PLAIN = 'Digest username="a", realm="r", nonce="n", uri="sip:b", response="' + "0" * 32 + '"'
PIECES = [
    *(', username="b"', ",realm=r", ', nonce=""', ',uri="sip:b,c"', f', response="{"f" * 32}"', ", algorithm=MD5", ',algorithm="SHA-256"'),
    *(", algorithm=md5", ", qop=auth", ',qop="auth,auth-int"', ", qop=AUTH", ",nc=00000001", ', nc="0000000a"', ", nc=0000000é", ", nc=1"),
    *(',cnonce="c"', ', cnonce="a\\"b"', ', cnonce="a"b"', ', cnonce="', ', opaque="o" ', ",  qop=auth", ', Username="a"'),
    *(", x=1", ', x="y"', ",", " ", '"', "=", "\\", "\t", ",\r\n qop=auth", ', cnonce = "d"', ', cnonce=""', ",qop=", ",qop"),
]
"""Of lists of parameters: usual ones, odd ones and wrong ones."""


def outcome(value: str) -> list[object]:
    """All that is read of credentials, or why they can't be."""
    try:
        found = parse_credentials(value)
    except ParseError as error:
        return [type(error), error.status, error.reason]
    named = [found.username, found.realm, found.nonce, found.uri, found.response, found.algorithm]
    return [*named, found.qop, found.nc, found.nc_text, found.cnonce]


class VectorTests(SynchronousTestCase):
    """The arithmetic against numbers of others."""

    def test_rfc7616(self) -> None:
        """The example of RFC 7616 §3.9.1 comes out with MD5 and with SHA-256."""
        for algorithm, wanted in ((MD5, RFC7616_MD5), (SHA256, RFC7616_SHA256)):
            sent = parse_credentials(RFC7616.format(algorithm=algorithm, response=wanted))
            secret = ha1(algorithm, sent.username, sent.realm, "Circle of Life")
            self.assertTrue(matches(sent, secret, "GET"))
            self.assertFalse(matches(sent, secret, "HEAD"))
            self.assertFalse(matches(sent, ha1(algorithm, sent.username, sent.realm, "Circle of life"), "GET"))

    def test_rfc2617(self) -> None:
        """The example of RFC 2617 §3.5 comes out; its credentials name no algorithm, which means MD5."""
        sent = parse_credentials(RFC2617)
        self.assertEqual(sent.algorithm, MD5)
        self.assertTrue(matches(sent, ha1(MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"), "GET"))

    def test_rfc2617_stored_hash(self) -> None:
        """The hash that a user file keeps is the one of RFC 2617's example."""
        self.assertEqual(ha1(MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"), "939e7578ed9e3c518a452acee763bce9")

    def test_rfc2069(self) -> None:
        """Without qop the shorter form of RFC 2069 §2.4 (with the erratum's number) comes out."""
        secret = ha1(MD5, "Mufasa", "testrealm@host.com", "CircleOfLife")
        proof = response(MD5, secret, "GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
        self.assertEqual(proof, "1949323746fe6a43ef61f9606e7febea")

    def test_octets(self) -> None:
        """Hashes run over octets: UTF-8 as it came, and octets that aren't UTF-8 too."""
        self.assertEqual(ha1(SHA256, "J\u00e4s\u00f8n Doe", "api@example.org", "x"), digest(SHA256, "Jäsøn Doe:api@example.org:x"))
        self.assertNotEqual(digest(MD5, "\udcff"), digest(MD5, "?"))

    def test_unknown_algorithm(self) -> None:
        """An algorithm that isn't built is a KeyError, never a guess."""
        for name in ("SHA-512-256", "MD5-sess", "md5", ""):
            self.assertRaises(KeyError, digest, name, "x")


class CredentialTests(SynchronousTestCase):
    """Reading of credentials."""

    def refused(self, value: str) -> None:
        fault = self.assertRaises(ParseError, parse_credentials, value)
        self.assertEqual(fault.status, 400, value)

    def test_fields(self) -> None:
        """Every field comes out without its quotes."""
        sent = parse_credentials(RFC7616.format(algorithm="SHA-256", response=RFC7616_SHA256.upper()))
        self.assertEqual((sent.username, sent.realm, sent.uri), ("Mufasa", "http-auth@example.org", "/dir/index.html"))
        self.assertEqual((sent.algorithm, sent.qop, sent.nc, sent.nc_text), ("SHA-256", "auth", 1, "00000001"))
        self.assertEqual(sent.response, RFC7616_SHA256)
        self.assertEqual(sent.cnonce, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")

    def test_tolerant(self) -> None:
        """Order, case, white space, empty list members, unknown parameters and quotes around tokens don't matter."""
        value = (
            'dIGEST\t, URI = "sip:b" ,Response="' + "A" * 32 + '", REALM="r,=\\"x",nonce="n",x-new=1, ,'
            'Username="a b", QOP="auth", NC="0000000a", CNonce="c", algorithm="md5" ,'
        )
        sent = parse_credentials(value)
        self.assertEqual((sent.username, sent.realm, sent.uri, sent.response), ("a b", 'r,=\\"x', "sip:b", "a" * 32))
        self.assertEqual((sent.qop, sent.nc, sent.algorithm), ("auth", 10, "MD5"))

    def test_no_qop(self) -> None:
        """Credentials in the form of RFC 2069 are read and told apart."""
        sent = parse_credentials(PLAIN)
        self.assertEqual((sent.qop, sent.nc, sent.cnonce), ("", -1, ""))

    def test_missing(self) -> None:
        """Each required parameter is missed by name."""
        for name in ("username", "realm", "nonce", "uri", "response"):
            value = PLAIN.replace(f"{name}=", f"x-{name}=")
            fault = self.assertRaises(ParseError, parse_credentials, value)
            self.assertIn(name, fault.reason)

    def test_unquoted(self) -> None:
        """What has to be in quotes and isn't is a fault."""
        for name, text in (("username", "a"), ("realm", "r"), ("nonce", "n"), ("response", "0" * 32)):
            self.refused(PLAIN.replace(f'{name}="{text}"', f"{name}={text}"))
        self.refused(PLAIN + ", qop=auth, nc=00000001, cnonce=c")

    def test_twice(self) -> None:
        """A parameter that is there twice is a fault, in whatever case."""
        self.refused(PLAIN + ', Realm="other"')
        self.refused(PLAIN + ", x=1, x=1")

    def test_bad_hash(self) -> None:
        """A response that is no hash is a fault."""
        for text in ("", "0" * 31, "0" * 33, "g" * 32, "é" * 32, "\udcff" * 32, "0" * 63):
            self.refused(PLAIN.replace("0" * 32, text))

    def test_bad_count(self) -> None:
        """A nonce count that isn't eight hex digits, or is missing beside qop, is a fault."""
        for nc in ("1", "000000001", "0000000g", "+0000001", "0x000001", "٠٠٠٠٠٠٠١"):
            self.refused(PLAIN + f', qop=auth, nc="{nc}", cnonce="c"')
        self.refused(PLAIN + ', qop=auth, cnonce="c"')
        self.refused(PLAIN + ", qop=auth, nc=00000001")

    def test_junk(self) -> None:
        """What isn't a list of parameters is a fault."""
        for value in (
            "",
            "Digest",
            "Digest ",
            "Digestusername",
            "Basic dXNlcjpwYXNz",
            PLAIN + "x",
            PLAIN + " ; x=1",
            PLAIN + ', x="open',
            PLAIN + ", x=",
            PLAIN + ", =x",
            PLAIN + ", x",
            PLAIN.replace('"a", ', '"a" '),
            PLAIN + "\x00",
            PLAIN + ', x="\\',
        ):
            self.refused(value)

    def test_bounded(self) -> None:
        """Length and number of parameters are bounded, and long junk takes no long time."""
        self.refused(PLAIN + ', x="' + "y" * 4096 + '"')
        self.refused(PLAIN + "".join(f", x{number}=1" for number in range(40)))
        for piece in ("\\", '"', ",", " ", "=", "a", 'a="', "\\\\\\"):
            self.refused("Digest " + piece * (4000 // len(piece)))

    @given(st.text(max_size=200))
    @example('username="\\"')
    def test_never_another_error(self, text: str) -> None:
        """Whatever stands there is credentials or a ParseError."""
        for value in (text, "Digest " + text, PLAIN + "," + text):
            try:
                parse_credentials(value)
            except ParseError:
                continue

    @given(
        st.permutations(["username", "realm", "nonce", "uri", "response", "cnonce", "qop", "nc", "algorithm"]),
        st.from_regex(r'([^"\\\r\n]|\\.){1,20}', fullmatch=True).filter(lambda text: len(text) < 100),
    )
    def test_round_trip(self, order: list[str], text: str) -> None:
        """What a client writes in any order is read as it was written, escapes included."""
        values = {name: f'"{text}"' for name in ("username", "realm", "nonce", "uri")}
        values |= {"response": f'"{"ab" * 16}"', "cnonce": '"c"', "qop": "auth", "nc": "000000ff", "algorithm": "SHA-256"}
        sent = parse_credentials("Digest " + ", ".join(f"{name}={values[name]}" for name in order))
        self.assertEqual((sent.username, sent.realm, sent.nonce, sent.uri), (text,) * 4)
        self.assertEqual((sent.nc, sent.algorithm, sent.cnonce), (255, SHA256, "c"))

    @given(st.lists(st.sampled_from(PIECES), max_size=8))
    def test_usual_and_odd(self, pieces: list[str]) -> None:
        """What phones write is read by a shorter way, and as by the long one, which a comma at the end of the list asks for."""
        value = PLAIN + "".join(pieces)
        self.assertEqual(outcome(value), outcome(value + ","))
        value = 'Digest opaque="o"' + "".join(pieces)
        self.assertEqual(outcome(value), outcome(value + ","))

    def test_scheme(self) -> None:
        """Other schemes are told apart, in any case."""
        self.assertTrue(is_digest('digest realm="x"'))
        self.assertTrue(is_digest('DIGEST\trealm="x"'))
        for value in ("Bearer abc", "Digestive x", "", "digest"):
            self.assertFalse(is_digest(value))


class ChallengeTests(SynchronousTestCase):
    """Writing and reading of challenges."""

    def test_round_trip(self) -> None:
        """A challenge that we write is read back."""
        for algorithm in (SHA256, MD5):
            for stale in (False, True):
                found = parse_challenge(challenge("example.test", "abc", algorithm, stale))
                self.assertEqual(
                    (found.realm, found.nonce, found.algorithm, found.qop, found.stale), ("example.test", "abc", algorithm, ["auth"], stale)
                )

    def test_others(self) -> None:
        """Challenges of other servers are read: several qop values, opaque, no algorithm."""
        found = parse_challenge('Digest realm="r", qop="auth, auth-int", nonce="n", opaque="o", stale=FALSE')
        self.assertEqual((found.qop, found.opaque, found.stale, found.algorithm), (["auth", "auth-int"], "o", False, "MD5"))
        self.assertRaises(ParseError, parse_challenge, 'Digest realm="r"')
        self.assertRaises(ParseError, parse_challenge, 'Bearer realm="r"')

    def test_answer(self) -> None:
        """A client's answer to a challenge proves the password, with and without qop."""
        for text in (challenge("r", "n", SHA256), challenge("r", "n", MD5), 'Digest realm="r", nonce="n", opaque="o"'):
            offer = parse_challenge(text)
            value = authorization(offer, "REGISTER", "sip:r", "alice", "secret", "cnonce", 17)
            sent = parse_credentials(value)
            self.assertTrue(matches(sent, ha1(offer.algorithm, "alice", "r", "secret"), "REGISTER"))
            self.assertFalse(matches(sent, ha1(offer.algorithm, "alice", "r", "Secret"), "REGISTER"))
            self.assertEqual(sent.nc, 17 if offer.qop else -1)

    def test_wrong_length(self) -> None:
        """A hash of the other algorithm's length doesn't match, and is no fault."""
        sent = parse_credentials(PLAIN.replace("0" * 32, "0" * 64))
        self.assertFalse(matches(sent, "0" * 32, "REGISTER"))

    def test_is_safe(self) -> None:
        """Text that would end a quoted string is told."""
        self.assertTrue(is_safe("example.test é"))
        for text in ('"', "\\", "\r", "\x00", "\x7f"):
            self.assertFalse(is_safe(text))
