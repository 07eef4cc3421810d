"""Presence on the softphone page: two Chromium pages that watch each other, over reloads and the server's end."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import PresenceSettings

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing, passwords

BOB = f"sip:bob@{DOMAIN}"


async def sees(page: Page, user: str, state: str, note: str = "") -> None:
    """Wait until a page shows somebody so."""

    def shown(status: dict[str, Any]) -> bool:
        return any((one["user"], one["state"], one["note"]) == (user, state, note) for one in status["people"])

    await page.until(shown, f"{user} is {state} {note!r}")


class SoftphonePresenceTests(TestCase):
    """What a page shows of its contacts, and what it says of its user."""

    timeout = 90
    skip = missing("rtpengine") or missing_browser()

    async def site(self, **sections: Any) -> Site:
        """Server and rtpengine, running."""
        return await Site(self, **sections).start()

    async def watching(self, site: Site, user: str, hz: int) -> Page:
        """A page that is signed in, of which the server takes subscriptions."""
        page = await Page.ready(self, site.page(user, hz))
        await page.until(lambda status: status["presence"], "presence works")
        return page

    async def test_comes_calls_and_goes(self) -> None:
        """Alice's page shows Bob come, be away with a note, be on the phone and be away again after it, be back, and go."""
        site = await self.site()
        alice = await self.watching(site, "alice", 440)
        await sees(alice, "bob", "offline")
        bob = await self.watching(site, "bob", 610)
        await sees(alice, "bob", "online")
        await bob.do("setState", "away", "Lunch <& soup>")
        await sees(alice, "bob", "away", "Lunch <& soup>")
        self.assertIn("Away · Lunch <& soup>", await alice.text())
        self.assertTrue(await alice.do("call", BOB))
        await alice.call("up")
        await sees(alice, "bob", "phone", "Lunch <& soup>")
        await sees(bob, "alice", "phone")
        self.assertIn("On the phone", await alice.text())
        await alice.do("hangup")
        await sees(alice, "bob", "away", "Lunch <& soup>")
        await sees(bob, "alice", "online")
        await bob.do("setState", "online")
        await sees(alice, "bob", "online")
        await bob.do("signOut")
        await sees(alice, "bob", "offline")
        self.assertEqual([alice.errors, bob.errors], [[], []])

    async def test_state_outlives_reload(self) -> None:
        """A page that is loaded again still says what its user had said, and takes it back when its user signs out."""
        site = await self.site()
        alice = await self.watching(site, "alice", 440)
        bob = await Page.ready(self, f"{site.page('bob', 610)}&remember=1")
        await bob.do("setState", "busy", "On a train")
        await sees(alice, "bob", "busy", "On a train")
        await bob.reload()
        await bob.until(lambda status: status["presence"] and status["mine"] == {"state": "busy", "note": "On a train"}, "as before")
        await sees(alice, "bob", "busy", "On a train")
        await bob.do("setState", "away")
        await sees(alice, "bob", "away")
        # Loaded again while what it says is under way: nothing of that is left behind.
        await bob.ask("() => { sipnode.setState('busy', 'On a bus'); location.reload() }")
        await sees(alice, "bob", "busy", "On a bus")
        await bob.until(lambda status: status["presence"] and status["mine"] == {"state": "busy", "note": "On a bus"}, "as before")
        await bob.do("setState", "away", "On foot")
        await sees(alice, "bob", "away", "On foot")
        self.assertEqual(1, len(await site.rpc("presence.publications", BOB, "presence")))
        await bob.do("signOut")
        await sees(alice, "bob", "offline")
        again = await self.watching(site, "bob", 610)
        await sees(alice, "bob", "online")
        self.assertEqual((await again.status())["mine"], {"state": "online", "note": ""})

    async def test_two_devices_of_one_user(self) -> None:
        """What a user says on one page the other one shows as well, and what was said last counts, over a reload of either."""
        site = await self.site()
        alice = await self.watching(site, "alice", 440)
        first = await Page.ready(self, f"{site.page('bob', 610)}&remember=1")
        second = await self.watching(site, "bob", 620)
        await first.do("setState", "busy", "At the desk")
        await sees(alice, "bob", "busy", "At the desk")
        await second.until(lambda status: status["mine"] == {"state": "busy", "note": "At the desk"}, "what the other one said")
        await second.do("setState", "online")
        await sees(alice, "bob", "online")
        await first.until(lambda status: status["mine"] == {"state": "online", "note": ""}, "what the other one said")
        await first.reload()
        await first.until(lambda status: status["presence"] and status["mine"] == {"state": "online", "note": ""}, "still so")
        await sees(alice, "bob", "online")

    async def test_another_user_takes_the_page(self) -> None:
        """Who signs in on a page where somebody is takes their place: that one is gone for others, and leaves no state behind."""
        site = await self.site()
        alice = await self.watching(site, "alice", 440)
        page = await self.watching(site, "bob", 610)
        await page.do("setState", "busy")
        await sees(alice, "bob", "busy")
        await page.do("signIn", "carol", passwords()["carol"])
        await sees(alice, "bob", "offline")
        await sees(alice, "carol", "online")
        await sees(page, "alice", "online")
        self.assertEqual((await page.status())["mine"], {"state": "online", "note": ""})

    async def test_server_is_killed(self) -> None:
        """After kill -9 and a start, pages that stayed open see each other's states, and each other's changes."""
        site = await self.site()
        alice = await self.watching(site, "alice", 440)
        bob = await self.watching(site, "bob", 610)
        await bob.do("setState", "busy")
        await sees(alice, "bob", "busy")
        await site.kill()
        await site.start_again()
        for page in (alice, bob):
            await page.line("ready")
        await sees(alice, "bob", "busy")
        await bob.do("setState", "away", "Still here")
        await sees(alice, "bob", "away", "Still here")
        await sees(bob, "alice", "online")

    async def test_without_presence(self) -> None:
        """Of a server that serves no presence, the page shows who is signed in, and offers no state to set."""
        site = await self.site(presence=PresenceSettings(packages=()))
        alice = await Page.ready(self, site.page("alice", 440))
        await alice.until(lambda status: status["presence"] is False, "presence doesn't work")
        await sees(alice, "bob", "offline")
        await Page.ready(self, site.page("bob", 610))
        await sees(alice, "bob", "online")
        self.assertNotIn("Available", await alice.text())
        self.assertEqual(alice.errors, [])
