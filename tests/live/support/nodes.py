"""Several nodes on one database, and the balancer in front of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.protocols.portforward import ProxyFactory
from twisted.trial.unittest import TestCase

from sipnode.settings import NodeSettings, StorageSettings, TLSSettings
from sipnode.storage.factory import user_table
from sipnode.storage.initialize import init_database

from . import postgres
from .site import DOMAIN, HOST, Site, passwords

reactor: Any = _reactor
_SCRIPTS = Path("/usr/share/kamailio/postgres")
SECRET = "only for tests: this is no secret at all"
LOST_SECONDS = 3.0


async def database(of_kamailio: bool = False) -> tuple[postgres.Cluster, str]:
    """A database with the tables and users of the tests: its cluster and its name.

    Args:
        of_kamailio: Debian's own scripts made it, before ``sipnode db init`` added to it.
    """
    cluster = postgres.shared()
    await cluster.ready()
    name = cluster.create()
    url = cluster.url(name)
    for part in ("standard", "auth_db", "usrloc", "presence") if of_kamailio else ():
        cluster.execute((_SCRIPTS / f"{part}-create.sql").read_text(), database=name)
    init_database(url, "")
    table = user_table(url, "")
    for user, password in passwords().items():
        table.add(user, DOMAIN, password)
    return cluster, name


def node(case: TestCase, number: int, url: str, transport: str = "udp", **sections: Any) -> Site:
    """A node that isn't running yet."""

    def settings(site: Site) -> NodeSettings:
        port = site.sips if transport == "tls" else site.sip
        return NodeSettings(id=number, address=f"{HOST}:{port};{transport}", secret=SECRET, lost_seconds=LOST_SECONDS)

    if transport == "tls":
        sections["tls"] = TLSSettings(config=str(certificate(case)))
    return Site(case, transport == "tls", storage=StorageSettings(url=url), node=settings, **sections)


def certificate(case: TestCase) -> Path:
    """A ``tls.cfg`` whose certificate is that of loopback, and who shows another isn't believed; one for all nodes of a test."""
    folder = Path(case.mktemp()).absolute().parent.parent / "tls"
    conf = folder / "tls.cfg"
    if conf.exists():
        return conf
    folder.mkdir(parents=True)
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    files = "private_key = ./key.pem\ncertificate = ./cert.pem\n"
    conf.write_text(f"[server:default]\n{files}\n[client:default]\nverify_certificate = yes\nca_list = ./cert.pem\n")
    return conf


class Balancer:
    """Takes connections of browsers and hands each to the node that is chosen at the moment.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, case: TestCase, site: Site) -> None:
        self._factory: Any = ProxyFactory(HOST, site.http)  # type: ignore[no-untyped-call]  # Twisted's has no annotations
        self._factory.noisy = False
        self._wire = reactor.listenTCP(0, self._factory, interface=HOST)
        self.port: int = self._wire.getHost().port
        case.addCleanup(self._wire.stopListening)

    def choose(self, site: Site) -> None:
        """New connections go there."""
        self._factory.port = site.http

    def page(self, site: Site, *given: Any, **named: Any) -> str:
        """As :meth:`Site.page`, through the balancer."""
        return site.page(*given, **named).replace(f":{site.http}/", f":{self.port}/")
