"""Bencoding, the data format of rtpengine's ng protocol, in both directions.

Pure. Implements: the bencoding that rtpengine's control protocol "ng" is written in.

We write the canonical form: dictionary keys sorted by their octets. rtpengine writes its keys in whatever order suits
it, so reading takes them in any order; a key that stands twice is refused, for two readers could disagree on it. All
else is strict: no leading zeros, no ``-0``, nothing after the value.

The one invariant: ``decode(encode(x)) == x`` for every x built of int, bytes, list and dict with bytes keys, and
hostile octets raise BencodeError and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sipnode.errors import MediaError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"
"""Results of decoding."""

Encodable: TypeAlias = "int | str | bytes | Sequence[Encodable] | Mapping[str, Encodable] | Mapping[bytes, Encodable]"
"""Values that encoding takes; text becomes UTF-8, and octets that came in by surrogateescape go out as they were."""

Command: TypeAlias = "dict[str, Encodable]"
"""A message to the daemon, or fields of one, before it is encoded."""

MAX_BYTES = 65_535
"""Octets of a message: what a UDP datagram can hold."""

MAX_DEPTH = 24
"""Nested lists and dictionaries; a ``query`` reply of rtpengine has about ten."""

MAX_DIGITS = 20
"""Digits of an integer: an unsigned 64-bit number has twenty."""

_ZERO, _NINE, _MINUS = b"09-"
_INTEGER, _LIST, _DICT, _END = b"ilde"


class BencodeError(MediaError):
    """Octets or a value that aren't bencoding; ``status`` is 500, for the fault lies between the daemon and us."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"bencoding: {reason}", 500)


def encode(value: Encodable) -> bytes:
    """Write a value in canonical form.

    Raises:
        BencodeError: A type that has no form (float, bool, None), or deeper than MAX_DEPTH.
    """
    out: list[bytes] = []
    _write(value, out, 0)
    return b"".join(out)


def _write(value: object, out: list[bytes], depth: int) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        out.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, int) and not isinstance(value, bool):
        out.append(b"i%de" % value)
    elif depth >= MAX_DEPTH:
        raise BencodeError(f"deeper than {MAX_DEPTH}")
    elif isinstance(value, (dict, Mapping)):
        # A dictionary is one at a glance; the abstract class takes a look at its registry.
        _write_dictionary(value, out, depth)
    elif isinstance(value, (list, tuple)):
        out.append(b"l")
        for item in value:
            _write(item, out, depth + 1)
        out.append(b"e")
    else:
        raise BencodeError(f"no form for {type(value).__name__}")


def _write_dictionary(value: Mapping[object, object], out: list[bytes], depth: int) -> None:
    items: dict[bytes, object] = {}
    for key, item in value.items():
        name = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
        if not isinstance(name, bytes):
            raise BencodeError(f"a key is {type(key).__name__}, not text or octets")
        if name in items:
            raise BencodeError(f"key {name[:40]!r} twice")
        items[name] = item
    out.append(b"d")
    for name in sorted(items):
        item = items[name]
        # Most values of a command are text, which is written here: this is half of what a command costs.
        if isinstance(item, str):
            item = item.encode("utf-8", "surrogateescape")
        if isinstance(item, bytes):
            out.append(b"%d:%b%d:%b" % (len(name), name, len(item), item))
        else:
            out.append(b"%d:%b" % (len(name), name))
            _write(item, out, depth + 1)
    out.append(b"e")


def decode(data: bytes) -> Value:
    """Read exactly one value.

    Raises:
        BencodeError: Longer than MAX_BYTES, deeper than MAX_DEPTH, not bencoding, or octets left over.
    """
    if len(data) > MAX_BYTES:
        raise BencodeError(f"longer than {MAX_BYTES} octets")
    value, end = _read(data, 0, 0)
    if end != len(data):
        raise BencodeError(f"{len(data) - end} octets after the value")
    return value


def decode_dictionary(data: bytes) -> dict[bytes, Value]:
    """Read exactly one dictionary: the form of every ng message. Raises BencodeError."""
    value = decode(data)
    if not isinstance(value, dict):
        raise BencodeError(f"{type(value).__name__} where a dictionary belongs")
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if at >= len(data):
        raise BencodeError("cut short")
    first = data[at]
    if _ZERO <= first <= _NINE:
        return _read_string(data, at)
    if first == _INTEGER:
        return _read_integer(data, at)
    if first not in (_LIST, _DICT):
        raise BencodeError(f"octet 0x{first:02x} at {at} begins no value")
    if depth >= MAX_DEPTH:
        raise BencodeError(f"deeper than {MAX_DEPTH}")
    return _read_list(data, at + 1, depth + 1) if first == _LIST else _read_dictionary(data, at + 1, depth + 1)


def _number(data: bytes, start: int, end: int) -> int:
    digits = data[start:end]
    if not 1 <= len(digits) <= MAX_DIGITS or not digits.isdigit() or (len(digits) > 1 and digits[0] == _ZERO):
        raise BencodeError(f"no number at {start}")
    return int(digits)


def _read_string(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.find(b":", at, at + MAX_DIGITS + 1)
    if colon < 0:
        raise BencodeError(f"no length at {at}")
    begin = colon + 1
    end = begin + _number(data, at, colon)
    if end > len(data):
        raise BencodeError("cut short in a string")
    return data[begin:end], end


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    end = data.find(b"e", at, at + MAX_DIGITS + 3)
    if end < 0:
        raise BencodeError(f"no end of the integer at {at}")
    if data[at + 1] != _MINUS:
        return _number(data, at + 1, end), end + 1
    number = _number(data, at + 2, end)
    if number == 0:
        raise BencodeError(f"minus zero at {at}")
    return -number, end + 1


def _read_list(data: bytes, at: int, depth: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while at < len(data) and data[at] != _END:
        item, at = _read(data, at, depth)
        items.append(item)
    if at >= len(data):
        raise BencodeError("cut short in a list")
    return items, at + 1


def _read_dictionary(data: bytes, at: int, depth: int) -> tuple[dict[bytes, Value], int]:
    items: dict[bytes, Value] = {}
    while at < len(data) and data[at] != _END:
        if not _ZERO <= data[at] <= _NINE:
            raise BencodeError(f"a key at {at} is no string")
        key, at = _read_string(data, at)
        if key in items:
            raise BencodeError(f"key {key[:40]!r} twice")
        items[key], at = _read(data, at, depth)
    if at >= len(data):
        raise BencodeError("cut short in a dictionary")
    return items, at + 1
