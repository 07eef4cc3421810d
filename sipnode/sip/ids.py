"""Branches, tags and Call-IDs (RFC 3261 §8.1.1.4, §8.1.1.7, §19.3).

A process-wide random prefix makes them unguessable (more than 32 bits of randomness in each); a counter makes
them unique and cheap.
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


def new_branch() -> str:
    """A branch for a new client transaction."""
    return f"{BRANCH_PREFIX}.{next(_counter):x}"


def new_tag() -> str:
    """A From or To tag."""
    return f"{urandom(4).hex()}{next(_counter):x}"


def new_call_id() -> str:
    """A Call-ID."""
    return f"{urandom(8).hex()}{next(_counter):x}"
