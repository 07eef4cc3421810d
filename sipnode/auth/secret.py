"""The server's secret: 32 random octets in a file that only its owner can read.

Everything that has to be recognised as our own later (nonces, signed route parameters) is keyed from it, each use with
:func:`derive`. Invariant: the file is whole or absent, and never readable by others from the moment it exists.
"""

from __future__ import annotations

import hmac
import os
import stat
from typing import Final

from twisted.logger import Logger

from sipnode.errors import ConfigError

SECRET_LENGTH: Final = 32
_log = Logger("sipnode.auth")


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of its own for one purpose, 32 octets; keys of different purposes tell nothing of each other."""
    return hmac.digest(secret, purpose.encode("ascii"), "sha256")


def load_or_create_secret(path: str | os.PathLike[str]) -> bytes:
    """Read the secret; the first start makes it.

    A file that others can read is made private again, with a warning in the log.

    Raises:
        ConfigError: the file can't be read or written, belongs to somebody else, is a link or has another length.
    """
    path = os.fspath(path)
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _create(path)
            return _read(path)
    except OSError as fault:
        raise ConfigError(f"the server's secret can't be used: {fault.strerror}", file=path) from fault


def _create(path: str) -> None:
    # Written beside and linked into place, so that two first starts at once agree on one secret.
    beside = f"{path}.{os.getpid()}.new"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(handle, os.urandom(SECRET_LENGTH))
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        os.unlink(beside)


def _read(path: str) -> bytes:
    # O_NONBLOCK: a FIFO in the file's place must not hold up the start.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError("the server's secret has to be a regular file", file=path)
        if state.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"the server's secret belongs to user {state.st_uid}; it has to be the server's own", file=path)
        if state.st_mode & 0o077:
            os.fchmod(handle, 0o600)
            _log.warn(
                "{path} could be read by others (mode {mode}); it is private now, delete it to get a new one",
                path=path,
                mode=oct(state.st_mode & 0o777),
            )
        secret = os.read(handle, SECRET_LENGTH + 1)
    finally:
        os.close(handle)
    if len(secret) != SECRET_LENGTH:
        raise ConfigError(
            f"the server's secret has {len(secret)} octets instead of {SECRET_LENGTH}; delete the file to get a new one", file=path
        )
    return secret
