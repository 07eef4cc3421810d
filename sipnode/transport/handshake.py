"""Admission to a WebSocket port: who may talk to it, and with which handshake; pure.

Implements: RFC 6455 §4.2.1, §4.4 and §10.2, RFC 7118 §4; the seed's event_route[xhttp:request]. Invariant: a page of
a foreign site gets no WebSocket, and a name that isn't ours (DNS rebinding) gets nothing at all.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_DEFAULT_PORT: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Handshake:
    """The fields of a request that decide; texts as received, lists comma-split, '' or () where the header is missing."""

    method: str
    version: str
    host: str
    upgrade: Sequence[str]
    connection: Sequence[str]
    origin: str | None
    key: str
    ws_version: str
    protocols: Sequence[str]

    @property
    def is_upgrade(self) -> bool:
        """A WebSocket handshake: GET, Upgrade with websocket, Connection with upgrade."""
        return (
            self.method == "GET"
            and "websocket" in [each.lower() for each in self.upgrade]
            and "upgrade" in [each.lower() for each in self.connection]
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status that ends a request, with a reason for the person who debugs it."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


def split_host(text: str) -> tuple[str, int]:
    """``Host`` field to (lower-case name without brackets, port or 0); ('', 0) for nonsense (RFC 9110 §7.2)."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", 0
        digits = rest[1:]
    else:
        host, _, digits = text.partition(":")
    if digits and not (digits.isascii() and digits.isdigit()):
        return "", 0
    if not host or any(each in host for each in "/@,?# \t"):
        return "", 0
    return host.lower().rstrip("."), int(digits or 0)


class HandshakeRules:
    """The checks, in the order of the checklist: Host, then upgrade, version, key, Origin, sub-protocol.

    Args:
        host_is_ours: Whether a host name (lower case, no brackets) is one of ours; the port is not looked at, since a
            forwarder may change it, and rebinding is a matter of the name alone.
        origins: ``[transport] origins``.
        require_origin: Refuse handshakes without Origin.
    """

    def __init__(self, host_is_ours: Callable[[str], bool], origins: Iterable[str], require_origin: bool) -> None:
        self._host_is_ours = host_is_ours
        self._require_origin = require_origin
        self._any_origin = False
        self._own_origin = False
        self._origins: set[tuple[str, str, int]] = set()
        for text in origins:
            if text == "*":
                self._any_origin = True
            elif text == "self":
                self._own_origin = True
            else:
                self._origins.add(_origin(text))

    def check_host(self, host: str, local: str) -> Refusal | None:
        """Refuse a request whose Host isn't ours.

        Args:
            host: The field's text.
            local: The address that the connection came in at; as an IP literal it can't be rebound.
        """
        name, _ = split_host(host)
        if not name:
            return Refusal(403, "no usable Host")
        if name == local or self._host_is_ours(name) or (name == "localhost" and (local.startswith("127.") or local == "::1")):
            return None
        return Refusal(403, "this Host is not served here")

    def check_upgrade(self, shake: Handshake) -> Refusal | None:
        """Refuse a WebSocket handshake that has a fault or comes from a page of a foreign site."""
        if shake.version != "HTTP/1.1":
            return Refusal(400, "WebSocket needs HTTP/1.1")
        if shake.ws_version != "13":
            return Refusal(426, "WebSocket version 13 only", (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")))
        if not _is_key(shake.key):
            return Refusal(400, "Sec-WebSocket-Key is not 16 octets in base64")
        if not self._origin_allowed(shake.origin, shake.host):
            return Refusal(403, "this Origin may not connect")
        if "sip" not in shake.protocols:
            return Refusal(400, "Sec-WebSocket-Protocol has no sip")
        return None

    def _origin_allowed(self, origin: str | None, host: str) -> bool:
        if origin is None:
            return not self._require_origin
        if self._any_origin:
            return True
        scheme, name, port = _origin(origin)
        if not name:
            return False
        if (scheme, name, port) in self._origins or (scheme, name, -1) in self._origins:
            return True
        own, own_port = split_host(host)
        return self._own_origin and name == own and port == (own_port or _DEFAULT_PORT.get(scheme, 0))


def _origin(text: str) -> tuple[str, str, int]:
    """``scheme://host[:port]`` to its parts; port -1 for '*', the scheme's own where none is given; name '' for nonsense."""
    wild = text.endswith(":*")
    try:
        parts = urlsplit(text[:-2] if wild else text)
        port = parts.port
    except ValueError:
        return "", "", 0
    scheme, name = parts.scheme.lower(), (parts.hostname or "").lower()
    if wild:
        return scheme, name, -1
    return scheme, name, port if port is not None else _DEFAULT_PORT.get(scheme, 0)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
