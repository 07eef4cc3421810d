"""PostgreSQL clusters of the tests: made by ``initdb``, run by an unprivileged user, reached by UNIX socket and over TLS."""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg2

from .waiting import until

USER = "sipnode"
_OPTIONS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
max_connections = 40
shared_buffers = 32MB
"""


def binary(name: str) -> str | None:
    """Path of one of PostgreSQL's programs; Debian keeps the server's out of PATH."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


def missing() -> str | None:
    """Why these tests can't run here, or None. With CI set they run and fail."""
    return "PostgreSQL is not installed" if binary("initdb") is None and not os.environ.get("CI") else None


@functools.cache
def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _give(path: Path) -> None:
    if _account():
        os.chown(path, _account()["user"], _account()["group"])


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/", **_account())


@functools.cache
def _password() -> str:
    return secrets.token_hex(8)


class Cluster:
    """A cluster on a free port, not running yet. Its processes are children of the test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-pg-"))
        _give(self.folder)
        self.folder.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.data = self.folder / "data"
        secret = self.folder / "password"
        secret.write_text(_password())
        _give(secret)
        self._process: subprocess.Popen[bytes] | None = None
        initdb = binary("initdb")
        assert initdb is not None, "PostgreSQL is not installed"
        command = ("-D", str(self.data), "-U", USER, "-A", "trust", "--auth-host=scram-sha-256", "--pwfile", str(secret), "-E", "UTF8")
        _run(initdb, *command, "--no-locale", "--no-sync")
        _run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", f"{self.folder}/server.key", "-out", f"{self.folder}/server.crt",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(_OPTIONS.format(folder=self.folder, port=self.port))

    def start(self) -> None:
        """Run it; :meth:`ready` says when it can be used."""
        postgres = binary("postgres")
        assert postgres is not None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [postgres, "-D", str(self.data)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", **_account()
            )

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    async def ready(self) -> None:
        """Wait for that."""
        await until(self.answers, lambda: (self.folder / "log").read_text())

    def stop(self, signal_: int = signal.SIGINT) -> None:
        """End it: SIGINT as an operator does (fast), SIGKILL as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            self.resume(process)
            children = self._children(process.pid)
            process.send_signal(signal_)
            if signal_ == signal.SIGKILL:
                self._signal(children, signal.SIGKILL)
            process.wait(30)

    def freeze(self) -> None:
        """SIGSTOP to the server and all of its backends."""
        assert self._process is not None
        self._signal([self._process.pid, *self._children(self._process.pid)], signal.SIGSTOP)

    def resume(self, process: Any = None) -> None:
        """SIGCONT to all of them."""
        process = process or self._process
        self._signal([process.pid, *self._children(process.pid)], signal.SIGCONT)

    @staticmethod
    def _signal(pids: list[int], signal_: int) -> None:
        for pid in pids:
            # A backend may end by itself meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_)

    @staticmethod
    def _children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def remove(self) -> None:
        """End it and remove its files: at once (SIGQUIT), as nothing of them is wanted any more."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str = "postgres") -> Any:
        """A connection of psycopg2's own, in autocommit mode, by the UNIX socket."""
        connection = psycopg2.connect(host=str(self.folder), port=self.port, user=USER, dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def execute(self, sql: str, arguments: Any = None, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement; its rows, if it has some."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def create(self) -> str:
        """A new empty database; its name."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str, tls: bool = False) -> str:
        """``[storage] url`` by the UNIX socket, or over TLS by a host name."""
        if tls:
            return (
                f"postgres://{USER}:{_password()}@localhost:{self.port}/{database}"
                f"?sslmode=verify-full&sslrootcert={self.folder}/server.crt"
            )
        return f"postgres://{USER}@/{database}?host={self.folder}&port={self.port}"


_numbers = itertools.count(1)


@functools.cache
def shared() -> Cluster:
    """One that runs till the end of the process, for tests that leave it as it is; each takes a database of its own."""
    cluster = Cluster()
    cluster.start()
    atexit.register(cluster.remove)
    return cluster
