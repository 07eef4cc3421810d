"""Several calls on the softphone page: one that waits, one that is handed over. Three Chromium pages, a real server and rtpengine."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

ALICE, BOB, CAROL = (f"sip:{user}@{DOMAIN}" for user in ("alice", "bob", "carol"))
LISTED = "() => Array.from(document.querySelectorAll('#waiting li'), (li) => li.innerText.replace(/\\s+/g, ' '))"


def peer(uri: str, **more: Any) -> Any:
    """A condition: the call is up with that one, and as `more` says."""

    def holds(status: dict[str, Any]) -> bool:
        call = status["call"]
        return bool(call) and call["state"] == "up" and call["peer"] == uri and all(call[name] == value for name, value in more.items())

    return holds


class SoftphoneCallsTests(TestCase):
    """What a person does with more than one call."""

    timeout = 180
    skip = missing("rtpengine") or missing_browser()

    async def three(self) -> tuple[Site, Page, Page, Page]:
        """Alice, Bob and Carol, signed in and seen by each other; they answer by hand."""
        site = await Site(self).start()
        pages = [await Page.ready(self, site.page(user, hz, auto=False)) for user, hz in (("alice", 440), ("bob", 610), ("carol", 830))]
        for page in pages:
            await page.until(lambda status: len(status["people"]) == 2, "the people are listed")
        return site, pages[0], pages[1], pages[2]

    async def shows(self, page: Page, words: str) -> None:
        """Wait until it can be read there."""

        async def ask() -> bool:
            return words in await page.text()

        await until(ask, f"the page should show {words!r}")

    async def speak(self, caller: Page, callee: Page, uri: str) -> None:
        """A call from one to the other that is up at both."""
        await caller.do("call", uri)
        await callee.call("incoming")
        await callee.at("click", "#answer")
        await caller.until(peer(uri), "it is up")
        await callee.call("up")

    async def test_waiting(self) -> None:
        """A second call shows beside the first and can be taken, which holds the first; back and forth; who hangs up leaves the other."""
        site, alice, bob, carol = await self.three()
        await self.speak(alice, bob, BOB)
        await carol.do("call", BOB)
        await carol.call("ringing")
        await self.shows(bob, "Is calling")
        self.assertEqual(["carol Is calling Answer Reject"], await bob.ask(LISTED))
        await bob.until(peer(ALICE), "nothing is taken by itself")
        await bob.at("click", "#waiting .take")
        await bob.until(peer(CAROL), "Carol is spoken with")
        await carol.hears(610)
        await alice.until(peer(BOB, heldByThem=True), "Alice is held")
        self.assertEqual(["alice On hold Go on Hang up"], await bob.ask(LISTED))
        await bob.at("click", "#waiting .take")
        await bob.until(peer(ALICE, held=False), "Alice is spoken with")
        await alice.hears(610)
        await carol.until(peer(BOB, heldByThem=True), "Carol is held")
        await bob.at("click", "#hangup")
        await bob.until(peer(CAROL, held=True), "Carol is back on the screen, on hold")
        await alice.call("")
        await bob.at("click", "#hold")
        await carol.until(peer(BOB, heldByThem=False), "Carol is spoken with")
        # One that isn't wanted is declined, and the call goes on.
        await alice.do("call", BOB)
        await alice.call("ringing")
        await bob.at("click", "#waiting .end")
        self.assertEqual(603, (await alice.until(lambda status: status["last"] and status["last"]["code"], "declined"))["last"]["code"])
        await bob.until(peer(CAROL), "goes on")
        await bob.do("hangup")
        await carol.call("")
        await site.no_calls()
        self.assertEqual([[], [], []], [page.errors for page in (alice, bob, carol)])

    async def test_transfer(self) -> None:
        """Blind, refused, asked first and attended: who is handed over speaks with the other, and who handed over is free."""
        site, alice, bob, carol = await self.three()
        # Blind, from the panel.
        await self.speak(alice, bob, BOB)
        await alice.at("click", "#pass")
        await alice.at("fill", "#pass-to", "carol")
        await alice.at("press", "#pass-to", "Enter")
        await carol.call("incoming")
        await alice.until(peer(BOB, held=True), "Bob waits on hold")
        await carol.at("click", "#reject")
        await alice.until(peer(BOB, note="Not handed over."), "Carol didn't want him: he is still there")
        await bob.until(peer(ALICE), "he is back, too")
        await alice.at("click", "#pass")
        await alice.at("fill", "#pass-to", "carol")
        await alice.at("click", "#pass-now")
        await carol.call("incoming")
        await carol.at("click", "#answer")
        await bob.until(peer(CAROL), "Bob speaks with Carol")
        await alice.call("")
        self.assertEqual("bob and carol are connected.", (await alice.status())["last"]["words"])
        await carol.hears(610)
        await bob.hears(830)
        self.assertEqual([], (await bob.status())["waiting"])
        await carol.do("hangup")
        await bob.call("")
        # To an address that isn't a colleague's he is asked, as he would pay for it.
        await self.speak(alice, bob, BOB)
        for answer, code in (("#offer-no", 603), ("#offer-yes", 404)):
            await alice.ask("() => { window.passed = sipnode.pass('0900 1234') }")
            await bob.until(peer(ALICE, offer=f"sip:09001234@{DOMAIN}"), "Bob is asked")
            await self.shows(bob, f"You would call 09001234@{DOMAIN}, on your account.")
            await bob.at("click", answer)
            self.assertFalse(await alice.ask("window.passed"), code)
            await alice.until(peer(BOB, note="Not handed over."), "he is still there")
            await bob.until(peer(ALICE, offer=""), "with Alice")
        self.assertFalse(await alice.do("pass", "sip:@@"), "that is no address")
        await alice.do("hangup")
        await bob.call("")
        # Asked first: Bob waits while Alice speaks with Carol, then both are connected.
        await self.speak(bob, alice, ALICE)
        await alice.at("click", "#pass")
        await alice.at("fill", "#pass-to", "carol")
        await alice.at("click", "#pass-ask")
        await carol.call("incoming")
        await carol.at("click", "#answer")
        await alice.until(peer(CAROL), "Alice asks Carol")
        await bob.until(peer(ALICE, heldByThem=True), "Bob waits")
        await alice.at("click", "#pass")
        self.assertEqual("Connect carol and bob", await alice.ask("document.getElementById('pass-join').textContent"))
        await alice.at("click", "#pass-join")
        await bob.until(peer(CAROL), "Bob speaks with Carol")
        await carol.until(peer(BOB), "Carol didn't have to answer again")
        await alice.until(lambda status: not status["call"] and not status["waiting"], "Alice is free")
        await carol.hears(610)
        await bob.hears(830)
        await carol.do("hangup")
        await bob.call("")
        await site.no_calls()
        self.assertEqual([[], [], []], [page.errors for page in (alice, bob, carol)])
