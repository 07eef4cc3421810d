"""Users in PostgreSQL's ``subscriber``, for the command line: plain blocking functions.

Invariant: as in :mod:`sipnode.storage.users`; the hashes that Kamailio reads are written too, so that it knows each user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from sipnode.errors import StorageError
from sipnode.records import User
from sipnode.sip.digest import MD5, SHA256
from sipnode.storage.postgres.dsn import Dsn
from sipnode.storage.postgres.link import reason_of
from sipnode.storage.postgres.schema import COLUMNS
from sipnode.storage.users import make_credential

_MOST = 64


@contextmanager
def _subscriber(dsn: Dsn) -> Iterator[tuple[Any, bool]]:
    """A cursor in a transaction, and whether the table has the columns for SHA-256."""
    try:
        with (
            closing(psycopg2.connect(**dsn.parameters, application_name="sipnode-user")) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(COLUMNS)
            columns = set(cursor.fetchall())
            if ("subscriber", "username") not in columns:
                raise StorageError(f"{dsn.place} has no table subscriber: run `sipnode db init`")
            yield cursor, ("subscriber", "ha1_sha256") in columns
    except psycopg2.Error as error:
        raise StorageError(f"{dsn.place}: {reason_of(error)}") from None


def _values(username: str, domain: str, password: str, keep_password: bool) -> dict[str, str]:
    credential = make_credential(username, domain, password, keep_password)
    if len(credential.domain) > _MOST or len(credential.password) > _MOST:
        raise StorageError(f"Kamailio's table has room for {_MOST} characters in a domain or a clear password")
    return {
        "username": credential.username,
        "domain": credential.domain,
        "password": credential.password,
        "ha1": credential.ha1,
        "ha1b": credential.ha1b,
        "ha1_sha256": credential.ha1_sha256,
        "ha1b_sha256": credential.ha1b_sha256,
    }


def add_user(dsn: Dsn, username: str, domain: str, password: str, keep_password: bool = False) -> None:
    """Add a user. Raises StorageError: it exists, a name can't be, or the database can't be used."""
    values = _values(username, domain, password, keep_password)
    with _subscriber(dsn) as (cursor, sha):
        names = list(values) if sha else list(values)[:5]
        places = ", ".join(f"%({name})s" for name in names)
        cursor.execute(f"INSERT INTO subscriber ({', '.join(names)}) VALUES ({places}) ON CONFLICT DO NOTHING", values)
        if not cursor.rowcount:
            raise StorageError(f"user {username}@{domain} exists")


def set_password(dsn: Dsn, username: str, domain: str, password: str, keep_password: bool = False) -> None:
    """Give a user another password. Raises StorageError: there is no such user, or the database can't be used."""
    values = _values(username, domain, password, keep_password)
    with _subscriber(dsn) as (cursor, sha):
        names = list(values)[2:] if sha else list(values)[2:5]
        changes = ", ".join(f"{name} = %({name})s" for name in names)
        cursor.execute(f"UPDATE subscriber SET {changes} WHERE username = %(username)s AND domain = %(domain)s", values)
        if not cursor.rowcount:
            raise StorageError(f"there is no user {username}@{domain}")


def remove_user(dsn: Dsn, username: str, domain: str) -> None:
    """Remove a user. Raises StorageError: there is no such user, or the database can't be used."""
    with _subscriber(dsn) as (cursor, _):
        cursor.execute("DELETE FROM subscriber WHERE username = %s AND domain = %s", (username, domain.lower()))
        if not cursor.rowcount:
            raise StorageError(f"there is no user {username}@{domain}")


def domains(dsn: Dsn, most: int) -> list[str]:
    """The domains that users are of, at most so many. Raises StorageError: the database can't be used."""
    with _subscriber(dsn) as (cursor, _):
        cursor.execute("SELECT DISTINCT domain FROM subscriber ORDER BY domain LIMIT %s", (most,))
        return [domain for (domain,) in cursor.fetchall()]


def list_users(dsn: Dsn, domain: str = "") -> list[User]:
    """Users of one domain, or all, as :func:`sipnode.storage.users.list_users` has them."""
    with _subscriber(dsn) as (cursor, sha):
        cursor.execute(
            f"SELECT username, domain, ha1 <> '', {'ha1_sha256' if sha else 'NULL::text'} <> '', password <> '' FROM subscriber "
            "WHERE %s IN ('', domain) ORDER BY domain, username",
            (domain.lower(),),
        )
        rows = cursor.fetchall()
    return [
        User(name, of, extra={"algorithms": " ".join(word for word, there in ((SHA256, sha or clear), (MD5, md5 or clear)) if there)})
        for name, of, md5, sha, clear in rows
    ]
