"""Tokens, quoted strings, ``;params`` and comma lists (RFC 3261 §25.1).

Implements: RFC 3261 §7.3.1, §25.1. Everything takes and gives ``str``; octets that are not UTF-8 stay as surrogate
escapes, so nothing is lost on the way through.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import ParseError

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
# Possessive all over, so that hostile text costs one pass.
_LIST_PART: Final = re.compile(r'(?:[^,"<]++|"(?:[^"\\]|\\.)*+"|<[^>]*+>)*+', re.S)
_PARAM_PART: Final = re.compile(r'(?:[^;"]++|"(?:[^"\\]|\\.)*+")*+', re.S)
_PARAM: Final = re.compile(
    r"\s*+;\s*+([A-Za-z0-9\-.!%*_+`'~\[\]:]++)\s*+(?:=\s*+(\"(?:[^\"\\]|\\.)*+\"|[^\s;,\"<>]++)?\s*+)?", re.S | re.A
)
_PLAIN_PARAMS: Final = re.compile(r"(?:;[A-Za-z0-9\-.]++(?:=[A-Za-z0-9\-.:_+!~*%]++)?+)++")


def is_token(text: str) -> bool:
    """Whether the text is a ``token``."""
    return _TOKEN.fullmatch(text) is not None


def split_commas(text: str) -> list[str]:
    """The values of a comma list, stripped; commas inside quotes and angle brackets don't count.

    Raises:
        ParseError: a quote or bracket is left open.
    """
    if "," not in text:
        return [text.strip()]
    return _split(text, ",", _LIST_PART)


def split_params(text: str) -> list[str]:
    """``;a=1;b="x;y"`` cut at its semicolons, stripped, empty ones left out; those inside quotes don't count.

    Raises:
        ParseError: a quote is left open.
    """
    parts = _split(text, ";", _PARAM_PART) if '"' in text else [part.strip() for part in text.split(";")]
    return [part for part in parts if part]


def _split(text: str, mark: str, part: re.Pattern[str]) -> list[str]:
    values: list[str] = []
    start, end = 0, len(text)
    while True:
        match = part.match(text, start)
        stop = match.end() if match else start
        values.append(text[start:stop].strip())
        if stop >= end:
            return values
        if text[stop] != mark:
            raise ParseError("a quote or bracket is left open")
        start = stop + 1


def line_value(line: str) -> str:
    """The value of a header line: unfolded (one SP a fold), without white space around it."""
    name, colon, value = line.partition(":")
    if not colon:
        value = name
    if "\n" in value:
        value = unfold(value)
    return value.strip(" \t")


def unfold(text: str) -> str:
    """Folded lines made one: each fold, with the white space around it, becomes one SP (RFC 3261 §7.3.1)."""
    return " ".join([part.strip(" \t") for part in text.split("\r\n")])


def parse_params(text: str) -> dict[str, str]:
    """``;name=value;flag`` as a dictionary: names in lower case, a flag's value is "", quotes are taken off.

    Raises:
        ParseError: text that is no list of parameters, or a name given twice.
    """
    params: dict[str, str] = {}
    if _PLAIN_PARAMS.fullmatch(text) is not None:
        # The form of nearly all of them.
        for part in text[1:].split(";"):
            name, _, value = part.partition("=")
            name = name.lower()
            if name in params:
                raise ParseError(f"parameter {name} given twice")
            params[name] = value
        return params
    position, end = 0, len(text)
    while position < end:
        match = _PARAM.match(text, position)
        if match is None:
            if text[position:].strip(" \t\r\n;"):
                raise ParseError("parameters that can't be read")
            break
        name, value = match.group(1).lower(), match.group(2) or ""
        if name in params:
            raise ParseError(f"parameter {name} given twice")
        params[name] = unquote(value) if value[:1] == '"' else value
        position = match.end()
    return params


def unquote(text: str) -> str:
    """The text of a quoted string; other text as it is."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
        if "\\" in text:
            text = re.sub(r"\\(.)", r"\1", text, flags=re.S)
    return text


def quote(text: str) -> str:
    """The text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
