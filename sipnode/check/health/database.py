"""The store: can it be reached, has it our tables, how long does a question take, and does PostgreSQL's LISTEN hear?

Invariant: nothing is written.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Any, Final

from sipnode.check.health.lines import Line
from sipnode.errors import ConfigError, StorageError
from sipnode.storage.look import look, user_domains

SLOW: Final = 0.1
"""Seconds for one question; a call asks once or twice while its caller waits."""
MOST_DRIFT: Final = 5.0
NOTIFY_SECONDS: Final = 0.7


def check_store(url: str, state_dir: str, conf: str) -> Iterator[Line]:
    """The store of ``[storage] url``."""
    started = time.monotonic()
    try:
        remarks = look(url, state_dir)
    except (ConfigError, StorageError) as error:
        text = str(error)
        broken = "malformed" in text or "not a database" in text
        yield Line("database", text, "restore the last backup" if broken else _remedy(text, conf, state_dir))
        return
    if url.partition(":")[0].lower() in ("postgres", "postgresql"):
        if remarks:
            yield Line("database", remarks[0], "systemctl status postgresql  # on its machine; then its pg_hba.conf and listen_addresses")
        else:
            yield from _postgres(url.partition(":")[2])
        return
    if remarks and not url.lower().startswith("memory:"):
        yield Line("database", remarks[0], _remedy(remarks[0], conf, state_dir))
        return
    user_domains(url, state_dir)
    yield _latency(remarks[0] if remarks else url, time.monotonic() - started)


def _latency(about: str, seconds: float) -> Line:
    text = f"{about}: answers in {1000 * seconds:.0f} ms"
    return Line("database", text, "iostat -x 1  # on the machine of the database" if seconds > SLOW else "")


def _postgres(rest: str) -> Iterator[Line]:
    import psycopg2

    from sipnode.storage.postgres.dsn import parse

    dsn = parse(rest)
    try:
        connection = psycopg2.connect(**dsn.parameters, application_name="sipnode-doctor")
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                started = time.monotonic()
                cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
                ((now,),) = cursor.fetchall()
                yield _latency(dsn.place, time.monotonic() - started)
            yield from drift(now - time.time())
            yield listens(connection, dsn.place)
        finally:
            connection.close()
    except psycopg2.Error as error:
        yield Line("database", f"{dsn.place}: {str(error).strip().partition(chr(10))[0]}", "systemctl status postgresql")


def drift(seconds: float) -> Iterator[Line]:
    """A line where the clock of the database isn't ours: what one writes expires by the other's."""
    if abs(seconds) > MOST_DRIFT:
        yield Line("clock", f"that of the database is {seconds:+.0f} s from ours", "timedatectl set-ntp true  # on both machines")


def listens(connection: Any, place: str) -> Line:
    """Whether a NOTIFY comes back; a pooler that hands out a session for each transaction loses it.

    Args:
        connection: Of psycopg2, with autocommit.
    """
    channel = f"sipnode_doctor_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {channel}")
        cursor.execute(f"NOTIFY {channel}")
        until = time.monotonic() + NOTIFY_SECONDS
        connection.poll()
        while not connection.notifies and (left := until - time.monotonic()) > 0:
            select.select([connection], [], [], left)
            connection.poll()
        cursor.execute(f"UNLISTEN {channel}")
    if connection.notifies:
        return Line("database", f"{place}: LISTEN hears")
    return Line(
        "database",
        f"{place}: LISTEN hears nothing, so changes of other nodes are never seen",
        "psql: write PostgreSQL's own port into [storage] url, or set pool_mode = session in pgbouncer.ini",
    )


def _remedy(text: str, conf: str, state_dir: str) -> str:
    if "sipnode user add" in text:
        return f"sipnode user add -c {conf} USER@DOMAIN"
    if "can't be written" in text:
        return f"chown -R sipnode: {state_dir}"
    if "pip install" in text:
        return "pip install 'sipnode[postgres]'"
    return f"sipnode db init -c {conf}"
