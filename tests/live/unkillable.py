"""The table of the unkillable call, measured with real sound: ``make unkillable``. No part of the tests: it takes minutes, and prints.

Each cell is a call of a browser (alice) with a phone (bob), or of two phones, and one misfortune. Seconds of silence are the longest
time in which the other end got no packet.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from sipnode.settings import StorageSettings

from .support import postgres
from .support.browser import Page, missing_browser
from .support.call import Call
from .support.networks import Networks
from .support.nodes import Balancer, database, node
from .support.phone import Phone
from .support.site import DOMAIN, Site, missing
from .support.waiting import until
from .test_unkillable import CUT

reactor: Any = _reactor
PATIENCE = 40.0
"""So long anything may take; whatever isn't back then is told to be so."""
Rows = list[tuple[str, str, str]]


class TableTests(TestCase):
    """All of it, in one run."""

    timeout = 900
    skip = missing("rtpengine") or missing_browser() or postgres.missing()

    async def test_table(self) -> None:
        """Measure and print."""
        rows: Rows = []
        for name, deed in (
            ("page loaded anew", self.reload),
            ("socket cut", self.cut),
            ("``kill -9`` of sipnode, and started anew", self.killed),
            ("rtpengine killed, and started anew", self.relay),
            ("one of two rtpengines lost", self.node),
            ("PostgreSQL stopped", self.database),
        ):
            browser = await self.browser(deed)
            pages_only = {"page loaded anew": "—", "socket cut": "—"}
            rows.append((name, browser, pages_only.get(name) or await self.phone(deed)))
        rows.insert(2, ("network changed", await self.page_moves(), await self.phone(self.moved)))
        rows.append(("one of two nodes of sipnode lost", await self.sister_lost(), "—"))
        print(table(("misfortune", "browser", "phone"), rows), file=sys.__stdout__, flush=True)

    async def site(self, deed: Callable[[Site, Page | None], Awaitable[None]]) -> Site:
        """A server, with PostgreSQL where that is what stops."""
        if deed != self.database:
            return await Site(self, relays=2 if deed == self.node else 1).start()
        # The cell before may have left it stopped.
        postgres.shared().resume()
        cluster, name = await database()
        return await Site(self, storage=StorageSettings(url=cluster.url(name))).start()

    async def browser(self, deed: Callable[[Site, Page | None], Awaitable[None]]) -> str:
        """The cell of a page in a call with a phone."""
        site = await self.site(deed)
        alice = await Page.ready(self, f"{site.page('alice', 440)}&remember=1")
        bob = await site.registered("bob", 700)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await alice.call("up")
        cell = await self.measured(site, alice, bob.calls[0], 440, deed)
        await alice.close()
        return cell

    async def page_moves(self) -> str:
        """The same where the page goes from behind one translator behind another."""
        nets = Networks(self)
        site = await Site(self, host=nets.server).start()
        browser = nets.browser(self, site)
        alice = await Page.ready(self, f"{site.page('alice', 440)}&remember=1", browser)
        bob = await site.registered("bob", 700)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await alice.call("up")

        async def deed(_site: Site, page: Page | None) -> None:
            assert page is not None
            nets.move()
            await page.until(lambda status: status["line"] != "ready" or status["call"]["note"], "it has noticed")
            await page.until(lambda status: status["line"] == "ready" and not status["call"]["note"], "all is well")

        return await self.measured(site, alice, bob.calls[0], 440, deed)

    async def sister_lost(self) -> str:
        """The same where the page is at a node that is killed, and comes to the phone's."""
        postgres.shared().resume()
        cluster, name = await database()
        one, two = [await node(self, number, cluster.url(name)).start() for number in (1, 2)]
        balancer = Balancer(self, two)
        alice = await Page.ready(self, f"{balancer.page(two, 'alice', 440)}&remember=1")
        bob = await one.registered("bob", 700)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await alice.call("up")

        async def deed(_site: Site, page: Page | None) -> None:
            assert page is not None
            balancer.choose(one)
            await two.kill()
            await page.until(lambda status: status["line"] != "ready", "it has noticed")
            await page.line("ready")

        cell = await self.measured(one, alice, bob.calls[0], 440, deed)
        await alice.do("hangup")
        await bob.calls[0].ended("BYE")
        await alice.close()
        return cell

    async def phone(self, deed: Callable[[Site, Page | None], Awaitable[None]]) -> str:
        """The cell of two phones."""
        site = await self.site(deed)
        bob, carol = await site.registered("bob", 700), await site.registered("carol", 880)
        self.carol = carol
        call = carol.dial(bob.aor)
        self.assertEqual((await call.outcome).status, 200)
        return await self.measured(site, None, bob.calls[0], carol.hz, deed)

    async def measured(
        self, site: Site, page: Page | None, call: Call, hz: int, deed: Callable[[Site, Page | None], Awaitable[None]]
    ) -> str:
        """Do it, and say how it went for the other side."""
        await call.hears(hz)
        before = requests(call.phone)
        call.sound.gap = 0.0
        await deed(site, page)
        began = reactor.seconds()
        call.sound.forget()

        def over() -> bool:
            heard = call.sound.heard()
            return call.state == "ended" or (abs(heard.hz - hz) < 8 and heard.share > 0.6) or reactor.seconds() - began > PATIENCE

        await until(over, "sound, an end, or too late", PATIENCE + 20)
        # What is left of the gap, and of what is still on its way.
        await deferLater(reactor, 2, lambda: None)
        seen = requests(call.phone)[len(before) :]
        told = ", ".join(dict.fromkeys(method for method in seen if method != "ACK")) or "nothing"
        if call.state == "ended":
            return f"ended; other side: {told}"
        if abs(call.sound.heard().hz - hz) > 8:
            return f"no sound after {PATIENCE:.0f} s; other side: {told}"
        return f"{call.sound.gap:.1f} s; other side: {told}"

    # -- misfortunes

    async def reload(self, site: Site, page: Page | None) -> None:
        assert page is not None
        await page.reload()

    async def cut(self, site: Site, page: Page | None) -> None:
        assert page is not None
        await page.ask(CUT)
        await page.line("ready")

    async def moved(self, site: Site, page: Page | None) -> None:
        await self.carol.move("127.0.0.5")

    async def killed(self, site: Site, page: Page | None) -> None:
        await site.kill()
        await site.start_again()
        if page is not None:
            await page.line("ready")

    async def relay(self, site: Site, page: Page | None) -> None:
        await site.kill_relay(anew=True)

    async def node(self, site: Site, page: Page | None) -> None:
        await site.kill_relay(0 if await site.calls(0) else 1)

    async def database(self, site: Site, page: Page | None) -> None:
        cluster = postgres.shared()
        cluster.freeze()
        self.addCleanup(cluster.resume)
        # Long enough for every part of the server to find out.
        await deferLater(reactor, 10, lambda: None)


def requests(phone: Phone) -> list[str]:
    """The methods that it got, in their order."""
    return [request.method for request in phone.requests]


def table(head: tuple[str, str, str], rows: Rows) -> str:
    """A list-table of RST."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'* ' if at == 0 else '  '}- {cell}".rstrip() for at, cell in enumerate(row)]
    return "\n".join(lines)
