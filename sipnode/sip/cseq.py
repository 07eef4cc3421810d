"""CSeq: the number and the method of a request within its dialog.

Implements: RFC 3261 §20.16, §8.1.1.5 (numbers below 2**31).
"""

from __future__ import annotations

from typing import Final

from sipnode.errors import ParseError

_KEPT: Final = 4096
_LONGEST: Final = 64
_read: dict[str, tuple[int, str]] = {}
"""By the whole line: nearly every dialog begins with the same."""


def cseq_of(line: str) -> tuple[int, str]:
    """Number and method of a header line.

    Raises:
        ParseError: it can't be read.
    """
    found = _read.get(line)
    if found is None:
        parts = line.partition(":")[2].split()
        if len(parts) != 2 or not (parts[0].isascii() and parts[0].isdigit()):
            raise ParseError("a CSeq that can't be read")
        number, method = parts
        if len(number) > 20 or int(number) >= 1 << 31:
            raise ParseError("CSeq out of range")
        found = int(number), method
        if len(line) <= _LONGEST:
            if len(_read) >= _KEPT:
                _read.clear()
            _read[line] = found
    return found
