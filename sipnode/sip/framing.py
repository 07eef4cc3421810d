"""A stream of octets cut into messages and keepalives.

Implements: RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1, §4.4.1. Octets in, whole messages out; no clock: whoever owns the
connection asks :attr:`StreamFramer.partial` and closes what stays so for too long.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import FramingError
from sipnode.sip.parser import DEFAULT_LIMITS, Limits

_LINE_ENDS: Final = re.compile(rb"((?:\r\n\r\n)*+)[\r\n]*+")
_LENGTH: Final = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*((?:[^\r\n]|\r\n[ \t])*)", re.I)


class StreamFramer:
    """The receiving half of one connection.

    Attributes:
        pings: Keepalives (CRLFCRLF) of the last :meth:`feed`; each wants one CRLF back (RFC 5626 §4.4.1).
    """

    __slots__ = ("_buffer", "_fault", "_limits", "_need", "_scanned", "pings")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._buffer = bytearray()
        self._limits = limits
        self._scanned = 0
        self._need = 0
        self._fault: FramingError | None = None
        self.pings = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and isn't whole, or a fault is to be raised. Line ends between messages are neither."""
        return self._fault is not None or (bool(self._buffer) and self._buffer[0] not in b"\r\n")

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets; give the messages that are whole now, each without line ends before its start line.

        Raises:
            FramingError: the frame is lost: no or bad Content-Length, or a message over the limits. Messages that were
                whole before the fault are given first, and the next call raises, as does every one after it.
        """
        self.pings = 0
        if self._fault is not None:
            raise self._fault
        # Octets that wait are added to in place: a message that trickles in costs its octets, not their square.
        held = self._buffer
        held += data if held else b""
        buffer: bytes | bytearray = held or data
        size = len(buffer)
        need, scanned = self._need, self._scanned
        messages: list[bytes] = []
        start = 0
        while start < size:
            if not need:
                if buffer[start] in b"\r\n":
                    stop = self._skip_line_ends(buffer, start)
                    if stop < size and buffer[stop] in b"\r\n":
                        start = stop
                        break
                    start = stop
                    continue
                end = buffer.find(b"\r\n\r\n", start + scanned)
                if end < 0:
                    if size - start > self._limits.message_bytes:
                        return self._lost("message too large", 513, buffer[start : start + 4096], messages)
                    # The last three octets may be the beginning of the empty line.
                    scanned = max(0, size - start - 3)
                    break
                scanned = 0
                lengths = _LENGTH.findall(buffer, start, end)
                if not lengths:
                    return self._lost("no Content-Length on a stream", 400, buffer[start : end + 4], messages)
                text = lengths[0].strip()
                if len(set(lengths)) != 1 or not text.isdigit() or len(text) > 10:
                    return self._lost("a Content-Length that can't be read", 400, buffer[start : end + 4], messages)
                need = end + 4 - start + int(text)
                if need > self._limits.message_bytes:
                    return self._lost("message too large", 513, buffer[start : end + 4], messages)
            if size - start < need:
                break
            messages.append(bytes(buffer[start : start + need]))
            start += need
            need = 0
        if held:
            del held[:start]
        else:
            held += buffer[start:]
        self._need, self._scanned = need, scanned
        return messages

    def _skip_line_ends(self, buffer: bytes | bytearray, start: int) -> int:
        """Where the line ends from ``start`` on stop; up to three octets that may become a ping stay when nothing follows."""
        match = _LINE_ENDS.match(buffer, start)
        if match is None:
            return start
        pings, stop = match.end(1), match.end()
        self.pings += (pings - start) // 4
        return pings if stop == len(buffer) and stop - pings < 4 else stop

    def _lost(self, reason: str, status: int, head: bytes | bytearray, messages: list[bytes]) -> list[bytes]:
        self._buffer = bytearray()
        self._fault = FramingError(reason, status, bytes(head))
        if messages:
            return messages
        raise self._fault
