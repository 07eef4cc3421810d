"""Calls with real parts: the server, an rtpengine, the softphone page in Chromium, phones; sound measured at both ends."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import DialogSettings

from .support.browser import PROGRAMS, Page, program
from .support.call import media_of
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


class CallCase(TestCase):
    """Starts a site for each test."""

    timeout = 90
    skip = missing("rtpengine") or (missing(PROGRAMS[0]) if program() is None else None)

    async def site(self, **sections: Any) -> Site:
        """Server and rtpengine, running."""
        return await Site(self, **sections).start()


class BrowserTests(CallCase):
    """Two browsers."""

    async def test_webrtc_to_webrtc(self) -> None:
        """Two pages call each other, each hears the other's tone, and after hanging up the relay holds nothing."""
        site = await self.site()
        alice = await Page.ready(self, site.page("alice", 440))
        bob = await Page.ready(self, site.page("bob", 610))
        self.assertTrue(await alice.do("call", BOB))
        await alice.call("up")
        await bob.call("up")
        await alice.hears(610)
        await bob.hears(440)
        self.assertEqual(len(await site.calls()), 1)
        await alice.do("hangup")
        for page in (alice, bob):
            await page.call("")
            self.assertEqual(page.errors, [])
        await site.no_calls()
