"""Keys on both sides of the manhole: the listed public keys and the server's own host key.

Invariant: a file that others could have written lets nobody in, and a line that can't be read as a plain key counts as no key.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.checkers import IAuthorizedKeysDB
from twisted.conch.ssh.keys import Key
from twisted.logger import Logger
from zope.interface import implementer

from sipnode.errors import ConfigError
from sipnode.privatefile import load_or_create

HOST_KEY: Final = "manhole_host_key"
_KEY: Final = "manhole.authorized_keys"
_MOST_OCTETS: Final = 1_000_000
_log = Logger(namespace="sipnode.manhole")


def read_keys(path: Path) -> list[Any]:
    """The keys of a file in OpenSSH's authorized_keys format.

    A line with options before its key (``from="..."``, ``restrict``) isn't used: what it forbids would not be forbidden here.

    Raises:
        ConfigError: no such file, one that others may write, or one without a key.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or state.st_uid not in (os.geteuid(), 0):
                raise ConfigError(f"{path} can be written by others: chmod go-w, and let it belong to the server's user", key=_KEY)
            lines = file.read(_MOST_OCTETS).splitlines()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", key=_KEY) from None
    found = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            key = Key.fromString(text)
            if key.isPublic():
                found.append(key)
        except Exception:  # Conch raises whatever its parts do: BadKeyError, struct.error, ValueError
            continue
    if not found:
        raise ConfigError(f"{path} has no key that can be used (one 'ssh-ed25519 AAAA... name' a line): nobody could get in", key=_KEY)
    return found


@implementer(IAuthorizedKeysDB)
class KeyFile:
    """The file, read at each login, so that a key that was taken out is out at once.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def getAuthorizedKeys(self, username: bytes) -> list[Any]:
        """Conch: the keys of a user; every name has all of them."""
        try:
            return read_keys(self._path)
        except ConfigError as error:
            _log.warn("nobody is let in: {reason}", reason=error.reason)
            return []


def host_key(state_dir: Path) -> Any:
    """The server's key; its first start makes it, for its own user alone.

    Raises:
        ConfigError: the file can't be used.
    """
    path = state_dir / HOST_KEY
    text = load_or_create(path, "the manhole's host key", _new_key, _log)
    try:
        return Key.fromString(text)
    except Exception as error:  # as above
        raise ConfigError(f"the manhole's host key can't be read ({error}); delete the file to get a new one", file=str(path)) from None


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
