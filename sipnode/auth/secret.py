"""The server's secret: 32 random octets in a file that only its owner can read.

Everything that has to be recognised as our own later (nonces, signed route parameters) is keyed from it, each use with
:func:`derive`. Invariant: the file is whole or absent, and never readable by others from the moment it exists.
"""

from __future__ import annotations

import hmac
import os
from typing import Final

from twisted.logger import Logger

from sipnode.errors import ConfigError
from sipnode.privatefile import load_or_create

SECRET_LENGTH: Final = 32
_log = Logger("sipnode.auth")


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of its own for one purpose, 32 octets; keys of different purposes tell nothing of each other."""
    return hmac.digest(secret, purpose.encode("ascii"), "sha256")


def load_or_create_secret(path: str | os.PathLike[str]) -> bytes:
    """Read the secret; the first start makes it.

    Raises:
        ConfigError: the file can't be read or written, belongs to somebody else, is a link or has another length.
    """
    secret = load_or_create(path, "the server's secret", lambda: os.urandom(SECRET_LENGTH), _log, SECRET_LENGTH + 1)
    if len(secret) != SECRET_LENGTH:
        raise ConfigError(
            f"the server's secret has {len(secret)} octets instead of {SECRET_LENGTH}; delete the file to get a new one",
            file=os.fspath(path),
        )
    return secret
