"""Kamailio's tables in PostgreSQL: are they there in the right version, and ``sipnode db init`` that makes what is missing.

Invariant: a server that starts changes no table; only :func:`init` does, all or nothing, with a copy kept beside each table
that it changes. Kamailio's part stays as Kamailio made it: columns are only added, behind its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import closing
from importlib.resources import files
from typing import Any, Final

import psycopg2

from sipnode.errors import StorageError
from sipnode.storage.postgres.dsn import Dsn
from sipnode.storage.postgres.link import reason_of

TABLES: Final[Mapping[str, int]] = {
    "version": 1, "subscriber": 7, "location": 9, "presentity": 5, "active_watchers": 12, "watchers": 3, "acc": 5, "missed_calls": 4,
}  # fmt: skip
_NEEDED: Final = ("version", "subscriber", "location")
# Those that Kamailio's standard configuration adds, and ours.
_ACC: Final = {
    **{f"src_{part}": f"VARCHAR({width}) DEFAULT '' NOT NULL" for part, width in (("user", 64), ("domain", 128), ("ip", 64))},
    **{f"dst_{part}": f"VARCHAR({width}) DEFAULT '' NOT NULL" for part, width in (("ouser", 64), ("user", 64), ("domain", 128))},
    "setup_ms": "INTEGER DEFAULT 0 NOT NULL",
    "duration_ms": "BIGINT DEFAULT 0 NOT NULL",
    "outcome": "VARCHAR(16) DEFAULT '' NOT NULL",
    "ended_by": "VARCHAR(128) DEFAULT '' NOT NULL",
    "mos": "REAL DEFAULT 0 NOT NULL",
    "quality": "VARCHAR(4096) DEFAULT '' NOT NULL",
    "record_id": "VARCHAR(32) DEFAULT '' NOT NULL",
}
# Columns of our own beside Kamailio's.
_ADDED: Final = {
    "location": {"flow": "VARCHAR(64) DEFAULT '' NOT NULL"},
    "subscriber": {"ha1_sha256": "VARCHAR(128) DEFAULT '' NOT NULL", "ha1b_sha256": "VARCHAR(128) DEFAULT '' NOT NULL"},
    "acc": _ACC,
    "missed_calls": _ACC,
}
COLUMNS: Final = (
    "SELECT table_name::text, column_name::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name IN (" + ", ".join(f"'{name}'" for name in TABLES) + ")"
)
VERSIONS: Final = "SELECT table_name::text, table_version FROM version"
_TRIGGERS: Final = "SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass(%s)"
_FUNCTION: Final = "SELECT prosrc FROM pg_proc WHERE proname = %s AND pronamespace = current_schema()::regnamespace"
# Part of the script, tables, function: who tells of changes.
_TELLING: Final = (
    ("triggers", ("location",), "sipnode_location_changed"),
    ("user_triggers", ("subscriber",), "sipnode_users_changed"),
    ("presence_triggers", ("presentity", "active_watchers", "watchers"), "sipnode_presence_changed"),
)
_LOCK: Final = 0x5349506E


def fault_of(columns: set[tuple[str, str]], versions: dict[str, int]) -> str:
    """Why these tables can't be used and what to do, or ""."""
    there = {table for table, _ in columns}
    missing = [table for table in _NEEDED if table not in there]
    if missing:
        return f"the database has no table {', '.join(missing)}: run `sipnode db init`, or Kamailio's own scripts"
    for table, wanted in TABLES.items():
        found = versions.get(table)
        if table in there and table != "version" and found != wanted:
            return (
                f"table {table} has version {found} where {wanted} is needed (that of Kamailio 5.6): "
                "bring it there by Kamailio's own upgrade scripts, or name another database in [storage] url"
            )
    return ""


def away(dsn: Dsn) -> str:
    """Why the database can't be reached now, "" where it can."""
    try:
        psycopg2.connect(**dsn.parameters, application_name="sipnode-check").close()
    except psycopg2.OperationalError as error:
        return reason_of(error)
    return ""


def preflight(dsn: Dsn) -> None:
    """Look at the tables, waiting for the answer. Raises StorageError; a database that can't be reached is left for later."""
    try:
        connection = psycopg2.connect(**dsn.parameters, application_name="sipnode-check")
    except psycopg2.OperationalError:
        return
    with closing(connection), connection.cursor() as cursor:
        try:
            columns, versions = _look(cursor)
        except psycopg2.Error as error:
            raise StorageError(f"{dsn.place}: {reason_of(error)}") from None
    fault = fault_of(columns, versions)
    if fault:
        raise StorageError(f"{dsn.place}: {fault}")


def init(dsn: Dsn) -> list[str]:
    """Make or complete the tables; a second run changes nothing.

    Returns:
        The steps done, a line each.

    Raises:
        StorageError: the database can't be reached or changed, or has a table of another version; it is as it was.
    """
    try:
        with (
            closing(psycopg2.connect(**dsn.parameters, application_name="sipnode-db-init")) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            return _init(cursor)
    except psycopg2.Error as error:
        raise StorageError(f"{dsn.place}: {reason_of(error)}") from None


def _init(cursor: Any) -> list[str]:
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    parts = _parts()
    columns, versions = _look(cursor)
    there = {table for table, _ in columns}
    done: list[str] = []
    for table in TABLES:
        if table not in there:
            cursor.execute(parts[table])
            done.append(f"table {table} made")
    columns, versions = _look(cursor)
    fault = fault_of(columns, versions)
    if fault:
        raise StorageError(fault)
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    for table, wanted in _ADDED.items():
        missing = {name: kind for name, kind in wanted.items() if (table, name) not in columns}
        if not missing:
            continue
        if table in there:
            cursor.execute(f"CREATE TABLE {table}_backup_{stamp} AS TABLE {table}")
            done.append(f"table {table} copied to {table}_backup_{stamp}")
        cursor.execute(f"ALTER TABLE {table} {', '.join(f'ADD COLUMN {name} {kind}' for name, kind in missing.items())}")
        done.append(f"{table}: {', '.join(missing)} added")
    for part, tables, function in _TELLING:
        if not _tells(cursor, tables, function, parts[part]):
            cursor.execute(parts[part])
            done.append(f"{', '.join(tables)}: triggers that tell {'its' if len(tables) == 1 else 'their'} changes made")
    return done


def _tells(cursor: Any, tables: tuple[str, ...], function: str, script: str) -> bool:
    """Whether the triggers of these tables are there, and do what the script has them do."""
    triggers: set[str] = set()
    for table in tables:
        cursor.execute(_TRIGGERS, (table,))
        triggers |= {name for (name,) in cursor.fetchall()}
    cursor.execute(_FUNCTION, (function,))
    sources = [source for (source,) in cursor.fetchall()]
    wanted = {f"sipnode_{table}_{kind}" for table in tables for kind in ("inserted", "updated", "deleted")}
    return wanted <= triggers and any(source.strip() and source in script for source in sources)


def _look(cursor: Any) -> tuple[set[tuple[str, str]], dict[str, int]]:
    cursor.execute(COLUMNS)
    columns = set(cursor.fetchall())
    if ("version", "table_version") not in columns:
        return columns, {}
    cursor.execute(VERSIONS)
    return columns, dict(cursor.fetchall())


def _parts() -> dict[str, str]:
    text = files("sipnode.storage").joinpath("schema", "postgres.sql").read_text("utf-8")
    pieces = re.split(r"^-- part: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))
