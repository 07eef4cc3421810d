"""HEP version 3, the frames in which Homer, heplify-server and ``sngrep -L`` take messages. Pure.

Implements: "HEP/EEP: Network Protocol for Packet Capture", revision 12: chunks of vendor, type, length and value, behind ``HEP3`` and a
length.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

_GENERIC: Final = 0
_MOST: Final = 65535
_SIP: Final = 1
_FAMILIES: Final = {False: socket.AF_INET, True: socket.AF_INET6}
_FAMILY, _PROTOCOL, _SOURCE4, _TARGET4, _SOURCE6, _TARGET6, _SOURCE_PORT, _TARGET_PORT = range(1, 9)
_SECONDS, _MICROSECONDS, _KIND, _AGENT = 9, 10, 11, 12
_KEY, _PAYLOAD, _CORRELATION, _NODE = 14, 15, 17, 19

Address = tuple[str, int]


def _chunk(kind: int, value: bytes) -> bytes:
    return struct.pack("!HHH", _GENERIC, kind, 6 + len(value)) + value


def _packed(host: str, wide: bool) -> bytes:
    """The address in network order; zeros for what is none."""
    try:
        return socket.inet_pton(_FAMILIES[wide], host.partition("%")[0])
    except OSError:
        return bytes(16 if wide else 4)


class Framer:
    """Makes frames.

    Args:
        agent: Capture id, 32 bits. node: Name of this server for the receiver, "" for none. key: The receiver's password for its senders,
            "" for none.
    """

    def __init__(self, agent: int, node: str = "", key: str = "") -> None:
        self._fixed = struct.pack("!HHHB", _GENERIC, _KIND, 7, _SIP) + struct.pack("!HHHI", _GENERIC, _AGENT, 10, agent)
        if node:
            self._fixed += _chunk(_NODE, node.encode())
        if key:
            self._fixed += _chunk(_KEY, key.encode())

    def frame(self, now: float, transport: str, source: Address, target: Address, payload: bytes, correlation: str) -> bytes:
        """One message.

        Args:
            now: Epoch seconds. transport: ``UDP``, ``TCP`` …; all but UDP are streams. source, target: Of the message.
            payload: Its octets; cut where the frame would be longer than a length can say.
            correlation: Call-ID, "" for none.
        """
        wide = ":" in source[0] or ":" in target[0]
        seconds = int(now)
        parts = [
            struct.pack("!HHHB", _GENERIC, _FAMILY, 7, _FAMILIES[wide]),
            struct.pack("!HHHB", _GENERIC, _PROTOCOL, 7, socket.IPPROTO_UDP if transport == "UDP" else socket.IPPROTO_TCP),
            _chunk(_SOURCE6 if wide else _SOURCE4, _packed(source[0], wide)),
            _chunk(_TARGET6 if wide else _TARGET4, _packed(target[0], wide)),
            struct.pack("!HHHH", _GENERIC, _SOURCE_PORT, 8, source[1] & 0xFFFF),
            struct.pack("!HHHH", _GENERIC, _TARGET_PORT, 8, target[1] & 0xFFFF),
            struct.pack("!HHHI", _GENERIC, _SECONDS, 10, seconds & 0xFFFFFFFF),
            struct.pack("!HHHI", _GENERIC, _MICROSECONDS, 10, int((now - seconds) * 1e6)),
            self._fixed,
        ]
        if correlation:
            parts.append(_chunk(_CORRELATION, correlation.encode("utf-8", "surrogateescape")[:1024]))
        room = _MOST - 6 - 6 - sum(map(len, parts))
        body = b"".join((*parts, _chunk(_PAYLOAD, payload[:room])))
        return struct.pack("!4sH", b"HEP3", 6 + len(body)) + body


def chunks(frame: bytes) -> dict[int, bytes]:
    """The generic chunks of a frame, by their types; for those who look at what was sent.

    Raises:
        ValueError: it is none.
    """
    if frame[:4] != b"HEP3" or len(frame) < 6 or struct.unpack_from("!H", frame, 4)[0] != len(frame):
        raise ValueError("no frame of HEP 3")
    found, place = {}, 6
    while place < len(frame):
        if place + 6 > len(frame):
            raise ValueError("a chunk is cut")
        vendor, kind, length = struct.unpack_from("!HHH", frame, place)
        if length < 6 or place + length > len(frame):
            raise ValueError("a chunk has no such length")
        if vendor == _GENERIC:
            found[kind] = frame[place + 6 : place + length]
        place += length
    return found
