"""What the benchmarks on PostgreSQL share: a throw-away cluster, a database for each server, the two servers on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg2

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))

from harness import fresh, running, write_conf  # noqa: E402

from sipnode.demo import probes  # noqa: E402
from sipnode.demo.parts import Part  # noqa: E402
from sipnode.settings import (  # noqa: E402
    AuthSettings,
    CoreSettings,
    LocationSettings,
    NodeSettings,
    PresenceSettings,
    Settings,
    StorageSettings,
)
from sipnode.storage.initialize import init_database  # noqa: E402

PORT = 6432
DOMAIN = "bench.test"
ADDRESS = ("127.0.0.1", 5060)


def url(database: str) -> str:
    """Of a database of the cluster."""
    return f"postgres://bench:bench@127.0.0.1:{PORT}/{database}"


def sql(database: str, *statements: str) -> None:
    """Run statements one by one, each committed."""
    with closing(psycopg2.connect(host="127.0.0.1", port=PORT, user="bench", password="bench", dbname=database)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def is_up() -> bool:
    """Whether it takes connections."""
    try:
        sql("postgres", "SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


@contextmanager
def cluster(bench: Path, work: Path) -> Iterator[Part]:
    """PostgreSQL as Debian sets it up, with the databases ``kamailio`` (its own tables) and ``sipnode`` (the same, initialised).

    PostgreSQL runs as its own user when we are root, so it can't live in a folder that only root may enter.
    """
    folder = fresh(work / "cluster")
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & 0o001:
            folder = fresh(Path("/tmp") / f"sipnode-bench-{PORT}")
            break
    script = str(bench / "postgres.sh")
    subprocess.run([script, "create", str(folder), str(PORT)], check=True)
    part = Part("postgres", [script, "run", str(folder), str(PORT)], work / "postgres.log")
    part.start()
    try:
        if not part.wait_ready(is_up, 30):
            sys.exit(f"PostgreSQL didn't start:\n{part.last_words()}")
        sql("postgres", "CREATE DATABASE sipnode TEMPLATE kamailio")
        init_database(url("sipnode"), "")
        yield part
    finally:
        part.stop()


def settings(presence: PresenceSettings | None = None, **location: object) -> Settings:
    """Of the server that is measured."""
    return Settings(
        core=CoreSettings(domains=(DOMAIN,), listen=("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")),
        auth=AuthSettings(enabled=False),
        location=LocationSettings(**location),  # type: ignore[arg-type]  # the caller names its fields
        storage=StorageSettings(url=url("sipnode")),
        node=NodeSettings(id=1),
        presence=presence or PresenceSettings(),
    )


@contextmanager
def sipnode(work: Path, presence: PresenceSettings | None = None, **location: object) -> Iterator[Part]:
    """Our server on its database, pinned to core 0."""
    folder = fresh(work / "sipnode")
    with running(folder, write_conf(folder, settings(presence, **location)), media=False, prefix=("taskset", "-c", "0")) as part:
        yield part


def kamailio(bench: Path, work: Path, db_mode: int, workers: int = 2) -> AbstractContextManager[Part]:
    """Kamailio with its location table in its database, pinned to core 0."""
    return reference(bench, work, workers, "WITH_PG", f"DBMODE={db_mode}")


@contextmanager
def reference(bench: Path, work: Path, workers: int, *defines: str) -> Iterator[Part]:
    """Kamailio on its database, with so many workers for UDP and these switches of its kamailio.cfg, pinned to core 0."""
    folder = fresh(work / "kamailio")
    command = [str(bench / "kamailio" / "start.sh"), "-w", str(workers), "-c", "0", "-d", str(folder / "run")]
    for define in (*defines, f'DBURL="{url("kamailio")}"'):
        command += ["-A", define]
    part = Part("kamailio", command, folder / "kamailio.log")
    part.start()
    try:
        if not part.wait_ready(lambda: probes.sip_server(*ADDRESS), 15):
            sys.exit(f"Kamailio didn't start:\n{part.last_words()}")
        yield part
    finally:
        part.stop()
