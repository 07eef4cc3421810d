"""One whole message from octets.

Implements: RFC 3261 §7, §18.3, §25.1. Only what is needed to find the header lines is done here; values are read when
somebody asks for them (see :mod:`sipnode.sip.message`), and what a request must have is checked by
:mod:`sipnode.sip.sanity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sipnode.errors import ParseError
from sipnode.sip.grammar import is_token, line_value
from sipnode.sip.headers import SINGLE, SPELLINGS, canonical
from sipnode.sip.leaf import SCAN
from sipnode.sip.message import SipMessage, SipRequest, SipResponse


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a message; over them it's a 513.

    Attributes:
        message_bytes: Head and body together.
        header_lines: Header lines, folds not counted.
        line_bytes: One header line with its folds.
        via_values: Values of Via over all its lines.
    """

    message_bytes: int = 65536
    header_lines: int = 128
    line_bytes: int = 8192
    via_values: int = 64


DEFAULT_LIMITS: Final = Limits()
_CR: Final = 13
CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})
"""No header has them (RFC 3261 §25.1), and what a sloppy peer makes of NUL, vertical tab or ESC is nobody's to find out."""
_spelled: Final = SPELLINGS.get
_SEEN: Final = bytes.maketrans(CONTROLS, b"?" * len(CONTROLS))
_SHAPES: Final = 512
_LONGEST_SHAPE: Final = 1024
_shapes: dict[str, tuple[list[str], dict[str, int], str]] = {}
"""Names of header lines as they were written, in order -> their canonical names, index, and which stands twice and mustn't. A peer has few
of these, as each kind of its messages has the same lines every time.
"""
_METHODS: Final = frozenset(
    "INVITE ACK BYE CANCEL REGISTER OPTIONS MESSAGE INFO UPDATE PRACK REFER SUBSCRIBE NOTIFY PUBLISH".split()  # noqa: SIM905
)


class BrokenMessage(ParseError):
    """A message with a fault in its frame; ``message`` is as much of it as could be read.

    Attributes:
        message: Enough to answer a request, or None where nothing could be read.
    """

    def __init__(self, reason: str, status: int, message: SipMessage | None) -> None:
        super().__init__(reason, status)
        self.message = message


def parse_message(data: bytes, limits: Limits = DEFAULT_LIMITS, exact: bool = False) -> SipRequest | SipResponse:
    """Read one message: a datagram, a message cut out of a stream, or a WebSocket message.

    Args:
        data: The octets; line ends before the start line are skipped.
        limits: Bounds.
        exact: The body has to be as long as Content-Length says (RFC 7118 §5: one message a frame); otherwise further
            octets are ignored (RFC 3261 §18.3).

    Raises:
        BrokenMessage: with the status that answers it and what could be read of it.
    """
    if SCAN is not None:
        found = SCAN(data, limits.message_bytes, limits.header_lines, limits.line_bytes, limits.via_values, exact)
        if found is not None:
            status, word, uri, names, lines, index, body = found
            message: SipRequest | SipResponse
            if status:
                message = SipResponse(status, word, names, lines, body, index)
            else:
                message = SipRequest(word, uri, names, lines, body, "SIP/2.0", index)
            message.size = len(data)
            return message
    return read_message(data, limits, exact)


