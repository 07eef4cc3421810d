"""From ``[storage] url`` to a store. A plugin adds a scheme by handing :func:`open_storage` a larger table of factories.

Invariant: a URL whose scheme nobody serves is a ConfigError that names those that are there; nothing is opened here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sipnode.errors import ConfigError
from sipnode.interfaces import IStorage
from sipnode.records import User
from sipnode.storage import users
from sipnode.storage.memory import MemoryStorage
from sipnode.storage.sqlite import SqliteStorage

# (what follows the scheme's colon, state_dir, reactor, cache_seconds, id of this node) -> a store that isn't open yet
StorageFactory = Callable[[str, str, Any, float, int], IStorage]


def _sqlite(rest: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
    return SqliteStorage(_path(rest, state_dir), reactor, cache_seconds)


def _memory(rest: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
    return MemoryStorage(reactor, cache_seconds)


def _postgres(rest: str, state_dir: str, reactor: Any, cache_seconds: float, node_id: int) -> IStorage:
    _need_driver()
    from sipnode.storage.postgres.dsn import parse
    from sipnode.storage.postgres.store import PostgresStorage

    return PostgresStorage(parse(rest), reactor, cache_seconds, node_id)


def _need_driver() -> None:
    if find_spec("psycopg2") is None or find_spec("txpostgres") is None:
        raise ConfigError("PostgreSQL needs more Python packages: pip install 'sipnode[postgres]'", key="storage.url")


BUILT_IN: Final[Mapping[str, StorageFactory]] = MappingProxyType(
    {"sqlite": _sqlite, "memory": _memory, "postgres": _postgres, "postgresql": _postgres}
)


def open_storage(
    url: str,
    state_dir: str,
    reactor: Any,
    cache_seconds: float = 60.0,
    factories: Mapping[str, StorageFactory] = BUILT_IN,
    node_id: int = 0,
) -> IStorage:
    """The store that a URL names, to be opened with its ``open()``.

    Args:
        url: ``scheme:rest``; ``sqlite:FILE`` (relative to ``state_dir``), ``postgres://…`` and ``memory:`` are built in.
        reactor: Threads and clock.
        cache_seconds: ``[auth] cache_seconds``.
        factories: By scheme in lower case.
        node_id: ``[node] id``.

    Raises:
        ConfigError: no factory for the scheme, or a rest that it can't use.
    """
    scheme, colon, rest = url.partition(":")
    factory = factories.get(scheme.lower()) if colon else None
    if factory is None:
        near = difflib.get_close_matches(scheme.lower(), factories, 1)
        hint = f"; did you mean {near[0]}:?" if near else f": write {' or '.join(f'{name}:…' for name in sorted(factories))}"
        raise ConfigError(f"no store is called {scheme!r}{hint}", key="storage.url")
    return factory(rest, state_dir, reactor, cache_seconds, node_id)


class UserTable(NamedTuple):
    """Users of one store, for the command line; every function may wait for the store, and raises StorageError.

    Attributes:
        add: ``(username, domain, password, keep_password=False)``
        set_password: The same.
        remove: ``(username, domain)``
        list: ``(domain="")``
    """

    add: Callable[..., None]
    set_password: Callable[..., None]
    remove: Callable[[str, str], None]
    list: Callable[..., list[User]]


def user_table(url: str, state_dir: str) -> UserTable:
    """The users of the store that a URL names. Raises ConfigError: a store that keeps none."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() in ("postgres", "postgresql"):
        _need_driver()
        from sipnode.storage.postgres import users as postgres
        from sipnode.storage.postgres.dsn import parse

        dsn = parse(rest)
        return UserTable(
            partial(postgres.add_user, dsn),
            partial(postgres.set_password, dsn),
            partial(postgres.remove_user, dsn),
            partial(postgres.list_users, dsn),
        )
    path = database_path(url, state_dir)
    return UserTable(
        partial(users.add_user, path), partial(users.set_password, path), partial(users.remove_user, path), partial(users.list_users, path)
    )


def database_path(url: str, state_dir: str) -> str:
    """The file behind a ``sqlite:`` URL, for the commands that work on it without a server.

    Raises:
        ConfigError: another kind of store.
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "sqlite":
        raise ConfigError(f"a {scheme!r} store keeps no users: write sqlite:FILE or postgres://…", key="storage.url")
    return _path(rest, state_dir)


def _path(rest: str, state_dir: str) -> str:
    if not rest or "\0" in rest:
        raise ConfigError("sqlite: needs a file name", key="storage.url")
    return os.path.abspath(os.path.join(state_dir, rest))
