"""Edge proxies: sipnode before a sipnode, Kamailio before it, and it before a Kamailio; calls each way with sound."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import EdgeSettings, LocationSettings

from .support.browser import Page, missing_browser
from .support.kamailio import Kamailio
from .support.phone import Phone
from .support.site import DOMAIN, HOST, Site, free_port, missing, passwords
from .test_trunk import PASSWORD, PhoneSite

EDGE_HOST = "127.0.0.3"
BEHIND = "127.0.0.2"


class EdgesTests(TestCase):
    """A browser on the edge, a phone at the registrar."""

    timeout = 180
    skip = missing("kamailio", "rtpengine") or missing_browser()

    async def both_ways(self, page: Page, phone: Phone) -> None:
        """The page (440 Hz, alice) and the phone (bob) call each other, hear each other, and either hangs up."""
        await page.do("call", phone.aor)
        await page.call("up")
        await page.hears(phone.hz)
        await phone.calls[-1].hears(440)
        await phone.calls[-1].hang_up()
        await page.call("")
        back = phone.dial(f"sip:alice@{DOMAIN}")
        self.assertEqual((await back.outcome).status, 200)
        await page.call("up")
        await back.hears(440)
        await page.hears(phone.hz)
        self.assertEqual((await back.reinvite("sendonly")).status, 200)
        await page.do("hangup")
        await back.ended("BYE")

    async def test_sipnode(self) -> None:
        """edge-sipnode: a page at the edge sipnode is a user of the sipnode behind it; it is so again after a ``kill -9`` of the edge."""
        registrar = await Site(self).start()
        behind = EdgeSettings(domains=(DOMAIN,), registrar=f"{HOST}:{registrar.sip};transport=tcp")
        edge = await Site(self, domains=("edge.test",), edge=behind).start()
        page = await Page.ready(self, edge.page(f"alice@{DOMAIN}", 440, passwords()["alice"]))
        bob = await registrar.registered("bob", 900)
        await self.both_ways(page, bob)
        await edge.kill()
        await page.until(lambda status: status["line"] != "ready", "the page has lost its line")
        await edge.start_again()
        await page.line("ready")
        await self.both_ways(page, bob)

    async def test_kamailio(self) -> None:
        """edge-kamailio: a page that comes to Kamailio's WebSocket, which knows no user, is a user of the sipnode behind it."""
        # JsSIP sends a reg-id, and Kamailio without its module outbound says no ob.
        site = await Site(self, location=LocationSettings(outbound="lenient")).start()
        web, sip = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        words: dict[str, Any] = {"EDGEHOST": EDGE_HOST, "WEBPORT": web, "REGISTRARHOST": HOST, "REGISTRARPORT": site.sip}
        edge = await Kamailio(self, "kamailio_edge.cfg", "", sip, EDGE_HOST, **words).start()
        page = await Page.ready(self, f"{site.page('alice', 440)}&socket={EDGE_HOST}:{web}")
        bob = await site.registered("bob", 900)
        shown = await site.rpc("ul.lookup", "location", f"alice@{DOMAIN}")
        self.assertIn(EDGE_HOST, shown["Contacts"][0]["Contact"]["Path"], edge.log.read_text())
        await self.both_ways(page, bob)

    async def test_before_kamailio(self) -> None:
        """behind-kamailio: phones of a Kamailio that sign in through sipnode call each other, and one that is at Kamailio itself."""
        port = free_port(socket.SOCK_DGRAM)
        await Kamailio(self, "kamailio_provider.cfg", "", port, BEHIND).start()
        edge = EdgeSettings(domains=("provider.test",), registrar=f"{BEHIND}:{port}")
        site = await PhoneSite(self, edge=edge).start()
        through, direct = (HOST, site.sip), (BEHIND, port)
        one, two, three = (
            Phone(self, user, PASSWORD, "provider.test", server, hz)
            for user, server, hz in (("1", through, 500), ("2", through, 700), ("3", direct, 900))
        )
        for phone in (one, two, three):
            self.assertEqual((await phone.register()).status, 200)
        for caller, callee in ((one, two), (three, one), (two, three)):
            call = caller.dial(callee.aor)
            self.assertEqual((await call.outcome).status, 200)
            await call.hears(callee.hz)
            await callee.calls[-1].hears(caller.hz)
            await callee.calls[-1].hang_up()
            await call.ended()
