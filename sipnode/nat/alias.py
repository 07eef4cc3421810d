""";alias=ip~port~proto in a Contact or Request-URI: the source of a message, so that requests find their way back.

Implements: the ``alias`` URI parameter as Kamailio's ``set_contact_alias`` and ``handle_ruri_alias`` write and read it.
Pure text in, text out; every octet beside the parameter stays.

The invariant: a URI that leaves here holds one alias or none. An alias that comes *in* is an order from an outsider:
whoever takes it off checks that it names a live flow before it sends anything there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

PROTO: Final[dict[str, int]] = {"UDP": 1, "TCP": 2, "TLS": 3, "SCTP": 4, "WS": 5, "WSS": 6}
"""Number of each transport."""

TRANSPORT: Final[dict[int, str]] = {number: name for name, number in PROTO.items()}
"""Transport of each number."""

_ALIAS: Final = re.compile(r";[ \t]*alias[ \t]*(?:=([^;?>]*))?(?=[;?>]|$)", re.I)
_VALUE: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Fa-f:.]{2,45}|[A-Za-z0-9.\-]{1,253})~([0-9]{1,5})~([1-6])")
_ADDR_SPEC: Final = re.compile(r"\s*([^\s;,?<>\"]+:[^\s;,?<>\"]+)")
_DISPLAY: Final = re.compile(r'\s*"(?:[^"\\]|\\.)*"', re.S)


class Alias(NamedTuple):
    """Where an alias points.

    Attributes:
        host: Without brackets.
        port: 1..65535.
        proto: A number of :data:`TRANSPORT`.
    """

    host: str
    port: int
    proto: int

    @property
    def transport(self) -> str:
        """'UDP' | 'TCP' | 'TLS' | 'SCTP' | 'WS' | 'WSS'"""
        return TRANSPORT[self.proto]


def set_contact_alias(value: str, host: str, port: int, proto: int) -> str:
    """Give the first address of a Contact header value one alias; older ones go.

    Args:
        value: Value of a Contact header.
        host: Source address, IPv6 with or without brackets.
        port: Source port.
        proto: Number of the transport, see :data:`PROTO`.

    Returns:
        The value with the alias as last URI parameter. An ``addr-spec`` is put into angle brackets, as its parameters
        would be the header's (RFC 3261 §20.10). ``*`` and what holds no address come back as they are.
    """
    literal = f"[{host}]" if ":" in host and host[:1] != "[" else host
    return with_uri_param(value, f";alias={literal}~{port}~{proto}", _without_alias)


def with_uri_param(value: str, parameter: str, cleaned: Callable[[str], str] = str) -> str:
    """Give the URI of the first address of a Contact header value one more parameter, after all others.

    Args:
        parameter: ``;name=value``.
        cleaned: What is done to the URI before.
    """
    display = _DISPLAY.match(value)
    begin = display.end() if display else 0
    start = value.find("<", begin)
    if start < 0 or "," in value[begin:start]:
        head = _ADDR_SPEC.match(value)
        if head is None:
            return value
        return f"{value[: head.start(1)]}<{head.group(1)}{parameter}>{value[head.end(1) :]}"
    end = value.find(">", start)
    if end < 0 or ":" not in value[start:end]:
        return value
    uri = cleaned(value[start + 1 : end])
    at = _headers_at(uri)
    return f"{value[: start + 1]}{uri[:at]}{parameter}{uri[at:]}{value[end:]}"


def handle_ruri_alias(uri: str) -> tuple[str, Alias | None]:
    """Take the alias off a URI.

    Args:
        uri: Request-URI or the URI of a Contact, without angle brackets.

    Returns:
        (URI without any ``alias`` parameter, where it pointed). Of several the last one counts: it is the one that the
        nearest hop added. An alias that can't be read is taken off and points nowhere.
    """
    if "alias" not in uri and "alias" not in uri.lower():
        return uri, None
    begin, end = _params_at(uri), _headers_at(uri)
    found = _ALIAS.findall(uri[begin:end])
    if not found:
        return uri, None
    return _without_alias(uri), read_alias(found[-1].strip())


def read_alias(value: str) -> Alias | None:
    """The value of an ``alias`` parameter, None for one that can't be read."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return None
    port = int(match.group(2))
    return Alias(match.group(1).strip("[]"), port, int(match.group(3))) if 0 < port < 65536 else None


def _without_alias(uri: str) -> str:
    begin, end = _params_at(uri), _headers_at(uri)
    return uri[:begin] + _ALIAS.sub("", uri[begin:end]) + uri[end:]


def _params_at(uri: str) -> int:
    """Where the host begins: a user part may hold ``;alias=`` of its own (RFC 3261 §25.1 user-unreserved)."""
    return uri.find("@") + 1


def _headers_at(uri: str) -> int:
    """Where ``?headers`` begin, the length where there are none."""
    at = uri.find("?", _params_at(uri))
    return len(uri) if at < 0 else at
