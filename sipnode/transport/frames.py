"""WebSocket frames as octets; pure.

Implements: RFC 6455 §5.2 and §5.3. Output is framed here; input is read only where it is the simplest there is, one whole message
in one frame: everything else is autobahn's.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = 0x81
BINARY: Final = 0x82
PONG: Final = 0x8A


def frame(first: int, payload: bytes) -> bytes:
    """One unmasked frame with FIN set (RFC 6455 §5.2).

    Args:
        first: The first octet: FIN and opcode.
        payload: Up to 2**63 octets.
    """
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 0xFF)) + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def whole_message(octets: bytes, most: int) -> bytes:
    """The payload of octets that are exactly one masked, unfragmented text or binary frame (RFC 6455 §5.2 and §5.3).

    Args:
        octets: As received.
        most: Octets of a message that are taken.

    Returns:
        b"" where they are anything else, or nothing.
    """
    if len(octets) < 6 or octets[0] not in (TEXT, BINARY) or octets[1] < 0x80:
        return b""
    size, start = octets[1] & 0x7F, 6
    if size == 126:
        size, start = octets[2] << 8 | octets[3], 8
        if size < 126:
            return b""
    if size == 127 or size > most or len(octets) != start + size:
        return b""
    mask = octets[start - 4 : start] * (size // 4 + 1)
    return (int.from_bytes(octets[start:], "little") ^ int.from_bytes(mask[:size], "little")).to_bytes(size, "little")


def is_text(octets: bytes) -> bool:
    """Whether the octets are valid UTF-8, decoded strictly."""
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
