"""``postgres://user:password@host:port/database?option=value`` as the parameters of libpq.

Invariant: no message that leaves this module holds the password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from sipnode.errors import ConfigError

_OWN: Final = ("hostaddr", "dbname", "user", "password", "options", "async", "application_name")
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
        "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c timezone=UTC -c datestyle=ISO",
        "dbname": dbname,
    }
    for name, value in query:
        if name in _OWN or not name.isidentifier():
            raise ConfigError(f"the option {name!r} can't be given in the URL", key=_KEY)
        parameters[name] = value
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
