"""``name-addr`` and ``addr-spec`` with parameters: From, To, Contact, Route, Record-Route, Path.

Implements: RFC 3261 §20.10, §20.20, §20.30, §20.34, §20.39. Parsed values are never changed and may be shared.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import line_value, parse_params, unquote
from sipnode.sip.uri import SipUri

# Possessive all over: what doesn't match is refused in one pass, however long a run of blanks it has.
_BRACKETED: Final = re.compile(r'\s*+("(?:[^"\\]|\\.)*+"|[^"<;,]*+)\s*+<([^<>]*+)>\s*+((?:;.*+)?)', re.S | re.A)
_BARE: Final = re.compile(r"\s*+([^\s;,<>\"?]++)\s*+((?:;.*+)?)", re.S | re.A)
_TAG: Final = re.compile(r"[A-Za-z0-9\-._~+]+")
_BLANKS: Final = " \t\r\n"
_CACHE_SIZE: Final = 4096
_LONGEST: Final = 256
_cache: dict[str, NameAddr] = {}
_of_lines: dict[str, NameAddr] = {}
"""From and To by their whole lines: all messages of a dialog have the same."""


class NameAddr:
    """One address with its header parameters.

    Attributes:
        display: Display name without quotes, "" when absent.
        uri_text: What stands between the angle brackets.
        params: Header parameters by lower-case name.
        tag: The ``tag`` parameter, "" when absent.
    """

    __slots__ = ("_params", "_uri", "display", "param_text", "tag", "uri_text")

    def __init__(self, display: str, uri_text: str, param_text: str) -> None:
        self.display = display
        self.uri_text = uri_text
        self.param_text = param_text
        self._uri: SipUri | None = None
        self._params: dict[str, str] | None = None
        if not param_text:
            self.tag = ""
            return
        tag = param_text[5:]
        if param_text[:5] == ";tag=" and ((tag.isalnum() and tag.isascii()) or _TAG.fullmatch(tag) is not None):
            self.tag = tag
        else:
            self.tag = self.params.get("tag", "")

    @staticmethod
    def parse(text: str) -> NameAddr:
        """Read one value of a From, To, Contact, Route … header.

        Raises:
            ParseError: quotes or brackets that don't close, or parameters that can't be read.
        """
        found = _cache.get(text)
        if found is not None:
            return found
        address = NameAddr.read(text)
        if len(text) <= _LONGEST:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[text] = address
        return address

    @staticmethod
    def read(text: str) -> NameAddr:
        """The same for who keeps what comes of it.

        Raises:
            ParseError: as :meth:`parse`.
        """
        before, _, rest = text.partition("<")
        uri_text, closed, params = rest.partition(">")
        if closed and (not params or params[0] == ";") and uri_text and uri_text[0] != " " != uri_text[-1] and "<" not in uri_text:
            # No display name, or a quoted one, and no blanks, as most of them are: no regular expression is needed to cut that.
            if not before:
                return NameAddr("", uri_text, params)
            quoted = before[0] == '"' and before[-2:] == '" ' and before.count('"') == 2 and "\\" not in before
            if quoted and uri_text[0] not in _BLANKS and uri_text[-1] not in _BLANKS:
                return NameAddr(before[1:-2], uri_text, params)
        match = _BRACKETED.fullmatch(text)
        if match is not None:
            display, uri_text, params = match.groups()
            return NameAddr(unquote(display.strip(_BLANKS)), uri_text.strip(_BLANKS), params)
        # Without brackets, parameters belong to the header and the URI may hold no comma or question mark (§20.10).
        match = _BARE.fullmatch(text)
        if match is None:
            raise ParseError("an address that can't be read")
        return NameAddr("", match.group(1), match.group(2))

    @property
    def uri(self) -> SipUri:
        """The URI, parsed.

        Raises:
            ParseError: not a URI.
        """
        uri = self._uri
        if uri is None:
            uri = self._uri = SipUri.parse(self.uri_text)
        return uri

    @property
    def params(self) -> dict[str, str]:
        """Header parameters by lower-case name; a flag's value is ""."""
        params = self._params
        if params is None:
            params = self._params = parse_params(self.param_text)
        return params


def address_of(line: str) -> NameAddr:
    """The address of a From or To line.

    Raises:
        ParseError: as :meth:`NameAddr.parse`.
    """
    address = _of_lines.get(line)
    if address is None:
        address = NameAddr.read(line_value(line))
        if len(line) <= _LONGEST:
            if len(_of_lines) >= _CACHE_SIZE:
                _of_lines.clear()
            _of_lines[line] = address
    return address
