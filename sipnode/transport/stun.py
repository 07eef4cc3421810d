"""The one STUN exchange that a SIP port takes part in: a binding request as keepalive; pure.

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
