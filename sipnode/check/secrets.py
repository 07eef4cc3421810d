"""Who else on this machine can read what the server keeps secret, or change what it runs? Modes and owners are looked at, and left.

Files that the server made itself are for its user alone. Those of an operator (configuration, keys of certificates) may be read by a
group too, as ``root:sipnode 0640`` is the usual way of giving a service a file that it can't change.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from sipnode.errors import ConfigError
from sipnode.settings import Settings, contents
from sipnode.storage.factory import database_path

Warn = Callable[[ConfigError], None]

OWN: Final = ("secret", "rpc.token", "manhole_host_key")
"""Files of the state folder that the server makes; it makes them private again at its start."""
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
_URLS: Final = ("storage.url", "auth.backend_url")
_URL_PASSWORD: Final = re.compile(r"//[^/?#@]*:[^/?#@]+@|\b(?:password|token|key|secret)=", re.IGNORECASE)


def check_secrets(settings: Settings, file: Path, state: Path, keys: Iterable[str], warn: Warn) -> None:
    """Warn of each secret that others can read, and of what others can change.

    Args:
        file: The configuration.
        state: ``[core] state_dir``.
        keys: Paths of private keys of certificates.
    """
    owners = _owners(state)
    for name in OWN:
        _own(state / name, "a start makes it private", owners, warn)
    for path in _databases(settings, state):
        _own(path, "it has the users' passwords: chmod go-rwx", owners, warn)
    if settings.rpc.socket:
        _own(state / settings.rpc.socket, "who can write it rules the server", owners, warn)
    named = ", ".join(secret_keys(settings))
    if named:
        _given(file, f"it has {named}: chmod o-rwx", owners, warn)
    for key in sorted(set(keys)):
        _given(Path(key), "it is a private key: chmod o-rwx", owners, warn)
    script = settings.routing.script.rpartition(".")[0].replace(".", "/")
    changeable = [file, file.parent, state, *([file.parent / f"{script}.py", file.parent / script] if script else ())]
    for path in dict.fromkeys(changeable):
        _unchanged(path, owners, warn)


def secret_keys(settings: Settings) -> list[str]:
    """Settings of the file that hold a secret, as ``section.name``."""
    found = []
    for section, content in contents(settings):
        for field in dataclasses.fields(content):
            value = getattr(content, field.name)
            key = f"{section}.{field.name}"
            # The address of a store or a backend is one only with a password in it.
            if field.metadata.get("secret") and value and (key not in _URLS or _URL_PASSWORD.search(str(value))):
                found.append(key)
    return found


def _databases(settings: Settings, state: Path) -> list[Path]:
    try:
        path = database_path(settings.storage.url, str(state))
    except ConfigError:
        return []
    return [Path(path + ending) for ending in _BESIDE]


def _owners(state: Path) -> set[int]:
    """Permitted owners of these files: root, those of who asks, and those of who has the state folder."""
    seen = _look(state)
    return {0, os.geteuid()} | ({seen.st_uid} if seen else set())


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _own(path: Path, remedy: str, owners: set[int], warn: Warn) -> None:
    seen = _look(path)
    if seen is not None:
        mode = stat.S_IMODE(seen.st_mode)
        if mode & 0o077:
            warn(ConfigError(f"can be read by others (mode {mode:o}); {remedy}", file=str(path)))
        _owned(path, seen, owners, warn)


def _given(path: Path, remedy: str, owners: set[int], warn: Warn) -> None:
    seen = _look(path)
    if seen is not None:
        mode = stat.S_IMODE(seen.st_mode)
        if mode & 0o007:
            warn(ConfigError(f"can be read by everybody (mode {mode:o}); {remedy}", file=str(path)))
        elif mode & 0o020:
            warn(ConfigError(f"can be changed by its group (mode {mode:o}): chmod g-w", file=str(path)))
        _owned(path, seen, owners, warn)


def _unchanged(path: Path, owners: set[int], warn: Warn) -> None:
    seen = _look(path)
    if seen is not None:
        mode = stat.S_IMODE(seen.st_mode)
        if mode & stat.S_IWOTH and not (stat.S_ISDIR(seen.st_mode) and mode & stat.S_ISVTX):
            warn(ConfigError(f"can be changed by everybody (mode {mode:o}), and the server does what it says: chmod o-w", file=str(path)))
        _owned(path, seen, owners, warn)


def _owned(path: Path, seen: os.stat_result, owners: set[int], warn: Warn) -> None:
    if seen.st_uid not in owners:
        try:
            name = pwd.getpwuid(seen.st_uid).pw_name
        except KeyError:
            name = str(seen.st_uid)
        warn(ConfigError(f"belongs to {name}, who can read and change it: let it belong to root or to the server's user", file=str(path)))
