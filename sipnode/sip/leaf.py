"""The native leaf (:file:`_leaf.c`): what each message needs, in C, where it was built and isn't switched off (``SIPNODE_LEAF=0``).

Its functions do the usual case and give None for all others, so that whoever calls one goes on in Python then; without the leaf they are
None themselves. The functions in Python are the reference: :func:`sipnode.sip.parser.read_message`, :func:`joined`,
:func:`sipnode.sip.grammar.line_value`, ``Via.read``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from sipnode.sip.headers import SINGLE, SPELLINGS
from sipnode.sip.methods import METHODS

Scan = Callable[[bytes, int, int, int, int, bool], tuple[int, str, str, list[str], list[str], dict[str, int], bytes] | None]
Join = Callable[[str, list[str], bytes], bytes | None]
Value = Callable[[str], str | None]
ReadVia = Callable[[str], tuple[str, str, int, str, str] | None]


def _load() -> tuple[Scan | None, Join | None, Value | None, ReadVia | None]:
    if os.environ.get("SIPNODE_LEAF", "") == "0":
        return None, None, None, None
    try:
        from sipnode.sip import _leaf
    except ImportError:
        return None, None, None, None
    _leaf.learn(SPELLINGS, SINGLE, METHODS)
    return _leaf.scan, _leaf.join, _leaf.value, _leaf.via


_LEAF: Final = _load()
SCAN: Final[Scan | None] = _LEAF[0]
"""Octets, the bounds of :class:`~sipnode.sip.parser.Limits` in their order, exact → status or 0, reason or method, Request-URI or "",
names, lines, index, body."""
JOIN: Final[Join | None] = _LEAF[1]
"""Start line, lines, body → octets."""
VALUE: Final[Value | None] = _LEAF[2]
"""A header line → its value."""
VIA: Final[ReadVia | None] = _LEAF[3]
"""A Via value → transport, host, port or 0, parameters, branch."""


def joined(start_line: str, lines: list[str], body: bytes) -> bytes:
    """A message as octets, in Python: the reference of the leaf's, and what writes text outside of ASCII."""
    head = start_line + "\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + body
