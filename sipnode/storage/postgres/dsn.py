"""``postgres://user:password@host:port/database?option=value`` as the parameters of libpq.

Invariant: no message that leaves this module holds the password.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from sipnode.errors import ConfigError

_OWN: Final = ("hostaddr", "dbname", "user", "password", "options", "async", "application_name")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_KEY: Final = "storage.url"
# Seconds; the server gives a statement up by itself before callers of the group commit are told that it doesn't answer.
STATEMENT_SECONDS: Final = 8
CONNECT_SECONDS: Final = 5


@dataclass(frozen=True, repr=False)
class Dsn:
    """Where a database is and how to sign in there.

    Attributes:
        parameters: Keywords of ``psycopg2.connect``, without application_name.
        host: Name to be resolved before each attempt; "" when there is nothing to resolve.
    """

    parameters: dict[str, str | int]
    host: str = ""

    @property
    def place(self) -> str:
        """For people: everything but the password."""
        given = self.parameters
        where = given.get("host") or given.get("hostaddr") or "local"
        return f"PostgreSQL {given.get('dbname', '')} at {where}:{given.get('port', 5432)}"


def parse(rest: str) -> Dsn:
    """Read what follows ``postgres:``.

    Args:
        rest: ``//user:password@host:port/database?sslmode=verify-full`` or ``///database?host=/run/postgresql``.

    Raises:
        ConfigError: it can't be read, or names an option that sipnode sets itself.
    """
    try:
        parts = urlsplit("postgres:" + rest)
        port = parts.port
        query = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise ConfigError("write postgres://user:password@host:port/database?sslmode=require", key=_KEY) from None
    dbname = unquote(parts.path.lstrip("/"))
    if not rest.startswith("//") or not dbname or "/" in dbname or "\0" in rest:
        raise ConfigError("write postgres://user:password@host:port/database, or postgres:///database?host=/run/postgresql", key=_KEY)
    parameters: dict[str, str | int] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        # A Kerberos library may wait for its network inside of the process.
        "gssencmode": "disable",
        "client_encoding": "UTF8",
        "dbname": dbname,
    }
    zone = local_zone()
    for name, value in query:
        if name == "timezone":
            zone = value
            continue
        if name in _OWN or not name.isidentifier():
            raise ConfigError(f"the option {name!r} can't be given in the URL", key=_KEY)
        parameters[name] = value
    if not _ZONE.fullmatch(zone):
        raise ConfigError(f"{zone!r} is no name of a time zone", key=_KEY)
    parameters["options"] = f"-c statement_timeout={STATEMENT_SECONDS}s -c timezone={zone} -c datestyle=ISO"
    if parts.username:
        parameters["user"] = unquote(parts.username)
    if parts.password:
        parameters["password"] = unquote(parts.password)
    if parts.hostname:
        parameters["host"] = unquote(parts.hostname)
    if port:
        parameters["port"] = port
    host = str(parameters.get("host", ""))
    return Dsn(parameters, "" if not host or host.startswith("/") else host)


def local_zone() -> str:
    """Name of this machine's time zone: the columns of Kamailio's tables hold local time, without saying of where."""
    named = os.environ.get("TZ", "").lstrip(":")
    if not named:
        named = os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    return named if _ZONE.fullmatch(named) else "UTC"
