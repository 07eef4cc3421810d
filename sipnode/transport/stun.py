"""The one STUN exchange that a SIP port takes part in: a binding request, as keepalive and to learn an address; pure.

Implements: RFC 5626 §3.5.2 and §8, RFC 8489 §5, §14.2 (binding, XOR-MAPPED-ADDRESS). Invariant: the answer is at
most 44 octets, so it cannot be used to amplify much, and anything but a binding request is left alone.
"""

from __future__ import annotations

import socket
from typing import Final

_MAGIC: Final = b"\x21\x12\xa4\x42"
_REQUEST: Final = b"\x00\x01"
_SUCCESS: Final = b"\x01\x01"
_XOR_MAPPED: Final = b"\x00\x20"


def binding_response(data: bytes, source: tuple[str, int]) -> bytes:
    """The success response to a STUN binding request, ``b""`` for any other octets.

    Args:
        data: One datagram.
        source: ``(IP literal, port)`` that it came from.
    """
    if len(data) < 20 or data[:2] != _REQUEST or data[4:8] != _MAGIC or int.from_bytes(data[2:4], "big") + 20 != len(data):
        return b""
    transaction = data[8:20]
    host = source[0].partition("%")[0]
    ipv6 = ":" in host
    address = socket.inet_pton(socket.AF_INET6 if ipv6 else socket.AF_INET, host)
    mask = _MAGIC + transaction
    value = b"\x00" + (b"\x02" if ipv6 else b"\x01") + (source[1] ^ 0x2112).to_bytes(2, "big")
    value += bytes(octet ^ key for octet, key in zip(address, mask, strict=False))
    attribute = _XOR_MAPPED + len(value).to_bytes(2, "big") + value
    return _SUCCESS + len(attribute).to_bytes(2, "big") + _MAGIC + transaction + attribute


def binding_request(transaction: bytes) -> bytes:
    """A binding request without attributes.

    Args:
        transaction: 12 octets that nobody can guess.
    """
    return _REQUEST + b"\0\0" + _MAGIC + transaction


def mapped_address(data: bytes, transaction: bytes) -> tuple[str, int] | None:
    """``(IP literal, port)`` of XOR-MAPPED-ADDRESS in the success response to that request; None for any other octets."""
    if len(data) < 20 or data[:2] != _SUCCESS or data[4:20] != _MAGIC + transaction or int.from_bytes(data[2:4], "big") + 20 != len(data):
        return None
    at = 20
    while at + 4 <= len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        value = data[at + 4 : at + 4 + length]
        if data[at : at + 2] == _XOR_MAPPED and len(value) == length and (length, value[1]) in ((8, 1), (20, 2)):
            host = bytes(octet ^ key for octet, key in zip(value[4:], _MAGIC + transaction, strict=False))
            family = socket.AF_INET if value[1] == 1 else socket.AF_INET6
            return socket.inet_ntop(family, host), int.from_bytes(value[2:4], "big") ^ 0x2112
        at += 4 + (length + 3) // 4 * 4
    return None
