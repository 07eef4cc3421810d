"""Users of a SQLite store, for the command line: plain blocking functions on the path of the file.

Invariant: without ``keep_password`` no clear password is stored, only the hashes that digest authentication needs (which serve
this realm alone: RFC 7616 §5.14). A running server sees a change within a second or so.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from sipnode.errors import StorageError
from sipnode.records import Credential, User
from sipnode.sip.digest import MD5, SHA256, ha1
from sipnode.sip.hosts import normal_host
from sipnode.storage.database import connect, named_errors, transaction
from sipnode.storage.migrate import migrate

_MAX_USER: Final = 64
_MAX_DOMAIN: Final = 255
_MAX_PASSWORD: Final = 256
# Characters that would need an escape in a quoted string or a URI, or ends a part of either.
_BAD_IN_NAME: Final = re.compile(r'[\x00-\x20\x7f-\xa0\ud800-\udfff"\\:@<>%;?]')
_BAD_IN_PASSWORD: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DOMAIN: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")


def split_user(text: str) -> tuple[str, str]:
    """``alice@example.com`` as (username, domain), both checked and the domain in lower case.

    Raises:
        StorageError: there is no ``@``, or a part that can't be.
    """
    username, at, domain = text.removeprefix("sip:").rpartition("@")
    if not at:
        raise StorageError(f"{text!r}: write user@domain")
    return check_name(username, domain)


def check_name(username: str, domain: str) -> tuple[str, str]:
    """The two in their stored form.

    Raises:
        StorageError: says what is wrong.
    """
    domain = normal_host(domain) if domain.isascii() else domain
    if not username or len(username) > _MAX_USER:
        raise StorageError(f"a user name has 1 to {_MAX_USER} characters")
    bad = _BAD_IN_NAME.search(username)
    if bad:
        raise StorageError(f"a user name can't have {bad.group()!r} in it")
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise StorageError(f"{domain!r} is neither a host name nor an address")
    return username, domain


def make_credential(username: str, domain: str, password: str, keep_password: bool = False) -> Credential:
    """All hashes of a password; the realm is the domain.

    Raises:
        StorageError: a name or password that can't be.
    """
    username, domain = check_name(username, domain)
    if not password or len(password) > _MAX_PASSWORD:
        raise StorageError(f"a password has 1 to {_MAX_PASSWORD} characters")
    if _BAD_IN_PASSWORD.search(password):
        raise StorageError("a password can't have control characters in it")
    full = f"{username}@{domain}"
    return Credential(
        username,
        domain,
        password if keep_password else "",
        ha1(MD5, username, domain, password),
        ha1(MD5, full, domain, password),
        ha1(SHA256, username, domain, password),
        ha1(SHA256, full, domain, password),
    )


def add_user(path: str, username: str, domain: str, password: str, keep_password: bool = False) -> None:
    """Add a user; the file is made when it isn't there.

    Args:
        keep_password: Store the clear password too (for other software that reads the table).

    Raises:
        StorageError: the user exists, a name can't be, or the file can't be used.
    """
    row = _values(make_credential(username, domain, password, keep_password))
    with _users(path) as connection:
        try:
            connection.execute(
                "INSERT INTO subscriber (password, ha1, ha1b, ha1_sha256, ha1b_sha256, username, domain) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
        except sqlite3.IntegrityError:
            raise StorageError(f"user {username}@{domain} exists") from None


def set_password(path: str, username: str, domain: str, password: str, keep_password: bool = False) -> None:
    """Give a user another password; a clear one that was stored goes, unless ``keep_password``.

    Raises:
        StorageError: there is no such user, a name can't be, or the file can't be used.
    """
    row = _values(make_credential(username, domain, password, keep_password))
    with _users(path) as connection:
        changed = connection.execute(
            "UPDATE subscriber SET password = ?, ha1 = ?, ha1b = ?, ha1_sha256 = ?, ha1b_sha256 = ? WHERE username = ? AND domain = ?", row
        ).rowcount
        if not changed:
            raise StorageError(f"there is no user {username}@{domain}")


def remove_user(path: str, username: str, domain: str) -> None:
    """Remove a user. Bindings that it has stay until they expire.

    Raises:
        StorageError: there is no such user, or the file can't be used.
    """
    with _users(path) as connection:
        removed = connection.execute("DELETE FROM subscriber WHERE username = ? AND domain = ?", (username, domain.lower())).rowcount
        if not removed:
            raise StorageError(f"there is no user {username}@{domain}")


def list_users(path: str, domain: str = "") -> list[User]:
    """Users of one domain, or all, sorted by domain and name. No hash leaves the file: ``extra["algorithms"]`` says which are there.

    Raises:
        StorageError: the file can't be used.
    """
    with _users(path) as connection:
        rows = connection.execute(
            "SELECT username, domain, ha1 <> '', ha1_sha256 <> '', password <> '' FROM subscriber "
            "WHERE ? IN ('', domain) ORDER BY domain, username",
            (domain.lower(),),
        ).fetchall()
    return [
        User(name, of, extra={"algorithms": " ".join(word for word, there in ((SHA256, sha or clear), (MD5, md5 or clear)) if there)})
        for name, of, md5, sha, clear in rows
    ]


def _values(credential: Credential) -> tuple[str, ...]:
    return (
        credential.password,
        credential.ha1,
        credential.ha1b,
        credential.ha1_sha256,
        credential.ha1b_sha256,
        credential.username,
        credential.domain,
    )


@contextmanager
def _users(path: str) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        migrate(connection, path)
        with named_errors(path):
            # However the server's own connection is set: a password that was changed is changed.
            connection.execute("PRAGMA synchronous = FULL")
            with transaction(connection):
                yield connection
