"""A database that Kamailio's own scripts have made, and nothing else: it is right as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.settings import AuthSettings, StorageSettings

from .support import postgres
from .support.site import DOMAIN, Site, missing

SCRIPTS = Path("/usr/share/kamailio/postgres")
TABLES = ("standard", "auth_db", "usrloc", "presence")


class KamailioDatabaseTests(TestCase):
    """No ``sipnode db init`` was run."""

    timeout = 120
    skip = postgres.missing() or missing("rtpengine") or (None if SCRIPTS.is_dir() else "not installed: kamailio-postgres-modules")

    async def start(self, tables: tuple[str, ...]) -> Site:
        """A site whose users and bindings are in tables that Kamailio's scripts have made."""
        cluster = postgres.shared()
        await cluster.ready()
        database = cluster.create()
        for name in tables:
            cluster.execute((SCRIPTS / f"{name}-create.sql").read_text(), database=database)
        site = Site(self, storage=StorageSettings(url=cluster.url(database)), auth=AuthSettings(algorithms=("MD5",)))
        for user in ("alice", "bob"):
            done = await self.tool(site, "user", "add", f"{user}@{DOMAIN}", "--password-stdin", text=f"{site.phone(user).password}\n")
            self.assertEqual(done.returncode, 0, done.stderr)
        return site

    async def tool(self, site: Site, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """A command on the site's configuration."""
        command = [sys.executable, "-m", "sipnode", *words, "-c", str(site.folder)]
        return await deferToThread(lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=False))

    async def proved(self, tables: tuple[str, ...]) -> None:
        """The check finds no fault, a phone registers and calls, and no error is in the log."""
        site = await self.start(tables)
        check = await self.tool(site, "check", "--offline")
        self.assertEqual(check.returncode, 0, check.stderr)
        await site.start()
        alice, _ = await site.registered("alice"), await site.registered("bob")
        self.assertEqual((await alice.dial(f"sip:bob@{DOMAIN}").outcome).status, 200)
        said = site.server.log.read_text()
        self.assertNotIn("#error]", said)
        self.assertNotIn("#critical]", said)

    async def test_all_tables(self) -> None:
        """With all of Kamailio's tables."""
        await self.proved(TABLES)

    async def test_without_presence(self) -> None:
        """Where its presence module was never used."""
        await self.proved(TABLES[:3])
