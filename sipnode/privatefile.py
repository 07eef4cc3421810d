"""A file that only the server's own user can read, made at its first start.

Invariant: the file is whole or absent, and never readable by others from the moment it exists.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from twisted.logger import Logger

from sipnode.errors import ConfigError


def load_or_create(path: str | os.PathLike[str], what: str, make: Callable[[], bytes], log: Logger, most: int = 65536) -> bytes:
    """Read the file; the first start makes it.

    A file that others can read is made private again, with a warning in the log.

    Args:
        what: What it is, for people: "the server's secret".
        make: Its content where there is none.
        most: Octets that are read.

    Raises:
        ConfigError: it can't be read or written, belongs to somebody else, or is a link.
    """
    path = os.fspath(path)
    try:
        try:
            return _read(path, what, log, most)
        except FileNotFoundError:
            _create(path, make())
            return _read(path, what, log, most)
    except OSError as fault:
        raise ConfigError(f"{what} can't be used: {fault.strerror}", file=path) from fault


def _create(path: str, content: bytes) -> None:
    # Written beside and linked into place, so that two first starts at once agree on one.
    beside = f"{path}.{os.getpid()}.new"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        os.unlink(beside)


def _read(path: str, what: str, log: Logger, most: int) -> bytes:
    # O_NONBLOCK: a FIFO in the file's place must not hold up the start.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"{what} has to be a regular file", file=path)
        if state.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"{what} belongs to user {state.st_uid}; it has to be the server's own", file=path)
        if state.st_mode & 0o077:
            os.fchmod(handle, 0o600)
            log.warn(
                "{path} could be read by others (mode {mode}); it is private now, delete it to get a new one",
                path=path,
                mode=oct(state.st_mode & 0o777),
            )
        return os.read(handle, most)
    finally:
        os.close(handle)
