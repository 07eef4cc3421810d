"""Digest arithmetic: reading and writing of credentials and challenges, and the hashes between them.

Implements: RFC 7616 (SIP's use of it: RFC 3261 §22.4), RFC 8760 (SHA-256 beside MD5), RFC 2617 for the old phones that
quote ``nc``. Not built: ``auth-int``, ``-sess`` algorithms, ``userhash``, ``username*``.
Nothing here knows time, users or secrets of the server; text in, text out. Hashes run over the octets as received.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import unquote

MD5: Final = "MD5"
SHA256: Final = "SHA-256"

_MAX_VALUE: Final = 4096
_MAX_PARAMS: Final = 32
_SCHEME: Final = frozenset(("digest ", "digest\t"))
# One pass over the list: a parameter with the comma behind it, or all the rest as junk (third group), which makes it a fault.
_TOKEN: Final = r"[\w!#$%&'*+.^`|~-]"
_TEXT: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ITEM: Final = re.compile(rf"[\s,]*+({_TOKEN}++)\s*+=\s*+({_TEXT}|{_TOKEN}++)\s*+(?:,[\s,]*+|\Z)|(.++)", re.S | re.A)
_NAMES: Final = {
    blank + name: name
    for name in ("username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "opaque", "qop", "nc")
    for blank in (" ", "")
}
_WORDS: Final = frozenset((MD5, SHA256, "auth"))
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_REALM: Final = re.compile(rf"""(?<![\w-])realm\s*+=\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+"?|{_TOKEN}++)""", re.I | re.S | re.A)
_UNSAFE: Final = re.compile(r'["\\\x00-\x1f\x7f]')


class NoProof(ParseError):
    """Credentials that name a user and prove nothing: no nonce or no response, or an empty one."""


class Credentials:
    """Credentials of a client in (Proxy-)Authorization. Quoted values are without their quotes, escapes kept as written.

    Attributes:
        algorithm: Upper case; ``MD5`` when the parameter was absent (RFC 7616 §3.4).
        qop: Lower case, "" when absent (the form of RFC 2069).
        nc: Value of the nonce count, -1 when absent; ``nc_text`` is it as it goes into the hash.
        response: Lower-case hex.
    """

    __slots__ = ("algorithm", "cnonce", "nc", "nc_text", "nonce", "qop", "realm", "response", "uri", "username")

    def __init__(
        self, username: str, realm: str, nonce: str, uri: str, response: str, algorithm: str, qop: str, nc_text: str, cnonce: str
    ) -> None:
        self.username = username
        self.realm = realm
        self.nonce = nonce
        self.uri = uri
        self.response = response
        self.algorithm = algorithm
        self.qop = qop
        self.nc_text = nc_text
        self.nc = int(nc_text, 16) if nc_text else -1
        self.cnonce = cnonce


class Challenge:
    """A server's challenge in WWW- or Proxy-Authenticate; ``qop`` holds the offered values in lower case."""

    __slots__ = ("algorithm", "nonce", "opaque", "qop", "realm", "stale")

    def __init__(self, realm: str, nonce: str, algorithm: str, qop: list[str], stale: bool, opaque: str) -> None:
        self.realm = realm
        self.nonce = nonce
        self.algorithm = algorithm
        self.qop = qop
        self.stale = stale
        self.opaque = opaque


def is_digest(value: str) -> bool:
    """Whether a header value uses the Digest scheme (another scheme isn't ours to judge)."""
    return value[:7].lower() in _SCHEME


def realms_of(value: str) -> list[str]:
    """Every realm that stands in a credentials value, whatever the scheme and however broken the rest of it is: who forwards credentials
    has to know for whom they could be. Quotes and escapes are taken off.
    """
    return [unquote(text.rstrip('"') + '"' if text[:1] == '"' else text) for text in _REALM.findall(value)]


def _params(value: str) -> dict[str, str]:
    if len(value) > _MAX_VALUE:
        raise ParseError("a digest header that is too long")
    if value[:7].lower() not in _SCHEME:
        raise ParseError("not a digest header")
    usual = _usual(value)
    if usual is not None:
        return usual
    pairs = _ITEM.findall(value, 7)
    found: dict[str, str] = {name.lower(): text for name, text, junk in pairs if not junk}
    if len(found) != len(pairs):
        raise ParseError("a digest header that can't be read, or a parameter that is there twice")
    if len(pairs) > _MAX_PARAMS:
        raise ParseError("too many digest parameters")
    return found


def _usual(value: str) -> dict[str, str] | None:
    """The parameters of a value as phones write it, found by cutting it at its commas; None for any other, which says nothing of it.

    What is cut at commas is right where each piece is whole: a comma inside quotes leaves one that begins with a quote and ends without.
    """
    if "\\" in value:
        return None
    pieces = value[7:].split(",")
    found: dict[str, str] = {}
    for piece in pieces:
        written, _, text = piece.partition("=")
        name = _NAMES.get(written)
        if name is None:
            return None
        if text[:1] == '"':
            if text[-1] != '"' or text.count('"') != 2:
                return None
        elif text not in _WORDS and not (len(text) == 8 and text.isascii() and text.isalnum()):
            return None
        found[name] = text
    return found if len(found) == len(pieces) else None


def _quoted(params: dict[str, str], name: str, required: bool) -> str:
    text = params.get(name)
    if text is None:
        if required:
            raise ParseError(f"digest without {name}")
        return ""
    if text[0] != '"':
        raise ParseError(f"digest {name} without quotes")
    return text[1:-1]


