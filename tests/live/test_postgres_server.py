"""A server whose PostgreSQL is away: calls go on, and a REGISTER is refused or kept, as the settings say."""

from __future__ import annotations

import signal
from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import AccSettings, LocationSettings, StorageSettings
from sipnode.storage.factory import user_table
from sipnode.storage.initialize import init_database

from .support import postgres
from .support.phone import Phone
from .support.site import DOMAIN, Site, missing, passwords
from .support.waiting import until
from .test_postgres_outage import cluster

BOB = f"sip:bob@{DOMAIN}"


class AwayTests(TestCase):
    """The whole server on a database that is stopped and started."""

    timeout = 120
    skip = missing("rtpengine") or postgres.missing()

    async def site(self, **location: Any) -> Site:
        """A server that runs, with Alice's and Bob's phones registered, and Carol known; then its database is killed."""
        site = await self.running(**location)
        # Her first REGISTER is challenged, and who she is can't be asked for later.
        self.carol = site.phone("carol")
        self.assertEqual(await self.carol.bindings(), [])
        self.cluster.stop(signal.SIGKILL)
        return site

    async def running(self, **location: Any) -> Site:
        """A server that runs, with Alice's and Bob's phones registered."""
        self.cluster = cluster()
        self.addCleanup(self.cluster.stop, signal.SIGKILL)
        self.cluster.start()
        await self.cluster.ready()
        self.database = self.cluster.create()
        url = self.cluster.url(self.database, tls=True)
        init_database(url, "")
        table = user_table(url, "")
        for user, password in passwords().items():
            table.add(user, DOMAIN, password)
        sections = {"storage": StorageSettings(url=url), "location": LocationSettings(**location), "acc": AccSettings(tables=True)}
        site = await Site(self, **sections).start()
        self.alice, self.bob = await site.registered("alice", 440), await site.registered("bob", 610)
        return site

    async def called(self) -> None:
        """A call from Alice to Bob, with sound."""
        call = self.alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await call.hang_up()
        await self.bob.calls[-1].ended("BYE")

    def users(self) -> set[str]:
        return {user for (user,) in self.cluster.execute("SELECT username FROM location", database=self.database)}

    async def frozen(self, db_mode: int) -> None:
        """Calls of those who are registered go on, with passwords; who never signed in is refused; then all is as it was."""
        site = await self.running(db_mode=db_mode)
        stranger, wrong = site.phone("carol"), site.phone("alice", password="wrong")
        self.cluster.freeze()
        try:
            await self.called()
            refused = await stranger.register()
            self.assertEqual((refused.status, refused.get("retry-after")), (503, "5"))
            refused = await stranger.dial(BOB).outcome
            self.assertEqual((refused.status, refused.get("retry-after")), (503, "5"))
            self.assertEqual((await wrong.register()).status, 401)
            await self.called()
        finally:
            self.cluster.resume()

        async def accepted() -> bool:
            return (await stranger.register()).status == 200

        await until(accepted, "the database's return is noticed")
        call = self.alice.dial(f"sip:carol@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hang_up()
        if db_mode:
            await until(lambda: self.users() == {"alice", "bob", "carol"}, "the rows of all")
        said = site.server.log.read_text()
        self.assertIn("the store of users is away", said)
        self.assertRegex(said, r"the store of users is back; .* [1-9]\d* times somebody wasn't known and refused")

    async def test_frozen_memory_only(self) -> None:
        """``db_mode`` 0: SIGSTOP of PostgreSQL, which has users and passwords, stops no call of those who are registered."""
        await self.frozen(0)

    async def test_frozen_write_through(self) -> None:
        """``db_mode`` 1: the same."""
        await self.frozen(1)

    async def test_frozen_write_back(self) -> None:
        """``db_mode`` 2: the same."""
        await self.frozen(2)

    async def test_frozen_database_only(self) -> None:
        """``db_mode`` 3: the same, by what the server has registered itself."""
        await self.frozen(3)

    async def test_user_gone(self) -> None:
        """Who was removed before the database went isn't believed meanwhile; nor is a former password."""
        site = await self.running()
        table = user_table(self.cluster.url(self.database, tls=True), "")
        table.remove("alice", DOMAIN)
        table.set_password("bob", DOMAIN, "another one")

        async def refused(phone: Phone) -> bool:
            return (await phone.register()).status == 401

        for phone in (self.alice, self.bob):
            await until(lambda phone=phone: refused(phone), "the change is noticed")
        self.cluster.freeze()
        try:
            self.assertIn((await self.alice.register()).status, (401, 503))
            self.assertEqual((await self.bob.register()).status, 401)
            self.assertNotEqual((await site.phone("bob", password="another one").register()).status, 401)
        finally:
            self.cluster.resume()

    async def test_rejected(self) -> None:
        """Calls go on. REGISTER is 503 with Retry-After, and is accepted by itself when the database is back."""
        await self.site()
        await self.called()

        async def refused() -> bool:
            response = await self.carol.register()
            return response.status == 503 and bool(response.get("retry-after"))

        await until(refused, "503 with Retry-After")
        self.cluster.start()

        async def accepted() -> bool:
            return (await self.carol.register()).status == 200

        await until(accepted, "the database's return is noticed")
        self.assertEqual(self.users(), {"alice", "bob", "carol"})

    async def test_accepted(self) -> None:
        """With ``on_outage = accept`` REGISTER is 200 meanwhile, who registered is called, and the rows are there afterwards: that of the
        binding, and one in Kamailio's ``acc`` for each call.
        """
        await self.site(on_outage="accept")

        async def accepted() -> bool:
            return (await self.carol.register()).status == 200

        await until(accepted, "200 without a database")
        call = self.alice.dial(f"sip:carol@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hang_up()
        await self.called()
        self.cluster.start()
        await self.cluster.ready()
        await until(lambda: self.users() == {"alice", "bob", "carol"}, "the row of who was accepted")
        columns = "src_user, dst_user, sip_code, outcome, duration_ms > 0, quality LIKE '%packets%'"
        wanted = {("alice", "carol", "200", "completed", True), ("alice", "bob", "200", "completed", True)}

        def billed() -> bool:
            rows = self.cluster.execute(f"SELECT {columns} FROM acc ORDER BY id", database=self.database)
            return {row[:5] for row in rows} == wanted and len(rows) == 2 and bool(rows[1][5])

        await until(billed, "a row of each call")
