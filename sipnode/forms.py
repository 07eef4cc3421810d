"""Forms of a setting's text, where its type alone says too little. Pure.

Each form is a function that raises ValueError with what is wanted instead; ``setting(..., form="domain")`` names one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from sipnode.addresses import split_address
from sipnode.errors import ConfigError

_LABELS: Final = re.compile(r"(?=.{1,253}$)[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?\.?")
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@,]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_NAT_RULE: Final = re.compile(r"(?:agent \S.*|network (\S+)):(?: +(?:via-port|natted|direct|no-ping))+")
_ROUTE: Final = re.compile(r"<sips?:(?:[^\s<>@,\"]+@)?[^\s<>@,\";]+(?:;[^\s<>,\";]+)*;lr(?:[;=][^\s<>,\"]*)?>")
_DIGITS: Final = re.compile(r"[0-9+*#]{1,32}")
_USER: Final = re.compile(r"[0-9A-Za-z_.!~*'()&=+$,?/%-]{1,128}")
_TURN: Final = re.compile(r"turns?:(?:[0-9A-Za-z.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:\?transport=(?:udp|tcp))?")
_STUN: Final = re.compile(r"stuns?:(?:[0-9A-Za-z.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_MEMBER: Final = re.compile(
    r"[^\s@]{1,64} (?:viewer|admin) scrypt:[0-9]{1,2}:[0-9]{1,2}:[A-Za-z0-9_-]{16,64}:[A-Za-z0-9_-]{32,128}"
    r"|[^\s@]{1,128}@\S{1,253} (?:viewer|admin)"
)
LEAST_TOKEN: Final = 16


def text(value: str) -> None:
    """One line of a header or a file."""
    if not value.isprintable():
        raise ValueError("has to be one line without control characters")


def part(value: str) -> None:
    """A piece of text that something is compared with: an empty one would be found everywhere."""
    text(value)
    if not value.strip():
        raise ValueError("can't be empty: an empty text is a part of every other")


def header(value: str) -> None:
    """A header of HTTP, ``Name: value``."""
    name, colon, rest = value.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or not rest.strip() or not value.isprintable() or not value.isascii():
        raise ValueError("has to be a header, as 'Name: value'")


def domain(value: str) -> None:
    """A host name or an IP literal, without a port."""
    bare = value[1:-1] if value[:1] == "[" and value[-1:] == "]" else value
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        try:
            labels = value if value.isascii() else value.encode("idna").decode("ascii")
        except UnicodeError:
            labels = ""
        if not _LABELS.fullmatch(labels) or ".." in labels:
            raise ValueError(f"has to be a domain or an address, not {value!r}") from None


def origin(value: str) -> None:
    """An Origin, as [transport] origins says it."""
    if value not in ("*", "self") and not _ORIGIN.fullmatch(value):
        raise ValueError(f"has to be 'scheme://host:port', 'self' or '*', not {value!r}")


def network(value: str, strict: bool = True) -> None:
    """An address or a network."""
    try:
        ipaddress.ip_network(value.strip("[]"), strict)
    except ValueError as error:
        hint = " (or write its first address)" if "host bits" in str(error) else ""
        raise ValueError(f"has to be an address or a network such as 192.0.2.0/24, not {value!r}{hint}") from None


def around(value: str) -> None:
    """An address, or any of a network with the network's length."""
    network(value, False)


def method(value: str) -> None:
    """A SIP method, alone or with an event package (``NOTIFY/message-summary``), or 'any'."""
    name, slash, event = value.partition("/")
    if not _TOKEN.fullmatch(name) or (value != "any" and name != name.upper()) or (slash and not _TOKEN.fullmatch(event)):
        raise ValueError(f"has to be a SIP method in capitals such as NOTIFY, or NOTIFY/message-summary, or 'any', not {value!r}")


def address(value: str) -> None:
    """``ADDRESS:PORT``."""
    try:
        split_address(value, "")
    except ConfigError as error:
        raise ValueError(error.reason) from None


def destination(value: str) -> None:
    """A permitted destination: a word, a network, or one port of an address."""
    if value in ("interfaces", "private"):
        return
    try:
        network(value)
    except ValueError as error:
        try:
            address(value)
        except ValueError:
            raise error from None


