"""Who may use the console, and what for: names, roles, hashes of passwords. Pure.

Implements: RFC 7914 (scrypt). The invariant: a password that belongs to nobody costs the same hash as one that does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

VIEWER: Final = "viewer"
ADMIN: Final = "admin"
_KIND: Final = "scrypt"
_COST: Final = 14
"""Binary logarithm of scrypt's N: 16 MiB and some 50 ms for each guess."""
_BLOCK: Final = 8
_MOST_COST: Final = 17
_MOST_BLOCK: Final = 16
_MOST_PASSWORD: Final = 1024


@dataclass(frozen=True, slots=True)
class Member:
    """A user of the console.

    Attributes:
        name: As typed; ``user@domain`` for one whose password is that of its phone.
        role: ``viewer`` or ``admin``.
        secret: Hash of its password; "" for a user of a domain.
    """

    name: str
    role: str
    secret: str


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _stretched(password: str, salt: bytes, cost: int, block: int) -> bytes:
    data = password.encode("utf-8", "surrogatepass")[:_MOST_PASSWORD]
    return hashlib.scrypt(data, salt=salt, n=1 << cost, r=block, p=1, maxmem=(1 << cost) * block * 256 + 1048576, dklen=32)


def hashed(password: str) -> str:
    """The hash of a password, as ``[console] users`` has it: ``scrypt:COST:BLOCK:SALT:HASH``."""
    salt = secrets.token_bytes(16)
    return f"{_KIND}:{_COST}:{_BLOCK}:{_encoded(salt)}:{_encoded(_stretched(password, salt, _COST, _BLOCK))}"


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one that was hashed; it takes tens of milliseconds, so not in the reactor's thread."""
    kind, *parts = kept.split(":")
    try:
        cost, block = int(parts[0]), int(parts[1])
        salt, wanted = _decoded(parts[2]), _decoded(parts[3])
    except (IndexError, ValueError, binascii.Error):
        return False
    if kind != _KIND or not 1 <= cost <= _MOST_COST or not 1 <= block <= _MOST_BLOCK:
        return False
    return hmac.compare_digest(_stretched(password, salt, cost, block), wanted)


NOBODY: Final = f"{_KIND}:{_COST}:{_BLOCK}:{_encoded(bytes(16))}:{_encoded(bytes(32))}"
"""What the password of an unknown name is compared with."""


class Members:
    """All of them by name.

    Args:
        lines: ``[console] users``, each of the form that :func:`sipnode.forms.member` wants.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._members: dict[str, Member] = {}
        for line in lines:
            name, role, *rest = line.split(" ")
            name = _canonical(name)
            self._members[name] = Member(name, role, rest[0] if rest else "")

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> Member | None:
        """One of them; the domain of a name is compared without regard to case."""
        return self._members.get(_canonical(name))


def _canonical(name: str) -> str:
    user, at, domain = name.rpartition("@")
    return f"{user}@{domain.lower()}" if at else name
