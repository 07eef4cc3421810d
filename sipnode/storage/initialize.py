"""``sipnode db init``: the tables of the configured store, made or completed before a server uses them.

Invariant: a second run changes nothing; what is changed is copied before.
"""

from __future__ import annotations

import os
from contextlib import closing

from sipnode.errors import ConfigError
from sipnode.storage.database import connect
from sipnode.storage.factory import database_path
from sipnode.storage.migrate import migrate


def init_database(url: str, state_dir: str) -> list[str]:
    """Make or complete the tables, waiting for the store.

    Args:
        url: ``[storage] url``.
        state_dir: Where a relative ``sqlite:`` file is.

    Returns:
        The steps done, a line each.

    Raises:
        StorageError: the store can't be reached or changed, or has tables of another version; it is as it was.
        ConfigError: a store without tables.
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() in ("postgres", "postgresql"):
        try:
            from sipnode.storage.postgres import schema
            from sipnode.storage.postgres.dsn import parse
        except ImportError:
            raise ConfigError("PostgreSQL needs more Python packages: pip install 'sipnode[postgres]'", key="storage.url") from None
        return schema.init(parse(rest))
    path = database_path(url, state_dir)
    new = not os.path.exists(path) or os.path.getsize(path) == 0
    with closing(connect(path)) as connection:
        backup = migrate(connection, path)
    if new:
        return [f"{path} made"]
    return [f"{path} upgraded; as it was: {backup}"] if backup else []
