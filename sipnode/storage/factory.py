"""From ``[storage] url`` to a store, and from ``[auth] backend`` to where users are looked up. Plugins have further schemes and backends.

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

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from sipnode import extensions
from sipnode.errors import ConfigError, StorageError
from sipnode.interfaces import ICredentialBackend, IStorage
from sipnode.records import Credential, User
from sipnode.settings import AuthSettings
from sipnode.storage import users
from sipnode.storage.credentials import CachedCredentials, Key
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
    if factory is not None:
        return factory(rest, state_dir, reactor, cache_seconds, node_id)
    plugin = extensions.look_for(extensions.STORES, scheme.lower()) if colon else None
    if plugin is None:
        known = {*factories, *extensions.names(extensions.STORES)}
        near = difflib.get_close_matches(scheme.lower(), known, 1)
        hint = f"; did you mean {near[0]}:?" if near else f": write {' or '.join(f'{name}:…' for name in sorted(known))}"
        raise ConfigError(f"no store is called {scheme!r}{hint}", key="storage.url")
    return plugin.made(lambda stores: stores.make(url, state_dir, reactor, cache_seconds, node_id), IStorage)


def is_plugin(url: str) -> bool:
    """Whether the store that a URL names would be a plugin's."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme.lower() not in BUILT_IN and extensions.look_for(extensions.STORES, scheme.lower()) is not None


LONGEST_SECONDS: Final = 30.0
"""A backend that takes longer is taken for away."""


class BackendService(Service):
    """A credential backend, closed with the server."""

    name = "credentials"

    def __init__(self, backend: ICredentialBackend) -> None:
        self._backend = backend

    def stopService(self) -> Deferred[None]:
        """Let go of its connections."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's Service is not annotated
        return self._backend.close()


def _guarded(
    backend: ICredentialBackend, name: str, clock: IReactorTime
) -> Callable[[list[Key]], Deferred[dict[Key, Credential | Exception]]]:
    """Its look-up, which ends in any case, with what it has to end with: nobody else can sign in meanwhile."""

    def checked(found: Any) -> dict[Key, Credential | Exception]:
        if not isinstance(found, Mapping):
            raise StorageError(f"credential backend {name!r} gave {type(found).__name__} for a dict")
        odd = StorageError(f"credential backend {name!r} gave something else than a Credential")
        return {key: value if isinstance(value, (Credential, Exception)) else odd for key, value in found.items() if value is not None}

    def look_up(users: list[Key]) -> Deferred[dict[Key, Credential | Exception]]:
        asked: Deferred[Any] = maybeDeferred(backend.look_up, users)
        asked.addTimeout(LONGEST_SECONDS, clock, onTimeoutCancel=late)
        return asked.addCallback(checked)

    def late(failure: Any, seconds: float) -> Any:
        raise StorageError(f"credential backend {name!r} hasn't answered for {seconds:g} s")

    return look_up


def use_backend(storage: IStorage, settings: AuthSettings, reactor: Any) -> list[IService]:
    """Have users looked up where ``[auth] backend`` says, in the place of the store's own.

    Returns:
        The services to start and stop with the server.

    Raises:
        ConfigError: no such plugin, one that can't be used, or a URL that it doesn't take.
    """
    if settings.backend == "store":
        if settings.backend_url:
            raise ConfigError("is for a plugin: name it by [auth] backend", key="auth.backend_url")
        return []
    plugin = extensions.find(extensions.CREDENTIALS, settings.backend)
    backend = plugin.made(lambda backends: backends.make(settings.backend_url, reactor), ICredentialBackend)
    try:
        storage.credentials = CachedCredentials(_guarded(backend, settings.backend, reactor), reactor, settings.cache_seconds)
    except AttributeError:
        raise ConfigError("the store has users of its own that nothing can take the place of", key="auth.backend") from None
    service: IService = BackendService(backend)
    return [service]


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
        if is_plugin(url):
            raise ConfigError(f"a {scheme!r} store is a plugin's: it has its own way to make users and tables", key="storage.url")
        raise ConfigError(f"a {scheme!r} store keeps no users: write sqlite:FILE or postgres://…", key="storage.url")
    return _path(rest, state_dir)


def _path(rest: str, state_dir: str) -> str:
    if not rest or "\0" in rest:
        raise ConfigError("sqlite: needs a file name", key="storage.url")
    return os.path.abspath(os.path.join(state_dir, rest))