def _token(params: dict[str, str], name: str) -> str:
    # Clients older than RFC 7616 put quotes around these, so both forms are read.
    text = params.get(name)
    return "" if text is None else text[1:-1] if text[0] == '"' else text


def parse_credentials(value: str) -> Credentials:
    """Read one Authorization or Proxy-Authorization value.

    Order and case of parameter names are free; what RFC 7616 §3.4 has in quotes must be in quotes; unknown parameters are
    skipped; a parameter that is there twice is a fault.

    Raises:
        NoProof: it has no nonce or no response: it is to be challenged, not refused.
        ParseError: status 400; not a Digest value, or one with a fault.
    """
    params = _params(value)
    if "username" in params and "realm" in params:
        for name in ("nonce", "response"):
            if params.get(name, '""') == '""':
                raise NoProof(f"digest without {name}")
    try:
        required = (params["username"], params["realm"], params["nonce"], params["uri"], params["response"])
    except KeyError as fault:
        raise ParseError(f"digest without {fault.args[0]}") from None
    for text in required:
        if text[0] != '"':
            raise ParseError("a digest value without quotes")
    response = required[4][1:-1].lower()
    cnonce = _quoted(params, "cnonce", False)
    if len(response) not in (32, 64) or _HEX.fullmatch(response) is None:
        raise ParseError("digest response is not a hash")
    algorithm = _token(params, "algorithm").upper()
    qop = _token(params, "qop").lower()
    nc_text = _token(params, "nc")
    if nc_text and (len(nc_text) != 8 or _HEX.fullmatch(nc_text) is None):
        raise ParseError("digest nc is not eight hex digits")
    if qop and not (nc_text and cnonce):
        raise ParseError("digest qop without nc or cnonce")
    return Credentials(
        required[0][1:-1],
        required[1][1:-1],
        required[2][1:-1],
        required[3][1:-1],
        response,
        algorithm or MD5,
        qop,
        nc_text,
        cnonce,
    )


def parse_challenge(value: str) -> Challenge:
    """Read one WWW-Authenticate or Proxy-Authenticate value.

    Raises:
        ParseError: not a Digest value, or one with a fault.
    """
    params = _params(value)
    qop = [item.strip().lower() for item in _token(params, "qop").split(",") if item.strip()]
    return Challenge(
        _quoted(params, "realm", True),
        _quoted(params, "nonce", True),
        _token(params, "algorithm").upper() or MD5,
        qop,
        _token(params, "stale").lower() == "true",
        _quoted(params, "opaque", False),
    )


def challenge(realm: str, nonce: str, algorithm: str, stale: bool = False) -> str:
    """The value of a WWW-Authenticate or Proxy-Authenticate line (RFC 7616 §3.3), with ``qop="auth"``."""
    return f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}{", stale=true" if stale else ""}'


def is_safe(text: str) -> bool:
    """Whether text can stand in a quoted string as it is: no quote, backslash or control character."""
    return _UNSAFE.search(text) is None


def digest(algorithm: str, text: str) -> str:
    """H(text) as lower-case hex over the text's octets.

    Raises:
        KeyError: the algorithm is neither ``MD5`` nor ``SHA-256``.
    """
    octets = text.encode("utf-8", "surrogateescape")
    if algorithm == MD5:
        return hashlib.md5(octets, usedforsecurity=False).hexdigest()
    if algorithm == SHA256:
        return hashlib.sha256(octets).hexdigest()
    raise KeyError(algorithm)


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """H(username:realm:password) (RFC 7616 §3.4.2)."""
    return digest(algorithm, f"{username}:{realm}:{password}")


def response(algorithm: str, ha1_hex: str, method: str, uri: str, nonce: str, nc: str = "", cnonce: str = "", qop: str = "") -> str:
    """The ``response`` a client has to send (RFC 7616 §3.4.1); without qop the form of RFC 2069.

    Args:
        nc: Eight hex digits as they stand in the header.
        qop: "auth" or "".
    """
    ha2 = digest(algorithm, f"{method}:{uri}")
    if qop:
        return digest(algorithm, f"{ha1_hex}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}")
    return digest(algorithm, f"{ha1_hex}:{nonce}:{ha2}")


def matches(credentials: Credentials, ha1_hex: str, method: str) -> bool:
    """Whether the credentials prove knowledge of ``ha1_hex``; takes the same time whatever differs."""
    wanted = response(
        credentials.algorithm,
        ha1_hex,
        method,
        credentials.uri,
        credentials.nonce,
        credentials.nc_text,
        credentials.cnonce,
        credentials.qop,
    )
    return hmac.compare_digest(wanted, credentials.response)


def authorization(offer: Challenge, method: str, uri: str, username: str, password: str, cnonce: str, nc: int = 1) -> str:
    """The client's answer to a challenge, as the value of (Proxy-)Authorization.

    Args:
        cnonce: Unpredictable text of the client's own; used when the challenge offers qop "auth".
        nc: Which use of the nonce this is, from 1.

    Raises:
        KeyError: the challenge's algorithm is not known.
    """
    qop = "auth" if "auth" in offer.qop else ""
    count = f"{nc:08x}" if qop else ""
    secret = ha1(offer.algorithm, username, offer.realm, password)
    proof = response(offer.algorithm, secret, method, uri, offer.nonce, count, cnonce, qop)
    text = (
        f'Digest username="{username}", realm="{offer.realm}", nonce="{offer.nonce}", uri="{uri}", '
        f'response="{proof}", algorithm={offer.algorithm}'
    )
    if qop:
        text += f', qop={qop}, nc={count}, cnonce="{cnonce}"'
    if offer.opaque:
        text += f', opaque="{offer.opaque}"'
    return text
