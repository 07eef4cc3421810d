"""A stream of octets cut into messages and keepalives.

Implements: RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1, §4.4.1. Octets in, whole messages out; no clock: whoever owns the
connection asks :attr:`StreamFramer.partial` and closes what stays so for too long.
"""

from __future__ import annotations

import re
from typing import Final

from sipnode.errors import FramingError
from sipnode.sip.parser import DEFAULT_LIMITS, Limits

_LENGTH: Final = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*((?:[^\r\n]|\r\n[ \t])*)", re.I)


class StreamFramer:
    """The receiving half of one connection.

    Attributes:
        pings: Keepalives (CRLFCRLF) of the last :meth:`feed`; each wants one CRLF back (RFC 5626 §4.4.1).
    """

    __slots__ = ("_buffer", "_limits", "_need", "_scanned", "pings")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._buffer = b""
        self._limits = limits
        self._scanned = 0
        self._need = 0
        self.pings = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and isn't whole."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets; give the messages that are whole now, each without line ends before its start line.

        Raises:
            FramingError: the frame is lost: no or bad Content-Length, or a message over the limits. Messages that were
                whole before the fault are given in ``args[1]`` of no error: feed smaller pieces to keep them; the
                framer delivers them first and raises at the next call.
        """
        self.pings = 0
        buffer = self._buffer + data if self._buffer else data
        messages: list[bytes] = []
        while buffer:
            if self._need:
                if len(buffer) < self._need:
                    break
                messages.append(buffer[: self._need])
                buffer = buffer[self._need :]
                self._need = self._scanned = 0
                continue
            if buffer[:1] in b"\r\n":
                buffer = self._skip_line_ends(buffer)
                if buffer[:1] in b"\r\n":
                    break
                self._scanned = 0
                continue
            end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
            if end < 0:
                self._scanned = len(buffer)
                if len(buffer) > self._limits.message_bytes:
                    return self._lost("message too large", 513, buffer[:4096], messages)
                break
            lengths = _LENGTH.findall(buffer, 0, end)
            if not lengths:
                return self._lost("no Content-Length on a stream", 400, buffer[: end + 4], messages)
            text = lengths[0].strip()
            if len(set(lengths)) != 1 or not text.isdigit() or len(text) > 10:
                return self._lost("a Content-Length that can't be read", 400, buffer[: end + 4], messages)
            self._need = end + 4 + int(text)
            if self._need > self._limits.message_bytes:
                self._need = 0
                return self._lost("message too large", 513, buffer[: end + 4], messages)
        self._buffer = buffer
        return messages

    def _skip_line_ends(self, buffer: bytes) -> bytes:
        """Line ends before a start line taken off; one CRLF or CR alone stays, as it may be the first half of a ping."""
        while buffer[:4] == b"\r\n\r\n":
            self.pings += 1
            buffer = buffer[4:]
        if len(buffer) >= 4 or buffer.strip(b"\r\n"):
            return buffer.lstrip(b"\r\n")
        return buffer

    def _lost(self, reason: str, status: int, head: bytes, messages: list[bytes]) -> list[bytes]:
        if messages:
            # What was whole goes out first; the fault is still there at the next call.
            self._buffer = head
            self._scanned = 0
            return messages
        self._buffer = b""
        raise FramingError(reason, status, head)
