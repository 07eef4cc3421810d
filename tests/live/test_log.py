"""A browser's call that fails, and one grep by its Call-ID."""

from __future__ import annotations

import re

from twisted.internet.threads import deferToThread
from twisted.python import log
from twisted.trial.unittest import TestCase

from .support.browser import Page, missing_browser
from .support.site import DOMAIN, Site, missing
from .support.waiting import until


class LifeTests(TestCase):
    """The log, read as an operator reads it."""

    timeout = 90
    skip = missing("rtpengine") or missing_browser()

    async def test_failed_call(self) -> None:
        """The relay is gone; the grep shows INVITE, challenge, proof, location, the relay's silence, the refusal and the outcome."""
        site = await Site(self).start()
        await site.registered("bob")
        alice = await Page.ready(self, site.page("alice", 440))
        await deferToThread(site.rtpengine.stop)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        outcome = re.compile(rf"(\S+): alice@{DOMAIN} -> bob@{DOMAIN}: failed, 50\d")
        found = await until(lambda: outcome.search(site.server.log.read_text()), "the line about the outcome")
        call_id = found[1]
        life = [line for line in site.server.log.read_text().splitlines() if call_id in line]
        log.msg("\n".join(life))
        shown = "\n".join(life)
        for wanted in (
            r"wire: INVITE sip:bob@.* from ws:",
            r"wire: 407 to INVITE for ws:.*, decided by auth",
            r"auth: alice@\S+ has proved its password",
            r"location: bob@\S+ is at ",
            r"media: offer failed: ",
            r"proxy: branch 0 counts as 50\d",
            r"wire: 50\d to INVITE for ws:",
            r": failed, 50\d, rang ",
        ):
            self.assertRegex(shown, wanted)
        self.assertNotIn("response=", shown)
