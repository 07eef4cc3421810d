"""The folder of a demo between two runs: configuration, certificate, passwords, database, logs; all in one folder.

Invariant: passwords and the private key are readable by their owner alone, and stay the same from run to run.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from pathlib import Path

from sipnode import config
from sipnode.console.members import ADMIN, hashed
from sipnode.demo import certificate
from sipnode.settings import ConsoleSettings, CoreSettings, MediaSettings, RecorderSettings, Settings, StorageSettings, TLSSettings

DOMAIN = "sipnode.test"
NAMES = ("alice", "john")
OPERATOR = "admin"
"""Who signs in to the console."""
# Typed into phones: nothing that looks like something else.
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the demo listens.

    ``host`` is an IP literal. ``tls`` says that the page is served over https, as browsers ask for beyond loopback.
    """

    host: str
    sip_port: int
    http_port: int
    ng: str
    tls: bool

    @property
    def url_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def listen(self) -> tuple[str, ...]:
        """The ``listen`` lines."""
        page = "wss" if self.tls else "ws"
        lines = [f"udp:{self.url_host}:{self.sip_port}", f"tcp:{self.url_host}:{self.sip_port}", f"{page}:{self.url_host}:{self.http_port}"]
        if self.tls:
            lines.append(f"tls:{self.url_host}:{self.sip_port + 1}")
        return tuple(lines)

    def page(self, user: str, password: str) -> str:
        """The address that fills in the form for a user; what stands behind # never leaves the browser."""
        return f"{self.site}/#user={user}&password={password}&remember=1"

    @property
    def site(self) -> str:
        """Where the pages are, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.url_host}:{self.http_port}"


class DemoFolder:
    """The folder, made on first use.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.conf = self.path / config.FILE_NAME
        self.server_log = self.path / "sipnode.log"
        self.media_log = self.path / "rtpengine.log"
        self.database = self.path / "sipnode.sqlite"
        self.accounts_file = self.path / "accounts.json"
        self.operator_file = self.path / "console-password"

    def prepare(self, places: Places) -> None:
        """Write what the server reads; passwords, key and database of an earlier run are kept."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if places.tls:
            certificate.ensure(self.path / "cert.pem", self.path / "key.pem", DOMAIN, places.host)
            (self.path / "tls.cfg").write_text(
                f"[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n"
                f"private_key = {self.path}/key.pem\ncertificate = {self.path}/cert.pem\n\n"
                "[client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n"
            )
        settings = Settings(
            core=CoreSettings(domains=(DOMAIN,), listen=places.listen()),
            tls=TLSSettings(config="tls.cfg"),
            storage=StorageSettings(url=f"sqlite:{self.database.name}"),
            media=MediaSettings(nodes=(places.ng,)),
            recorder=RecorderSettings(enabled=True, everything=True),
            console=ConsoleSettings(
                enabled=True,
                # Beyond loopback the pages are https, and whoever may open them may open this one.
                allow=("0.0.0.0/0", "::/0") if places.tls else ("127.0.0.0/8", "::1"),
                users=(f"{OPERATOR} {ADMIN} {hashed(self.operator_password())}",),
            ),
        )
        self.conf.write_text(config.render(settings))

    def accounts(self) -> dict[str, str]:
        """Password by user name; made at random once."""
        try:
            kept = json.loads(self.accounts_file.read_text())
        except (OSError, ValueError):
            kept = {}
        accounts = {name: kept.get(name) or _password() for name in NAMES}
        if accounts != kept:
            certificate.write_secret(self.accounts_file, json.dumps(accounts, indent=1).encode())
        return accounts

    def operator_password(self) -> str:
        """The password of the console; made at random once."""
        try:
            kept = self.operator_file.read_text("ascii").strip()
        except (OSError, ValueError):
            kept = ""
        if not kept:
            kept = _password()
            certificate.write_secret(self.operator_file, f"{kept}\n".encode())
        return kept


def _password() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(12))
