"""What the runners of this folder share: a network of their own, a server with settings made for it, ends that are sure."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sipnode import config
from sipnode.demo import certificate, probes
from sipnode.demo.parts import Part, rtpengine_command, server_command
from sipnode.settings import Settings
from sipnode.storage import users
from sipnode.storage.factory import database_path

TOP = Path(__file__).resolve().parent.parent
WORK = TOP / ".work"
NG = "127.0.0.1:2223"
_INSIDE = "SIPNODE_OWN_NETWORK"
_COUNT = re.compile(r"(\d+) passed, (\d+) failed")


def own_network() -> None:
    """Start this script again in a network namespace with loopback alone: nothing leaves, and every port is free."""
    if os.environ.get(_INSIDE):
        return
    enter = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    if subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        sys.exit("a network namespace of its own is needed: run it as root, or allow unprivileged user namespaces")
    inside = ["sh", "-c", 'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
    os.execvpe(enter[0], [*enter, *inside], {**os.environ, _INSIDE: "1"})


def fresh(folder: Path) -> Path:
    """An empty folder there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def count(text: str) -> tuple[int, int] | None:
    """The last ``N passed, N failed`` of an output, or None."""
    found = _COUNT.findall(text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def write_tls(folder: Path, domain: str) -> None:
    """A self-signed certificate for loopback, and a tls.cfg with it."""
    certificate.ensure(folder / "cert.pem", folder / "key.pem", domain, "127.0.0.1")
    (folder / "tls.cfg").write_text(
        "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n"
        f"private_key = {folder}/key.pem\ncertificate = {folder}/cert.pem\n"
        "[client:default]\nverify_certificate = no\nrequire_certificate = no\n"
    )


def write_conf(folder: Path, settings: Settings, accounts: Mapping[str, str] | None = None) -> Path:
    """``sipnode.toml`` in the folder, and the users (name to password) of its first domain in its database."""
    conf = folder / config.FILE_NAME
    conf.write_text(config.render(settings))
    if accounts:
        file = database_path(settings.storage.url, str(config.state_folder(settings, folder)))
        domain = settings.core.domains[0]
        users.list_users(file)  # makes the table
        columns = ("username", "domain", "ha1", "ha1b", "ha1_sha256", "ha1b_sha256")
        made = [users.make_credential(name, domain, password) for name, password in accounts.items()]
        rows = [tuple(getattr(credential, column) for column in columns) for credential in made]
        with closing(sqlite3.connect(file)) as connection, connection:
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO subscriber ({', '.join(columns)}) VALUES ({marks})", rows)
    return conf


@contextmanager
def running(
    folder: Path, conf: Path, *, media: bool, web: int = 0, prefix: Sequence[str] = (), python: str = sys.executable
) -> Iterator[Part]:
    """rtpengine (if wanted) and the server, up and answering; both ended afterwards.

    Args:
        folder: For the logs.
        conf: The server's configuration.
        media: Whether an rtpengine is started at 127.0.0.1:2223.
        web: Port whose page has to answer, 0 for none.
        prefix: Put before the server's command line, as ``taskset -c 0``.
        python: Runs the server.
    """
    with ExitStack() as ends:
        if media:
            relay = Part("rtpengine", rtpengine_command("127.0.0.1", NG, (30000, 30399)), folder / "rtpengine.log")
            relay.start()
            ends.callback(relay.stop)
            host, port = NG.split(":")
            if not relay.wait_ready(lambda: probes.media_relay(host, int(port)), 10):
                sys.exit(f"rtpengine didn't start:\n{relay.last_words()}")
        server = Part("sipnode", [*prefix, *server_command(conf, python)], folder / "sipnode.log")
        server.start()
        ends.callback(server.stop)
        answers = lambda: probes.sip_server("127.0.0.1", 5060) and (not web or probes.web_page("127.0.0.1", web))  # noqa: E731
        if not server.wait_ready(answers, 20):
            sys.exit(f"the server didn't start:\n{server.last_words(40)}\n0 passed, 1 failed")
        yield server


def dump(file: Path, value: object) -> Path:
    """Write JSON."""
    file.write_text(json.dumps(value, indent=1))
    return file