def natrule(value: str) -> None:
    """A rule of [nat] rules."""
    match = _NAT_RULE.fullmatch(value)
    if match is None:
        raise ValueError(
            "has to be 'agent BEGINNING: WORDS' or 'network ADDRESS/LENGTH: WORDS' with words of"
            f" via-port, natted, direct, no-ping; not {value!r}"
        )
    if match[1]:
        network(match[1])


def route(value: str) -> None:
    """A value of Route or Service-Route: a URI of a loose router in angle brackets."""
    if not _ROUTE.fullmatch(value):
        raise ValueError(f"has to be a sip URI with ;lr in angle brackets such as <sip:edge.example.com;lr>, not {value!r}")


def literal(value: str) -> None:
    """An IP literal."""
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        raise ValueError(f"has to be an IP address, not {value!r}") from None


def token(value: str) -> None:
    """The token behind ``Bearer``."""
    if len(value) < LEAST_TOKEN or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"has to have at least {LEAST_TOKEN} ASCII characters and no space")


def stun(value: str) -> None:
    """The URI of a STUN server (RFC 7064); one of TURN needs credentials, which aren't for everybody."""
    if not _STUN.fullmatch(value):
        raise ValueError(f"has to be 'stun:HOST:PORT', not {value!r}")


def turn(value: str) -> None:
    """The URI of a TURN server (RFC 7065)."""
    if not _TURN.fullmatch(value):
        raise ValueError(f"has to be 'turn:HOST:PORT' or 'turns:HOST:PORT', with ?transport=udp or tcp or without, not {value!r}")


def receiver(value: str) -> None:
    """Where messages are sent to: a transport, and ``HOST:PORT``; over UDP an address, since its name isn't looked up."""
    kind, _, place = value.partition(":")
    if kind not in ("udp", "tcp", "tls") or not re.search(r":[0-9]+$", place):
        raise ValueError(f"has to be 'udp:ADDRESS:PORT', 'tcp:HOST:PORT' or 'tls:HOST:PORT', not {value!r}")
    (address if kind == "udp" else hostport)(place)


def http(value: str) -> None:
    """The URL of a service; no user and password, which would stand in logs."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        good = False
    if not good or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"has to be 'http://HOST…' or 'https://HOST…', without user and password, not {value!r}")


def file(value: str) -> None:
    """The name of a file, with its folders or without."""
    if not value.isprintable() or value.endswith("/") or value in (".", ".."):
        raise ValueError(f"has to be the name of a file, not {value!r}")


def hostport(value: str) -> None:
    """A host name or address, with a port or without; IPv6 in brackets."""
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        host, port = value, "5060"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536) or (":" in host) != (host[:1] == "["):
        raise ValueError(f"has to be 'HOST' or 'HOST:PORT', IPv6 in brackets, not {value!r}")
    domain(host)


def digits(value: str) -> None:
    """The beginning of a number."""
    if not _DIGITS.fullmatch(value):
        raise ValueError(f"has to be the beginning of a number, of digits, +, * and #, not {value!r}")


def rewrite(value: str) -> None:
    """A rule about the beginning of a number: what it is, and what stands in its place; either may be empty."""
    before, arrow, after = value.partition(">")
    if not arrow or (before and not _DIGITS.fullmatch(before)) or (after and not _DIGITS.fullmatch(after)):
        raise ValueError(f"has to be 'BEGINNING>INSTEAD' of digits, +, * and #, such as '00>+', not {value!r}")


def username(value: str) -> None:
    """A name that can stand in a URI and between quotes as it is."""
    if not _USER.fullmatch(value):
        raise ValueError(f"has to be a user name as it stands in a URI, not {value!r}")


def aor(value: str) -> None:
    """A user, with a domain or without."""
    name, at, host = value.partition("@")
    username(name)
    if at:
        domain(host)


def member(value: str) -> None:
    """A user of the console: a name with its role and the hash of its password, or a user of a domain with its role."""
    if not _MEMBER.fullmatch(value):
        raise ValueError("has to be 'NAME ROLE HASH' as sipnode console-password prints it, or 'USER@DOMAIN ROLE'; ROLE is viewer or admin")


FORMS: Final[Mapping[str, Callable[[str], None]]] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            text, part, domain, origin, network, around, address, destination, natrule, literal, method, route, token, stun, turn, receiver,
            header, http, file, hostport, digits, rewrite, username, aor, member,
        )
    }
)
