"""A Kamailio and sipnode on the database that Kamailio's scripts made: each calls, with sound, who registered with the other."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import TestCase

from .support import kamailio, nodes
from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.kamailio import Kamailio
from .support.phone import Phone
from .support.site import DOMAIN, HOST, free_port, missing, passwords
from .support.waiting import until

ALICE, BOB, CAROL = (f"sip:{user}@{DOMAIN}" for user in ("alice", "bob", "carol"))
_ROW = "SELECT username, domain, contact, received, path, socket, server_id, ruid FROM location WHERE username = %s"


class SharedCase(TestCase):
    """sipnode as node 1, Kamailio with server_id 9."""

    timeout = 150
    skip = missing("rtpengine") or kamailio.missing()

    async def setUp(self) -> None:
        self.cluster, self.database = await nodes.database(of_kamailio=True)
        self.site = await nodes.node(self, 1, self.cluster.url(self.database)).start()
        # Its driver knows no UNIX socket with a port of our choice.
        url = self.cluster.url(self.database, tls=True).partition("?")[0].replace("localhost", HOST)
        self.kamailio = await Kamailio(self, "kamailio_calls.cfg", url, free_port(socket.SOCK_DGRAM)).start()

    async def at_kamailio(self, user: str, hz: int) -> Phone:
        """A phone that is registered with Kamailio, and known to sipnode."""
        phone = Phone(self, user, passwords()[user], DOMAIN, (HOST, self.kamailio.port), hz)
        response = await phone.register()
        self.assertEqual(response.status, 200, response.start_line)
        asker = self.site.phone(user)

        async def known() -> bool:
            return phone.contact in await asker.bindings()

        await until(known, "sipnode knows Kamailio's row")
        return phone

    def row(self, user: str, writer: str) -> tuple[Any, ...]:
        """The one row of a user, printed."""
        (row,) = self.cluster.execute(_ROW, (user,), self.database)
        print(f"\nrow of {user}, written by {writer}:\n  {row}", flush=True)
        return row


class CallTests(SharedCase):
    """Phones only."""

    async def test_called_through_sipnode(self) -> None:
        """A phone that Kamailio registered is called by a phone of sipnode's, through sipnode and its relay."""
        bob = await self.at_kamailio("bob", 610)
        self.assertEqual(self.row("bob", "Kamailio")[6], 9)
        alice = await self.site.registered("alice", 440)
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        heard = await bob.calls[0].hears(440)
        self.site.assert_relayed(media_of(bob.calls[0].remote_sdp))
        print(f"sipnode read it: alice called bob through sipnode, bob hears {heard.hz:.0f} Hz", flush=True)
        self.assertEqual((await bob.calls[0].hang_up()).status, 200)
        await call.ended("BYE")
        await self.site.no_calls()

    async def test_called_through_kamailio(self) -> None:
        """A phone that sipnode registered is called by a phone of Kamailio's, through Kamailio."""
        alice = await self.site.registered("alice", 440)
        self.assertEqual(self.row("alice", "sipnode")[6], 1)
        bob = await self.at_kamailio("bob", 610)
        call = bob.dial(ALICE)
        self.assertEqual((await call.outcome).status, 200)
        heard = await call.hears(440)
        await alice.calls[0].hears(610)
        self.assertIn(f":{self.kamailio.port};", alice.calls[0].routes[0])
        print(f"Kamailio read it: bob called alice through Kamailio, bob hears {heard.hz:.0f} Hz", flush=True)
        await call.hang_up()
        await alice.calls[0].ended("BYE")

    async def test_kamailio_forgets(self) -> None:
        """Who unregisters with Kamailio is nobody for sipnode."""
        bob = await self.at_kamailio("bob", 610)
        self.assertEqual((await bob.register(0)).status, 200)
        alice = await self.site.registered("alice", 440)

        async def nobody() -> bool:
            return (await alice.dial(BOB).outcome).status == 404

        await until(nobody, "bob is gone")


class BrowserTests(SharedCase):
    """A browser at sipnode, which Kamailio reaches by its Path."""

    skip = SharedCase.skip or missing_browser()

    async def test_phone_of_kamailio_calls_browser(self) -> None:
        """Kamailio finds the browser's row and sends the call to sipnode by its path; sipnode bridges the media, once."""
        page = await Page.ready(self, self.site.page("carol", 700))
        path = self.row("carol", "sipnode")[4]
        self.assertIn(f"@{HOST}:{self.site.sip};lr>", path)
        bob = await self.at_kamailio("bob", 610)
        call = bob.dial(CAROL)
        self.assertEqual((await call.outcome).status, 200)
        heard = await call.hears(700)
        page_heard = await page.hears(610)
        self.assertIn(b" RTP/AVP ", call.remote_sdp)
        self.site.assert_relayed(media_of(call.remote_sdp))
        self.assertEqual(len(await self.site.calls()), 1)
        print(f"bob called carol's browser through Kamailio: bob hears {heard.hz:.0f} Hz, carol {page_heard:.0f} Hz", flush=True)
        await page.do("hangup")
        await call.ended("BYE")
        await self.site.no_calls()

    async def test_browser_calls_phone_of_kamailio(self) -> None:
        """A browser calls a phone that Kamailio registered; the phone hangs up."""
        bob = await self.at_kamailio("bob", 610)
        page = await Page.ready(self, self.site.page("carol", 700))
        await page.do("call", BOB)
        await page.call("up")
        page_heard = await page.hears(610)
        heard = await bob.calls[0].hears(700)
        print(f"\ncarol's browser called bob of Kamailio: carol hears {page_heard:.0f} Hz, bob {heard.hz:.0f} Hz", flush=True)
        self.assertEqual((await bob.calls[0].hang_up()).status, 200)
        await page.call("")
        await self.site.no_calls()
