"""The PROXY protocol: who is at the other end of a proxy's connection; pure.

Implements: "The PROXY protocol", versions 1 and 2 (HAProxy, 2020-03-05), §2.1, §2.2 and §2.2.1. Invariant: a header is whole and to the
letter, or it is refused; no more than :data:`MOST` octets are ever waited for.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

from sipnode.errors import SipnodeError

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MOST_V1: Final = 107
MOST_V2: Final = 2048
"""Octets after the fixed part: addresses take up to 216 of them, the rest is for what a proxy tells of TLS, which is skipped."""
MOST: Final = 16 + MOST_V2
_LOCAL: Final = 0
_PROXY: Final = 1
# Family and protocol to family and octets of one address; what isn't here is no stream of IP.
_FAMILIES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
_UNSPECIFIED: Final = 0x00
_UNIX_STREAM: Final = 0x31
_UNIX_ADDRESSES: Final = 216


class ProxyHeaderError(SipnodeError):
    """The octets of a proxy are no PROXY header."""


class ProxyHeader(NamedTuple):
    """One header.

    Attributes:
        client: Address and port of who is behind the proxy; None for a connection of the proxy itself (a health check), or where
            it doesn't say.
        size: Octets of the header.
    """

    client: tuple[str, int] | None
    size: int


def read_header(octets: bytes) -> ProxyHeader | None:
    """The header at the beginning of a connection; None as long as it isn't whole.

    Raises:
        ProxyHeaderError: it isn't one.
    """
    if octets[:12] == SIGNATURE[: len(octets[:12])]:
        return _read_v2(octets) if len(octets) >= 16 else None
    if octets[:6] == b"PROXY "[: len(octets[:6])]:
        return _read_v1(octets)
    raise ProxyHeaderError("no PROXY header")


def _read_v1(octets: bytes) -> ProxyHeader | None:
    line, end, _ = octets[:MOST_V1].partition(b"\r\n")
    if not end:
        if len(octets) >= MOST_V1 or b"\n" in line:
            raise ProxyHeaderError("the line of the PROXY header doesn't end")
        return None
    size = len(line) + 2
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(None, size)
    family = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}.get(words[1])
    if family is None or len(words) != 6:
        raise ProxyHeaderError("a PROXY header is TCP4 or TCP6, two addresses and two ports")
    _address(family, words[3])
    _port(words[5])
    return ProxyHeader((_address(family, words[2]), _port(words[4])), size)


def _address(family: int, word: bytes) -> str:
    try:
        text = word.decode("ascii")
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (ValueError, OSError):
        raise ProxyHeaderError(f"{word[:50]!r} is no address") from None


def _port(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 5 and (word == b"0" or word[:1] != b"0") and int(word) <= 65535):
        raise ProxyHeaderError(f"{word[:10]!r} is no port")
    return int(word)


def _read_v2(octets: bytes) -> ProxyHeader | None:
    version, command = octets[12] >> 4, octets[12] & 0x0F
    length = int.from_bytes(octets[14:16], "big")
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("a PROXY header of another version")
    if length > MOST_V2:
        raise ProxyHeaderError("the PROXY header is too long")
    if len(octets) < 16 + length:
        return None
    size, kind = 16 + length, octets[13]
    if command == _LOCAL:
        return ProxyHeader(None, size)
    if kind in (_UNSPECIFIED, _UNIX_STREAM):
        if kind == _UNIX_STREAM and length < _UNIX_ADDRESSES:
            raise ProxyHeaderError("the addresses of the PROXY header are cut")
        return ProxyHeader(None, size)
    if kind not in _FAMILIES:
        raise ProxyHeaderError("the PROXY header is for another kind of connection")
    family, width = _FAMILIES[kind]
    if length < 2 * width + 4:
        raise ProxyHeaderError("the addresses of the PROXY header are cut")
    port = int.from_bytes(octets[16 + 2 * width : 18 + 2 * width], "big")
    return ProxyHeader((socket.inet_ntop(family, octets[16 : 16 + width]), port), size)
