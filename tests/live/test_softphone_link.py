"""What a link can make of the softphone page: it fills in the form, and no more. Real Chromium."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.settings import LogSettings

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing, passwords

_FORM = "() => ['user', 'password'].map((id) => document.getElementById(id).value)"
_HELD = """document.activeElement.dispatchEvent(
  new KeyboardEvent('keydown', { key: 'Enter', repeat: true, bubbles: true, cancelable: true }))"""
_VIOLATIONS = """() => {
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
}"""


class SoftphoneLinkTests(TestCase):
    """Links to the page, made by anybody."""

    timeout = 90
    skip = missing("rtpengine") or missing_browser()

    def link(self, site: Site, user: str, more: str = "") -> str:
        """An address with an account in it, as a foreign page may have one."""
        return f"{site.page(user, 0).partition('/#')[0]}/{more}#user={user}&password={passwords()[user]}"

    async def unmoved(self, page: Page, user: str) -> dict[str, Any]:
        """It is signed in as that user, with nothing left in its address bar."""
        status = await page.line("ready")
        self.assertEqual(f"{user}@{DOMAIN}", status["user"])
        self.assertNotIn("#", await page.ask("location.href"))
        return status

    async def test_link_fills_in(self) -> None:
        """A link fills in the form, says so, and is gone from the address bar; Enter signs in, a key that was held doesn't."""
        site = await Site(self).start()
        page = await Page.open(self, f"{site.page('bob', 0).partition('/#')[0]}/")
        for more in ("", "?answer=auto&tone=440&user=bob&password=x"):
            await page.visit(self.link(site, "bob", more))
            self.assertEqual(["bob", passwords()["bob"]], await page.ask(_FORM))
            kept = await page.ask("location.href + JSON.stringify(history.state) + document.referrer + JSON.stringify(sessionStorage)")
            self.assertNotIn(passwords()["bob"], kept)
            self.assertIn("A link filled this in.", await page.text())
            self.assertEqual("idle", (await page.status())["line"])
        # Another one in the same page, and the key that the page before had down.
        await page.ask("(hash) => { location.hash = hash }", self.link(site, "carol").partition("#")[2])
        await page.at("wait_for_selector", "#signin-button:enabled:focus")
        self.assertFalse(await page.ask(_HELD), "a repeated key is taken out")
        self.assertEqual(["carol", passwords()["carol"]], await page.ask(_FORM))
        self.assertEqual("idle", (await page.status())["line"])
        await page.at("press", "#signin-button", "Enter")
        await self.unmoved(page, "carol")

    async def test_link_moves_nobody(self) -> None:
        """Who is signed in stays so and keeps their call, whatever link the tab is sent to, and is told; no log has a password."""
        site = await Site(self, log=LogSettings("debug", calls="all", wire=True)).start()
        alice = await Page.ready(self, f"{site.page('alice', 440)}&remember=1")
        bob = await Page.ready(self, site.page("bob", 610))
        await alice.ask(_VIOLATIONS)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await bob.call("up")
        for page, mine in ((alice, "alice"), (bob, "bob")):
            await page.ask("(hash) => { location.hash = hash }", self.link(site, "carol").partition("#")[2])
            await self.unmoved(page, mine)
            self.assertIn(f"You are still {mine}.", await page.text())
        await alice.call("up")
        self.assertEqual([], await alice.ask("window.violations"), "the page needs nothing that its policy forbids")
        await alice.do("hangup")
        await bob.call("")
        await alice.visit(self.link(site, "carol"))
        await self.unmoved(alice, "alice")
        self.assertIn("You are still alice.", await alice.text())
        await alice.do("signOut")
        self.assertEqual(["", ""], await alice.ask(_FORM))
        log = site.server.log.read_text("utf-8", "replace")
        for name in ("alice", "bob", "carol"):
            self.assertNotIn(passwords()[name], log)
        self.assertEqual([[], []], [alice.errors, bob.errors])
