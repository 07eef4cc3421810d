"""The folder that the server keeps its state in, and the store: looked at, and left as they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sipnode.auth.secret import load_or_create_secret
from sipnode.errors import ConfigError, StorageError
from sipnode.settings import Settings
from sipnode.storage.look import look

Report = Callable[[ConfigError], None]
_SOCKET_OCTETS = 107


def check_folder(state: Path, settings: Settings, fault: Report) -> None:
    """Tell whether the state folder can be used, and what is wrong with what is in it."""
    place = state
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        fault(ConfigError(f"{place} is no folder", key="core.state_dir"))
        return
    if not os.access(place, os.W_OK | os.X_OK):
        fault(ConfigError(f"{place} can't be written", key="core.state_dir"))
    if settings.rpc.socket and len(os.fsencode((state / settings.rpc.socket).absolute())) > _SOCKET_OCTETS:
        fault(ConfigError(f"its path is longer than {_SOCKET_OCTETS} octets: write a shorter absolute one", key="rpc.socket"))
    secret = state / "secret"
    # Reading it would make it private, and a check changes nothing.
    if secret.exists() and not secret.stat().st_mode & 0o077:
        try:
            load_or_create_secret(secret)
        except ConfigError as error:
            fault(error)


def check_store(url: str, state: Path, fault: Report, warn: Report) -> None:
    """Tell whether the store has tables that can be used."""
    try:
        for text in look(url, str(state)):
            warn(ConfigError(text, key="storage.url"))
    except StorageError as error:
        fault(ConfigError(str(error), key="storage.url"))
    except ConfigError as error:
        fault(error)
