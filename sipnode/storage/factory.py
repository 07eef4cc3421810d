"""From ``[storage] url`` to a store. A plugin adds a scheme by handing :func:`open_storage` a larger table of factories.

Invariant: a URL whose scheme nobody serves is a ConfigError that names those that are there; nothing is opened here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sipnode.errors import ConfigError
from sipnode.interfaces import IStorage
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.sqlite import SqliteStorage

# (what follows the scheme's colon, state_dir, reactor, cache_seconds) -> a store that isn't open yet
StorageFactory = Callable[[str, str, Any, float], IStorage]


def _sqlite(rest: str, state_dir: str, reactor: Any, cache_seconds: float) -> IStorage:
    return SqliteStorage(_path(rest, state_dir), reactor, cache_seconds)


def _memory(rest: str, state_dir: str, reactor: Any, cache_seconds: float) -> IStorage:
    return MemoryStorage(reactor, cache_seconds)


BUILT_IN: Final[Mapping[str, StorageFactory]] = MappingProxyType({"sqlite": _sqlite, "memory": _memory})


def open_storage(
    url: str, state_dir: str, reactor: Any, cache_seconds: float = 60.0, factories: Mapping[str, StorageFactory] = BUILT_IN
) -> IStorage:
    """The store that a URL names, to be opened with its ``open()``.

    Args:
        url: ``scheme:rest``; ``sqlite:FILE`` (relative to ``state_dir``) and ``memory:`` are built in.
        reactor: Threads and clock.
        cache_seconds: ``[auth] cache_seconds``.
        factories: By scheme in lower case.

    Raises:
        ConfigError: no factory for the scheme, or a rest that it can't use.
    """
    scheme, colon, rest = url.partition(":")
    factory = factories.get(scheme.lower()) if colon else None
    if factory is None:
        near = difflib.get_close_matches(scheme.lower(), factories, 1)
        hint = f"; did you mean {near[0]}:?" if near else f": write {' or '.join(f'{name}:…' for name in sorted(factories))}"
        raise ConfigError(f"no store is called {scheme!r}{hint}", key="storage.url")
    return factory(rest, state_dir, reactor, cache_seconds)


def database_path(url: str, state_dir: str) -> str:
    """The file behind a ``sqlite:`` URL, for the commands that work on it without a server.

    Raises:
        ConfigError: another kind of store.
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "sqlite":
        raise ConfigError(f"a {scheme!r} store has no file that users could be kept in: write sqlite:FILE", key="storage.url")
    return _path(rest, state_dir)


def _path(rest: str, state_dir: str) -> str:
    if not rest or "\0" in rest:
        raise ConfigError("sqlite: needs a file name", key="storage.url")
    return os.path.abspath(os.path.join(state_dir, rest))
