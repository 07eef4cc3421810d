"""The picture of the README: the page in a call, in real Chromium. ``make picture`` keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from .support.browser import Browser, Page, missing_browser
from .support.site import DOMAIN, Site, missing
from .support.waiting import until

WHERE = os.environ.get("SIPNODE_PICTURE", "")
MOST_OCTETS = 150 * 1024
SIZE = {"width": 1120, "height": 700}


class PictureTests(TestCase):
    """Two people talk."""

    timeout = 120
    skip = missing_browser() or missing("rtpengine")

    async def test_picture(self) -> None:
        """The page shows who is called, for how long, and the sound; the picture of it is small enough for a README."""
        site = await Site(self).start()
        await Page.ready(self, site.page("bob", 440))
        browser = Browser.of_this_run()
        tab: Any = await browser.run(lambda: browser.open(site.page("alice", 660, auto=False), viewport=SIZE, color_scheme="light"))
        alice = Page(self, browser, tab)
        await alice.line("ready")
        self.assertTrue(await alice.do("call", f"sip:bob@{DOMAIN}"))
        await alice.call("up")
        await alice.hears(440)
        await until(lambda: browser.run(lambda: "0:03" in tab.inner_text("body")), "it has lasted for a while")
        picture: bytes = await browser.run(lambda: tab.screenshot(type="png", animations="disabled"))
        self.assertIn("bob", await alice.text())
        self.assertLess(len(picture), MOST_OCTETS)
        if WHERE:
            Path(WHERE).write_bytes(picture)