def read_message(data: bytes, limits: Limits, exact: bool) -> SipRequest | SipResponse:
    """:func:`parse_message` in Python: the reference, and what reads all that the leaf leaves alone.

    Raises:
        BrokenMessage: with the status that answers it and what could be read of it.
    """
    if not data or data[0] <= _CR:
        data = data.lstrip(b"\r\n")
    octets, blank, body = data.partition(b"\r\n\r\n")
    fault = ""
    status = 400
    if not blank:
        fault = "no empty line after the header"
        octets = data[: limits.message_bytes]
        head = octets.decode("utf-8", "surrogateescape").rstrip("\r\n")
    else:
        head = octets.decode("utf-8", "surrogateescape")
    if len(data) > limits.message_bytes:
        fault, status = "message too large", 513
    lines = head.split("\r\n")
    text = "".join(lines)
    if "\n" in text or "\r" in text:
        fault = fault or "a bare CR or LF in the header"
    if octets.translate(_SEEN) != octets:
        # Where nothing is translated the very same object comes back, which costs no comparison.
        fault = fault or "a control character in the header"
    start = lines[0]
    del lines[0]
    count = len(lines)
    cut = []
    for line in lines:
        name, colon, _ = line.partition(":")
        cut.append(name if colon else "")
    written = ":".join(cut)
    shape = _shapes.get(written)
    if shape is not None and count <= limits.header_lines:
        names, index = shape[0].copy(), shape[1]
        fault = fault or shape[2]
    else:
        names = [_spelled(name, "") for name in cut]
        as_written = count > 0
        if "" in names:
            lines = _unfold(lines)
            names = [_odd_name(line) for line in lines]
            as_written = len(lines) == count and "" not in names
            if "" in names:
                fault = fault or "a line that is no header"
            count = len(lines)
        if count > limits.header_lines:
            fault, status = "too many header lines", 513
            count = limits.header_lines
            del lines[count:]
            del names[count:]
            as_written = False
        # Backwards, so that the first line of a name is the one that stays.
        index = dict(zip(reversed(names), range(count - 1, -1, -1), strict=True))
        twice = ""
        if len(index) != count:
            for name in SINGLE.intersection(index):
                if names.count(name) > 1:
                    twice = f"{name} given twice"
        if as_written and len(written) <= _LONGEST_SHAPE:
            if len(_shapes) >= _SHAPES:
                _shapes.clear()
            _shapes[written] = names.copy(), index, twice
        fault = fault or twice
    if len(head) > limits.line_bytes and lines and len(max(lines, key=len)) > limits.line_bytes:
        fault, status = "a header line too long", 513
    message: SipRequest | SipResponse
    if start[:8] == "SIP/2.0 ":
        number = start[8:11]
        if not (number.isascii() and number.isdigit()) or start[11:12] not in ("", " ") or not 100 <= int(number) <= 699:
            raise BrokenMessage("a status line that can't be read", 400, None)
        message = SipResponse(int(number), start[12:], names, lines, body, index)
    else:
        parts = start.split(" ")
        if len(parts) != 3 or not parts[1]:
            # RFC 4475 §3.1.2.8 .. §3.1.2.10: blanks too many between the three parts, or behind them, are let pass.
            parts = start.split()
            if len(parts) < 3 or not parts[-1].startswith("SIP/"):
                raise BrokenMessage("a start line that can't be read", 400, None)
            if len(parts) > 3:
                fault = fault or "white space in the Request-URI"
                parts = [parts[0], " ".join(parts[1:-1]), parts[-1]]
        method, uri, version = parts
        if version != "SIP/2.0":
            if version.upper() == "SIP/2.0":
                version = "SIP/2.0"
            elif version[:4].upper() != "SIP/":
                raise BrokenMessage("not SIP", 400, None)
            elif not fault:
                fault, status = "SIP version not supported", 505
        if method not in _METHODS and not is_token(method):
            fault = fault or "a method that is no token"
        message = SipRequest(method, uri, names, lines, body, version, index)
    if not fault:
        position = index.get("content-length", -1)
        if position >= 0 and lines[position] != f"Content-Length: {len(body)}":
            value = line_value(lines[position])
            if value == str(len(body)):
                pass
            elif not (value.isascii() and value.isdigit()):
                fault = "a Content-Length that can't be read"
            elif len(value) > 10 or int(value) > len(body):
                fault = "the body is shorter than Content-Length"
            elif int(value) < len(body):
                if exact:
                    fault = "octets after the message"
                message.body = body[: int(value)]
        # A Via value takes a dozen octets at the least.
        if len(head) > limits.via_values * 12 and (count > limits.via_values or head.count(",") >= limits.via_values):
            try:
                if len(message.values("via")) > limits.via_values:
                    fault, status = "too many Via values", 513
            except ParseError as error:
                fault = error.reason
    message.size = len(data)
    if fault:
        raise BrokenMessage(fault, status, message)
    return message


def _unfold(lines: list[str]) -> list[str]:
    """Folded lines joined to the line that they continue, fold and all."""
    starts = [at for at, line in enumerate(lines) if not at or line[:1] not in (" ", "\t")]
    return ["\r\n".join(lines[at:end]) for at, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _odd_name(line: str) -> str:
    """Canonical name of any header line; "" where it's none."""
    name, colon, _ = line.partition(":")
    known = _spelled(name) if colon else None
    if known is not None:
        return known
    name = name.rstrip(" \t")
    if not colon or not is_token(name):
        return ""
    return canonical(name)
