"""The softphone page as somebody uses it: keys, focus, a line that is down, calls that are declined. Real Chromium, a real server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

BOB = f"sip:bob@{DOMAIN}"
FOCUS = "document.activeElement.id || document.activeElement.dataset.key || document.activeElement.tagName"


class SoftphoneUseTests(TestCase):
    """What a person does with it."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser()

    async def shows(self, page: Page, words: str) -> None:
        """Wait until it can be read there."""

        async def ask() -> bool:
            return words in await page.text()

        await until(ask, f"the page should show {words!r}")

    async def test_keys_and_focus(self) -> None:
        """Enter and Space after dialling end nothing; a rejected call was declined; typed digits show; Tab passes a pad; tel: dials."""
        site = await Site(self).start()
        alice = await Page.ready(self, site.page("alice", 440))
        bob = await Page.ready(self, site.page("bob", 610, auto=False))
        await alice.at("fill", "#address", "bob")
        await alice.at("press", "#address", "Enter")
        await alice.call("ringing")
        for key in ("Enter", "Space", "Enter"):
            self.assertEqual("call", await alice.ask(FOCUS))
            await alice.at("press", "#call", key)
        await bob.call("incoming")
        await alice.call("ringing")
        await bob.at("click", "#reject")
        self.assertEqual((await alice.until(lambda status: status["last"], "it has ended"))["last"]["code"], 603)
        await self.shows(alice, "bob declined the call.")
        await alice.at("click", "#close")
        # A pad is one stop of Tab, the arrows go over it.
        await alice.at("focus", '#pad [tabindex="0"]')
        walk = []
        for key in ("ArrowRight", "ArrowDown", "End", "ArrowUp", "Home", "ArrowLeft"):
            await alice.at("press", "#pad :focus", key)
            walk.append(await alice.ask(FOCUS))
        self.assertEqual(walk, ["2", "5", "#", "9", "1", "1"])
        await alice.at("press", "#pad :focus", "Tab")
        self.assertEqual("dial", await alice.ask(FOCUS))
        # A number as a link has it.
        await alice.at("fill", "#address", "tel:+49-30-1234;phone-context=x")
        await alice.at("press", "#address", "Enter")
        peer = (await alice.until(lambda status: (status["last"] or {}).get("code") == 404, "there is no such number"))["last"]["peer"]
        self.assertEqual(peer, f"sip:+49301234@{DOMAIN}")
        await alice.at("click", "#close")
        # In a call what is typed is sent, and shows.
        await alice.do("call", BOB)
        await bob.call("incoming")
        await bob.at("click", "#answer")
        await alice.call("up")
        for key in "42#":
            await alice.at("press", "body", key)
        self.assertEqual("42#", await alice.ask("document.getElementById('tones-sent').textContent"))
        await self.shows(alice, "42#")
        await alice.at("click", "#hangup")
        await bob.call("")
        # Calls outlive the tab, and can be forgotten.
        self.assertEqual(3, await alice.ask(f"JSON.parse(localStorage.getItem('sipnode.recent.alice@{DOMAIN}')).length"))
        await alice.at("click", "[data-tab=recent]:visible")
        await alice.at("click", "#forget")
        await self.shows(alice, "Calls are listed here.")
        self.assertEqual([[], []], [alice.errors, bob.errors])

    async def test_line_is_down(self) -> None:
        """While the line is down Hold waits for it; a call that is given up meanwhile ends at the other side when it is back."""
        site = await Site(self).start()
        alice = await Page.ready(self, site.page("alice", 440))
        bob = await Page.ready(self, site.page("bob", 610))
        for given_up in (False, True):
            await alice.do("call", BOB)
            await alice.call("up")
            await bob.call("up")
            await site.kill()
            await alice.until(lambda status: status["line"] != "ready", "the line is down")
            await alice.at("click", "#hold")
            await self.shows(alice, "Waits")
            if given_up:
                await alice.at("click", "#hangup")
                await alice.call("")
                await bob.call("up")
            await site.start_again()
            if not given_up:
                await alice.until(lambda status: status["call"] and status["call"]["held"], "it is on hold then")
                await bob.until(lambda status: status["call"] and status["call"]["heldByThem"], "the other side knows")
                await alice.do("hangup")
            await bob.call("")
            for page in (alice, bob):
                await page.line("ready")
        await site.no_calls()
        self.assertEqual([[], []], [alice.errors, bob.errors])
