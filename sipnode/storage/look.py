"""The store looked at without a server: is it there, and are its tables those that this release reads?

Invariant: nothing is made, upgraded or locked.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sipnode.errors import ConfigError, StorageError
from sipnode.storage.database import named_errors
from sipnode.storage.factory import database_path, is_plugin
from sipnode.storage.migrate import inspect

MOST_DOMAINS: Final = 50
_DOMAINS: Final = "SELECT DISTINCT domain FROM subscriber ORDER BY domain LIMIT ?"


def look(url: str, state_dir: str) -> list[str]:
    """Remarks about a store that a start could use.

    Args:
        url: ``[storage] url``.
        state_dir: Where a relative ``sqlite:`` file is.

    Raises:
        StorageError: a start couldn't use it.
        ConfigError: a URL that can't be read.
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() in ("postgres", "postgresql"):
        try:
            from sipnode.storage.postgres import schema
            from sipnode.storage.postgres.dsn import parse
        except ImportError:
            raise ConfigError("PostgreSQL needs more Python packages: pip install 'sipnode[postgres]'", key="storage.url") from None
        dsn = parse(rest)
        away = schema.away(dsn)
        if away:
            return [f"{dsn.place} can't be reached now ({away}): a start waits for it"]
        schema.preflight(dsn)
        return []
    if scheme.lower() == "memory":
        return ["everything is forgotten when the server stops"]
    if is_plugin(url):
        # It has said what there is to say when it was made.
        return []
    path = database_path(url, state_dir)
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        folder = os.path.dirname(path)
        if os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(f"{path} isn't there, and {folder} can't be written")
        return [f"{path} isn't there yet, and so nobody can sign in: `sipnode user add` makes it"]
    if not os.access(path, os.W_OK):
        raise StorageError(f"{path} can't be written")
    with named_errors(path), closing(_reader(path)) as connection:
        return inspect(connection, path)


def user_domains(url: str, state_dir: str) -> list[str]:
    """The domains that users of the store are of, at most :data:`MOST_DOMAINS`; none where that can't be told now.

    Args:
        url: ``[storage] url``.
        state_dir: Where a relative ``sqlite:`` file is.
    """
    scheme, _, rest = url.partition(":")
    try:
        if scheme.lower() in ("postgres", "postgresql"):
            from sipnode.storage.postgres.dsn import parse
            from sipnode.storage.postgres.users import domains

            return domains(parse(rest), MOST_DOMAINS)
        path = database_path(url, state_dir)
        if not os.path.exists(path):
            return []
        with named_errors(path), closing(_reader(path)) as connection:
            inspect(connection, path)
            return [domain for (domain,) in connection.execute(_DOMAINS, (MOST_DOMAINS,))]
    except (ConfigError, StorageError, ImportError):
        return []


def _reader(path: str) -> sqlite3.Connection:
    # A file that no server has open is read without the lock files that would be made beside it.
    alone = "" if os.path.exists(f"{path}-wal") else "&immutable=1"
    return sqlite3.connect(f"{Path(path).as_uri()}?mode=ro{alone}", uri=True)
