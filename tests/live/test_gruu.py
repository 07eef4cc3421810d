"""GRUUs (RFC 5627) with a real server: a tab that is meant is the one that rings, and a REFER to a device reaches that device."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from sipnode.sip.address import NameAddr
from sipnode.sip.ids import new_call_id, new_tag

from .support.browser import Page, missing_browser
from .support.phone import Phone
from .support.site import DOMAIN, Site, missing

PUBLIC = "() => String(window.sipnode.ua.contact.pub_gruu)"


class GruuTests(TestCase):
    """Devices of one user."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser()

    async def signed_in(self, phone: Phone, number: int) -> list[str]:
        """Register with an instance; its public and temporary GRUU."""
        instance = f"<urn:uuid:0f2d0a33-7c5b-4f32-9d0e-{number:012}>"
        headers = [
            ("contact", f'<{phone.contact}>;+sip.instance="{instance}"'), ("expires", "300"), ("supported", "gruu, path")
        ]  # fmt: skip
        head = (f"<{phone.aor}>", f"<{phone.aor}>;tag={new_tag()}", new_call_id())
        response = await phone.exchange("REGISTER", f"sip:{DOMAIN}", head, 1, headers=headers)
        self.assertEqual(response.status, 200, response.start_line)
        mine = next(one for one in map(NameAddr.parse, response.values("contact")) if one.params.get("+sip.instance") == instance)
        return [mine.params["pub-gruu"], mine.params["temp-gruu"]]

    async def refer(self, phone: Phone, uri: str) -> Any:
        """A REFER outside of any dialog; its final response."""
        head = (f"<{uri}>", f"<{phone.aor}>;tag={new_tag()}", new_call_id())
        headers = [("refer-to", f"<sip:carol@{DOMAIN}>"), ("contact", f"<{phone.contact}>")]
        return await phone.exchange("REFER", uri, head, 1, headers=headers)

    async def test_phones(self) -> None:
        """A REFER to the GRUU of one of two phones of a user reaches that phone alone; a forged one reaches none."""
        site = await Site(self).start()
        one, two = site.phone("alice"), site.phone("alice")
        gruus = [await self.signed_in(phone, number) for number, phone in enumerate((one, two))]
        bob = await site.registered("bob", 700)
        for phone, other, (public, temporary) in ((one, two, gruus[0]), (two, one, gruus[1])):
            for uri in (public, temporary):
                seen = len(phone.requests), len(other.requests)
                # The tests' phone knows no REFER without a dialog, and says so itself.
                self.assertEqual((await self.refer(bob, uri)).status, 481)
                self.assertEqual((len(phone.requests), len(other.requests)), (seen[0] + 1, seen[1]))
                self.assertEqual((phone.requests[-1].method, phone.requests[-1].uri), ("REFER", phone.contact))
        self.assertEqual((await self.refer(bob, gruus[0][0][:-1] + "0")).status, 404)

    async def test_tabs(self) -> None:
        """JsSIP gets a GRUU and gives it as its Contact: who calls it back by that gets the tab that called, with sound, and no other."""
        site = await Site(self).start()
        tabs = [await Page.ready(self, site.page("alice", hz)) for hz in (440, 520)]
        bob = await site.registered("bob", 700)
        for tab, other, hz in ((tabs[0], tabs[1], 440), (tabs[1], tabs[0], 520)):
            await tab.do("call", f"sip:bob@{DOMAIN}")
            await tab.call("up")
            invited = next(request for request in reversed(bob.requests) if request.method == "INVITE")
            contact = NameAddr.parse(invited.get("contact") or "").uri_text
            self.assertEqual(contact, await tab.ask(PUBLIC))
            await bob.calls[-1].hears(hz)
            await bob.calls[-1].hang_up()
            await tab.call("")
            call = bob.dial(contact)
            self.assertEqual((await call.outcome).status, 200)
            await call.hears(hz)
            self.assertIsNone((await other.status())["call"])
            await call.hang_up()
            await tab.call("")
