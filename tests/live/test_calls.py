"""Calls with real parts: the server, an rtpengine, the softphone page in Chromium, phones; sound measured at both ends."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import DialogSettings

from .support.baresip import Baresip
from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


class CallCase(TestCase):
    """Starts a site for each test."""

    timeout = 90
    skip = missing("rtpengine") or missing_browser()

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


class PhoneTests(CallCase):
    """A browser and a phone that knows nothing but RTP/AVP."""

    async def up(self, site: Site, hz: int = 440) -> Page:
        """Alice's page, signed in."""
        return await Page.ready(self, site.page("alice", hz))

    async def test_webrtc_to_sip(self) -> None:
        """A page calls a phone; both hear each other, the phone sees plain RTP at the relay's address, and hangs up."""
        site = await self.site()
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        await alice.do("call", BOB)
        await alice.call("up")
        call = bob.calls[0]
        await call.hears(440)
        await alice.hears(700)
        self.assertIn(b" RTP/AVP ", call.remote_sdp)
        self.assertNotIn(b"a=ice", call.remote_sdp)
        site.assert_relayed(media_of(call.remote_sdp))
        await until(lambda: call.acked, "the ACK reached the phone")
        self.assertEqual((await call.hang_up()).status, 200)
        await alice.call("")
        await site.no_calls()

    async def test_sip_to_webrtc(self) -> None:
        """A phone calls a page; both hear each other, and the page hangs up."""
        site = await self.site()
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        call = bob.dial(ALICE)
        self.assertEqual((await call.outcome).status, 200)
        await alice.call("up")
        await call.hears(440)
        await alice.hears(700)
        site.assert_relayed(media_of(call.remote_sdp))
        await alice.do("hangup")
        await call.ended("BYE")
        await site.no_calls()

    async def test_hold(self) -> None:
        """Hold passes both ways: the other end is told, and both hear each other again afterwards."""
        site = await self.site()
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        call = bob.dial(ALICE)
        self.assertEqual((await call.outcome).status, 200)
        await alice.call("up")
        self.assertTrue(await alice.do("hold"))
        self.assertIn(call.heard_direction, ("sendonly", "inactive"))
        self.assertTrue(await alice.do("unhold"))
        self.assertEqual(call.heard_direction, "sendrecv")
        await call.hears(440)
        self.assertEqual((await call.reinvite("sendonly")).status, 200)
        await alice.until(lambda status: status["call"]["heldByThem"], "held by the phone")
        self.assertEqual((await call.reinvite()).status, 200)
        await alice.until(lambda status: not status["call"]["heldByThem"], "held no more")
        await call.hears(440)
        await alice.hears(700)
        await call.hang_up()
        await alice.call("")
        await site.no_calls()

    async def test_mute_and_keys(self) -> None:
        """A muted page is silent at the phone, and heard again afterwards; keys that are pressed on it reach the phone."""
        site = await self.site()
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        await alice.do("call", BOB)
        await alice.call("up")
        call = bob.calls[0]
        await call.hears(440)
        await alice.do("mute", True)
        await call.silent()
        await alice.do("mute", False)
        await call.hears(440)
        await alice.do("dtmf", "7#")

        def keys() -> str:
            bodies = [request.body.decode() for request in bob.requests if request.method == "INFO"]
            return "".join(re.findall(r"^Signal= ?(\S)", "\n".join(bodies), re.M))

        await until(lambda: keys() == "7#", lambda: f"INFO with 7#, not {keys()!r}")
        await call.hang_up()
        await alice.call("")
        await site.no_calls()

    async def test_vanished_tab(self) -> None:
        """A tab that dies in mid-call leaves nobody waiting: the phone gets BYE, the media are deleted, the binding is gone."""
        site = await self.site(dialog=DialogSettings(lost_flow_seconds=1.0))
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        await alice.do("call", BOB)
        await alice.call("up")
        call = bob.calls[0]
        await call.hears(440)
        await alice.crash()
        await call.ended("BYE")
        self.assertIn("Connection lost", bob.requests[-1].get("reason") or "")
        await site.no_calls()
        self.assertEqual(await site.phone("alice").bindings(), [])

    async def test_closed_tab(self) -> None:
        """A tab that is closed in mid-call hangs up by itself."""
        site = await self.site()
        alice = await self.up(site)
        bob = await site.registered("bob", 700)
        self.assertEqual((await bob.dial(ALICE).outcome).status, 200)
        await alice.call("up")
        await alice.close()
        await bob.calls[0].ended("BYE")
        self.assertNotIn("Connection lost", bob.requests[-1].get("reason") or "")
        await site.no_calls()

    async def test_vanished_while_ringing(self) -> None:
        """A tab that dies while it rings elsewhere takes the ringing with it."""
        site = await self.site(dialog=DialogSettings(lost_flow_seconds=1.0))
        alice = await self.up(site)
        bob = await site.registered("bob")
        bob.reaction = "ring"
        await alice.do("call", BOB)
        await alice.call("ringing")
        await alice.crash()
        await bob.calls[0].ended("CANCEL")
        await site.no_calls()

    async def test_callee_vanishes(self) -> None:
        """A tab that dies while it rings: the caller is told at once, and the log says which connection that was, whose, and why."""
        site = await self.site()
        alice = await Page.ready(self, site.page("alice", 440, auto=False))
        bob = await site.registered("bob")
        call = bob.dial(ALICE)
        await alice.call("incoming")
        await alice.crash()
        self.assertEqual((await call.outcome).status, 480)
        said = rf"INVITE {ALICE} can't go on: flow ws-\d+ of alice@{DOMAIN} closed 0 s ago \(\S.*\)"
        self.assertRegex(site.server.log.read_text(), said)


