"""Brings a SQLite file to the schema that this release knows: made new, upgraded step by step, or left alone.

Invariant: a file is at every moment at one whole version; before an upgrade its old state is kept beside it; a file of
another program or of a newer release is never touched.
"""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from sipnode.errors import StorageError
from sipnode.storage.database import named_errors, transaction

# "SIPn" in the header of the file tells our databases from others.
APPLICATION_ID: Final = 0x5349506E
_TABLES: Final = {"location": 9, "subscriber": 7}
_UPGRADE: Final = re.compile(r"upgrade-to-v(\d+)\.sql")
_CREATE: Final = re.compile(r"sipnode-v(\d+)\.sql")


@dataclass(frozen=True)
class Schema:
    """The schema of a release: its version, the script that makes it, and the script that leads to each version from the one before."""

    version: int
    create: str
    upgrades: dict[int, str] = field(default_factory=dict)


def packaged_schema() -> Schema:
    """The schema files of the package: the newest ``sipnode-vN.sql``, and every ``upgrade-to-vN.sql``."""
    creates: dict[int, str] = {}
    upgrades: dict[int, str] = {}
    for entry in files("sipnode.storage").joinpath("schema").iterdir():
        for pattern, found in ((_CREATE, creates), (_UPGRADE, upgrades)):
            match = pattern.fullmatch(entry.name)
            if match:
                found[int(match.group(1))] = entry.read_text("utf-8")
    newest = max(creates)
    return Schema(newest, creates[newest], upgrades)


def migrate(connection: sqlite3.Connection, path: str, schema: Schema | None = None) -> str:
    """Make or upgrade the schema; a second run changes nothing.

    Args:
        connection: In autocommit mode, to the file at ``path``.
        schema: Other than the package's own, for tests.

    Returns:
        Path of the backup that was made before an upgrade, else "".

    Raises:
        StorageError: the file is newer, of another program, or can't be written; it is as it was.
    """
    schema = schema or packaged_schema()
    with named_errors(path):
        _refuse(connection, path, schema)
        version = _version(connection)
        if version == schema.version:
            return ""
        backup = _backup(connection, path, version) if version else ""
        with transaction(connection):
            # Somebody else may have done it between the look and the lock.
            version = _version(connection)
            _refuse(connection, path, schema)
            if version == 0:
                _run(connection, schema.create)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            else:
                for step in range(version + 1, schema.version + 1):
                    _run(connection, schema.upgrades[step])
            connection.execute(f"PRAGMA user_version = {schema.version}")
        return backup


def inspect(connection: sqlite3.Connection, path: str) -> list[str]:
    """The migration that a start would make of a file, nothing for most.

    Args:
        connection: To the file at ``path``; it is only read.

    Raises:
        StorageError: the file is newer, or of another program.
    """
    schema = packaged_schema()
    _refuse(connection, path, schema)
    version = _version(connection)
    if version in (0, schema.version):
        return []
    return [f"{path} has schema {version}; a start upgrades it to {schema.version} and keeps a copy"]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse(connection: sqlite3.Connection, path: str, schema: Schema) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = _version(connection)
    if owner != APPLICATION_ID:
        if tables or owner or version:
            raise StorageError(f"{path} is a database of another program: name another file in [storage] url")
        return
    if version > schema.version:
        raise StorageError(
            f"{path} was written by a newer sipnode (schema {version}, this one knows {schema.version}): "
            f"install that release, or go back to the backup made before its upgrade ({path}.v{schema.version}.backup)"
        )
    missing = [step for step in range(version + 1, schema.version + 1) if step not in schema.upgrades]
    if missing:
        raise StorageError(f"{path} has schema {version}, which this release can't upgrade: use a release that reads {missing[0]} first")
    found = dict(connection.execute("SELECT table_name, table_version FROM version")) if "version" in tables else {}
    for table, wanted in _TABLES.items():
        if table not in tables or found.get(table) != wanted:
            raise StorageError(
                f"{path} has table {table} in version {found.get(table)} where {wanted} is needed: restore a backup, or name another file"
            )


def _backup(connection: sqlite3.Connection, path: str, version: int) -> str:
    target = f"{path}.v{version}.backup"
    number = 1
    while os.path.exists(target):
        number += 1
        target = f"{path}.v{version}.backup{number}"
    beside = f"{target}.{os.getpid()}.new"
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        copy = sqlite3.connect(beside)
        try:
            connection.backup(copy)
        finally:
            copy.close()
        os.rename(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
    return target


def _run(connection: sqlite3.Connection, script: str) -> None:
    # executescript() would commit the transaction that makes this all or nothing.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
