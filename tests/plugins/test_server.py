"""A server with both examples: users from a web service, registrations in a JSON file; a phone, an outage, a restart."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred

from sipnode import config
from sipnode.app import build
from sipnode.settings import AuthSettings, CoreSettings, MetricsSettings, RpcSettings, Settings, StorageSettings, WebSettings

from ..live.support.phone import Phone
from ..live.support.site import free_port
from .examples import installed
from .test_http_users import ALICE, HOST, ServiceCase, reactor


class ServerTests(ServiceCase):
    """``url = "json:state"``, ``backend = "http"``"""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="sipnode-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.sip = free_port(socket.SOCK_DGRAM)
        self.settings = Settings(
            core=CoreSettings(domains=("example.test",), listen=(f"udp:{HOST}:{self.sip}",), stop_seconds=0.0),
            auth=AuthSettings(backend="http", backend_url=self.url),
            storage=StorageSettings(url="json:state"),
            rpc=RpcSettings(socket=""),
            web=WebSettings(softphone=False),
            metrics=MetricsSettings(enabled=False),
        )
        (self.folder / config.FILE_NAME).write_text(config.render(self.settings))
        self.server: Any = None
        self.addCleanup(self.stop)

    async def start(self) -> None:
        """A server of the folder, which has read its table."""
        self.server = build(self.settings, self.folder, reactor, conf_file=str(self.folder / config.FILE_NAME))
        self.server.privilegedStartService()
        self.server.startService()
        await self.server.core.registrar.when_ready()

    async def stop(self) -> None:
        """Its planned end."""
        server, self.server = self.server, None
        if server is not None:
            await maybeDeferred(server.stopService)

    def phone(self, user: str, password: str = "secret") -> Phone:
        """One that isn't registered."""
        return Phone(self, user, password, "example.test", (HOST, self.sip))  # type: ignore[arg-type]  # it wants its addCleanup

    async def test_lives(self) -> None:
        """A user of the service registers, one with another password doesn't; what was registered is there after a restart."""
        self.service.know(ALICE)
        await self.start()
        alice = self.phone("alice")
        self.assertEqual((await alice.register()).status, 200)
        self.assertEqual((await self.phone("alice", "wrong").register()).status, 401)
        self.assertEqual((await self.phone("bob").register()).status, 401)
        rows = json.loads((self.folder / "state" / "location.json").read_text())
        self.assertEqual([(row["aor"], row["contact"]) for row in rows], [("alice@example.test", alice.contact)])
        await self.stop()
        await self.start()
        self.assertEqual(await alice.bindings(), [alice.contact])

    async def test_outage(self) -> None:
        """While the service is away whoever was known registers, and anybody else gets 503."""
        self.service.know(ALICE)
        await self.start()
        alice = self.phone("alice")
        await alice.register()
        await self.port.stopListening()
        for channel in self.site_channels():
            channel.abortConnection()
        credentials = self.server.getServiceNamed("storage").storage.credentials
        credentials.forget_all()
        self.assertEqual((await alice.register()).status, 200)
        answer = await self.phone("bob").register()
        self.assertEqual((answer.status, answer.get("retry-after")), (503, "5"))
        self.assertEqual(credentials.outdated, 1)

    def test_check(self) -> None:
        """``sipnode check`` in a process of its own finds both, and says what is wrong with a URL by file, line, key and distribution."""
        file = self.folder / config.FILE_NAME
        environment = {**os.environ, "PYTHONPATH": f"{installed()}:{Path(__file__).parents[2]}"}
        command = [sys.executable, "-m", "sipnode", "check", "-c", str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, f"{file}: right\n"), done.stderr)
        lines = file.read_text().replace(self.url, "http://users.test").splitlines()
        file.write_text("\n".join(lines))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        line = 1 + next(number for number, text in enumerate(lines) if text.startswith("backend_url"))
        where = "credential backend 'http' (sipnode.credentials sipnode_http_users:backends of sipnode-http-users 1.0)"
        self.assertIn(f"{file}:{line}: auth.backend_url: {where}: http: would send hashes", done.stderr)
        del environment["PYTHONPATH"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        self.assertIn(": auth.backend: no plugin has a credential backend 'http'; there are: store", done.stderr)
        self.assertIn(": storage.url: no store is called 'json'", done.stderr)