class BaresipTests(CallCase):
    """A browser and a telephone that isn't ours."""

    skip = CallCase.skip or missing("baresip")

    async def test_webrtc_to_baresip(self) -> None:
        """A page calls baresip: both hear each other's tone, and hanging up reaches it."""
        site = await self.site()
        phone = await Baresip(self, site, "carol", 940).start()
        alice = await Page.ready(self, site.page("alice", 440))
        await alice.do("call", f"sip:carol@{DOMAIN}")
        await alice.call("up")
        await alice.hears(940)
        await until(lambda: abs(phone.heard().hz - 440) <= 8, lambda: f"baresip should hear 440 Hz and hears {phone.heard()}")
        await alice.do("hangup")
        await alice.call("")
        await site.no_calls()


class ForkTests(CallCase):
    """One user at a page and at a phone."""

    async def both(self, site: Site) -> tuple[Page, Any, Any]:
        """Bob's page, Bob's phone, both ringing, and Alice's call."""
        page = await Page.ready(self, site.page("bob", 610, auto=False))
        phone = await site.registered("bob", 700)
        phone.reaction = "ring"
        alice = await site.registered("alice", 440)
        call = alice.dial(BOB)
        await page.call("incoming")
        await until(lambda: phone.calls, "the phone rings")
        return page, phone.calls[0], call

    async def test_phone_answers(self) -> None:
        """The phone answers: the page stops ringing and says so, and the call has sound both ways."""
        site = await self.site()
        page, at_phone, call = await self.both(site)
        at_phone.answer()
        self.assertEqual((await call.outcome).status, 200)
        status = await page.until(lambda status: status["last"], "the page stops ringing")
        self.assertIn("Answered on another phone", status["last"]["words"])
        await call.hears(700)
        await at_phone.hears(440)
        await at_phone.hang_up()
        await call.ended("BYE")
        await site.no_calls()

    async def test_page_answers(self) -> None:
        """The page answers: the phone's branch is cancelled, and the call has sound both ways."""
        site = await self.site()
        page, at_phone, call = await self.both(site)
        await page.do("answer")
        self.assertEqual((await call.outcome).status, 200)
        await at_phone.ended("CANCEL")
        await page.call("up")
        await call.hears(610)
        await page.hears(440)
        await call.hang_up()
        await page.call("")
        await site.no_calls()


class WordsTests(CallCase):
    """What doesn't work is said in words, on the page."""

    async def test_calls_that_fail(self) -> None:
        """Busy, declined, not signed in and unknown each have their own words, and no media stay behind."""
        site = await self.site()
        alice = await Page.ready(self, site.page("alice", 440))
        bob = await site.registered("bob")
        for reaction, uri, words in (
            (486, BOB, "bob is busy"),
            (603, BOB, "bob declined"),
            (486, f"sip:carol@{DOMAIN}", "carol isn't signed in"),
            (486, f"sip:nobody@{DOMAIN}", "nobody wasn't found"),
        ):
            bob.reaction = reaction
            await alice.do("call", uri)
            await alice.until(lambda status, words=words: words in (status["last"] or {"words": ""})["words"], words)
            self.assertIn(words, await alice.text())
        await site.no_calls()

    async def test_wrong_password(self) -> None:
        """A wrong password leaves the page signed out, and says why."""
        site = await self.site()
        alice = await Page.open(self, site.page("alice", 440, password="not-it"))
        status = await alice.line("refused")
        self.assertEqual(status["words"], "Not signed in.")
        self.assertIn("The server doesn't know alice with this password", await alice.text())
        self.assertEqual(await site.phone("alice").bindings(), [])
