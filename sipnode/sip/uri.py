"""``sip:``, ``sips:`` and ``tel:`` URIs.

Implements: RFC 3261 §19.1 (§19.1.4 comparison), RFC 3966 (as far as a proxy needs it). A parsed URI is never changed;
:meth:`SipUri.parse` may hand the same object out twice.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import parse_params
from sipnode.sip.hosts import normal_host

_URI: Final = re.compile(
    r"(sips?):"
    r"(?:([^@:<>\"\s]*)(?::([^@<>\"\s]*))?@)?"
    r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?)"
    r"(?::(\d{1,5}))?"
    r"((?:;[^?\s<>\"]*)?)"
    r"(?:\?([^\s<>\"]*))?",
    re.I | re.A,
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*+):(\S++)", re.A)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_COMPARED: Final = ("transport", "user", "ttl", "method", "maddr")
_CACHE_SIZE: Final = 32768
_cache: dict[str, SipUri] = {}


def unescape(text: str) -> str:
    """Percent escapes decoded; octets above 127 become surrogate escapes unless they are UTF-8."""
    if "%" not in text:
        return text
    octets = _ESCAPE.sub(lambda m: chr(int(m.group(1), 16)), text.encode("utf-8", "surrogateescape").decode("latin-1"))
    return octets.encode("latin-1").decode("utf-8", "surrogateescape")


class SipUri:
    """One URI.

    Attributes:
        scheme: ``sip``, ``sips``, ``tel`` or another, in lower case.
        user: As written (escapes kept), "" when absent; the number of a ``tel`` URI.
        host: As :func:`~sipnode.sip.hosts.normal_host` spells it, whatever was written; "" for schemes without one.
        port: 0 when absent.
    """

    __slots__ = ("_params", "host", "param_text", "password", "port", "query", "scheme", "text", "user")

    def __init__(self, text: str, scheme: str, user: str, password: str, host: str, port: int, param_text: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.param_text = param_text
        self.query = query
        self._params: dict[str, str] | None = None if param_text else {}

    def rewritten(self, user: str, host: str) -> str:
        """The text of this URI with another user or host; a ``tel`` URI that gets a host becomes a ``sip`` one.

        Args:
            user: As written in a URI, "" for its own. host: Alike; ``:port`` may follow.

        Raises:
            ValueError: that is no URI.
        """
        who = user or self.user
        if self.scheme == "tel" and not host:
            made = f"tel:{who}{self.param_text}"
        elif self.scheme == "tel":
            made = f"sip:{who}@{host}"
        else:
            where = host or (f"{self.host}:{self.port}" if self.port else self.host)
            made = f"{self.scheme}:{who + '@' if who else ''}{where}{self.param_text}{'?' + self.query if self.query else ''}"
        try:
            read = SipUri.parse(made)
        except ParseError as error:
            raise ValueError(f"{made!r}: {error}") from None
        if read.user != who:
            raise ValueError(f"{who!r} can't stand in a URI")
        return made

    @staticmethod
    def parse(text: str) -> SipUri:
        """Read a URI without angle brackets.

        Raises:
            ParseError: not a URI, or a sip URI with a fault.
        """
        found = _cache.get(text)
        if found is not None:
            return found
        match = _URI.fullmatch(text)
        if match is not None:
            scheme, user, password, host, port, params, query = match.groups()
            number = int(port) if port else 0
            if number > 65535 or (port and not number):
                raise ParseError("port of a URI out of range")
            if user is None:
                user = ""
            elif not user:
                raise ParseError("an empty user part")
            if "%" in text and _BAD_ESCAPE.search(text[len(scheme) :]):
                raise ParseError("a broken escape in a URI")
            uri = SipUri(text, scheme.lower(), user, password or "", normal_host(host), number, params, query or "")
            if params:
                _ = uri.params
        else:
            other = _SCHEME.fullmatch(text)
            if other is None or other.group(1).lower() in ("sip", "sips"):
                raise ParseError("a URI that can't be read")
            scheme = other.group(1).lower()
            user, _, params = other.group(2).partition(";") if scheme == "tel" else ("", "", "")
            uri = SipUri(text, scheme, user, "", "", 0, ";" + params if params else "", "")
        if len(text) <= 256:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[text] = uri
        return uri

    @property
    def params(self) -> dict[str, str]:
        """``;name=value`` by lower-case name; a flag's value is ""."""
        params = self._params
        if params is None:
            params = self._params = parse_params(self.param_text)
        return params

    @property
    def secure(self) -> bool:
        """A ``sips`` URI."""
        return self.scheme == "sips"

    @property
    def aor(self) -> str:
        """Canonical ``user@host``: user decoded, host in its one spelling, nothing else (RFC 3261 §10.3 step 5)."""
        return f"{unescape(self.user)}@{self.host}" if self.user else self.host

    def __str__(self) -> str:
        return self.text

    def without_params(self, *names: str) -> str:
        """The URI's text without the named parameters."""
        if not self.param_text:
            return self.text
        kept = [p for p in self.param_text.split(";")[1:] if p.partition("=")[0].strip().lower() not in names]
        # The user part may hold the same text, so the search begins behind it.
        base = self.text[: self.text.index(self.param_text, self.text.index("@") if self.host and self.user else 0)]
        return base + "".join(";" + p for p in kept) + ("?" + self.query if self.query else "")

    def equals(self, other: SipUri) -> bool:
        """Equality by RFC 3261 §19.1.4: user and password case-sensitive with escapes decoded, the rest not;
        transport, user, ttl, method and maddr must be in both or in neither; other parameters only where both have them.
        """
        if self is other or self.text == other.text:
            return True
        if self.scheme != other.scheme or self.port != other.port or self.host != other.host:
            return False
        if unescape(self.user) != unescape(other.user) or unescape(self.password) != unescape(other.password):
            return False
        if self.scheme not in ("sip", "sips"):
            return self.text.lower() == other.text.lower()
        mine, theirs = self.params, other.params
        for name in _COMPARED:
            if (name in mine) != (name in theirs):
                return False
        for name, value in mine.items():
            if name in theirs and unescape(value).lower() != unescape(theirs[name]).lower():
                return False
        return _headers(self.query) == _headers(other.query)


def _headers(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return sorted((unescape(name).lower(), unescape(value)) for name, _, value in pairs)
