"""Branches, tags and Call-IDs (RFC 3261 §8.1.1.4, §8.1.1.7, §19.3).

A branch is what shows that a response comes from where the request went, so each has 64 random bits of its own: whoever has
seen any number of them can't tell the next (RFC 4086). A prefix of the process tells a loop. Tags and Call-IDs have 32 random
bits and more, and a counter that makes them unique.
"""

from __future__ import annotations

from itertools import count
from os import urandom
from typing import Final

MAGIC_COOKIE: Final = "z9hG4bK"
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """A non-negative integer in base 36."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _ALPHABET[rest] + digits
        if not number:
            return digits


BOOT: Final = base36(int.from_bytes(urandom(6), "big"))
"""Names this run of the program: part of every branch that it makes."""

BRANCH_PREFIX: Final = MAGIC_COOKIE + BOOT
"""How every branch made by this process begins; a Via that has it passed here before."""

_counter = count(int.from_bytes(urandom(3), "big"))

_RANDOM: Final = 16
"""Hexadecimal digits of a branch's own: 64 bits."""
_POOL: Final = 512
"""Branches that the system is asked for at once, which is what makes them cheap."""
_pool: list[str] = []


def new_branch() -> str:
    """A branch for a new client transaction; its alphabet is ``[0-9a-z.]`` behind the magic cookie."""
    if not _pool:
        digits = urandom(_POOL * _RANDOM // 2).hex()
        _pool.extend([digits[at : at + _RANDOM] for at in range(0, len(digits), _RANDOM)])
    return f"{BRANCH_PREFIX}.{_pool.pop()}"


def new_tag() -> str:
    """A From or To tag."""
    return f"{urandom(4).hex()}{next(_counter):x}"


def new_call_id() -> str:
    """A Call-ID."""
    return f"{urandom(8).hex()}{next(_counter):x}"
