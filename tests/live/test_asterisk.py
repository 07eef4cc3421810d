"""A real Asterisk: a provider where sipnode registers, and a PBX behind it whose phones sign in through it."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from sipnode.settings import EdgeSettings, ProxySettings, TrunkSettings

from .support.asterisk import Asterisk, free_port, missing
from .support.phone import Phone
from .support.site import DOMAIN, HOST
from .support.site import missing as absent
from .support.waiting import until
from .test_trunk import PhoneSite

PBX = "127.0.0.2"
PBX_DOMAIN = "pbx.test"
NUMBERS = {"4930": "first-secret", "4989": "second-secret", "4940": "third-secret"}


class AsteriskTests(TestCase):
    """trunk-asterisk and edge-asterisk."""

    skip = absent("rtpengine") or missing()
    timeout = 120

    async def pbx(self) -> Asterisk:
        """It, running."""
        return await Asterisk(self, PBX_DOMAIN, PBX, free_port(), NUMBERS).start()

    def number(self, server: tuple[str, int], user: str, hz: int) -> Phone:
        """A phone of the PBX that isn't registered yet."""
        return Phone(self, user, NUMBERS[user], PBX_DOMAIN, server, hz)

    async def test_registered_trunk(self) -> None:
        """Asterisk as the provider: sipnode registers there, calls a number, and is called, with sound; either side hangs up."""
        pbx = await self.pbx()
        trunk = TrunkSettings(
            domain=PBX_DOMAIN, address=f"{PBX}:{pbx.port}", user="4930", password=NUMBERS["4930"], register=True, incoming="alice",
            prefixes=("0",), rewrite=("00>49",), ping_seconds=1.0,
        )  # fmt: skip
        site = await PhoneSite(self, trunk={"main": trunk}).start()

        async def registered() -> bool:
            return bool((await site.rpc("trunk.show", "main"))["registered"])

        await until(registered, lambda: site.server.log.read_text() + pbx.log.read_text())
        outside = self.number((PBX, pbx.port), "4989", 900)
        self.assertEqual((await outside.register()).status, 200)
        alice = await site.registered("alice")
        out = alice.dial(f"sip:0089@{DOMAIN}")
        self.assertEqual((await out.outcome).status, 200, pbx.log.read_text())
        await out.hears(900)
        await outside.calls[-1].hears(700)
        await out.hang_up()
        await outside.calls[-1].ended()
        inside = outside.dial(f"sip:4930@{PBX_DOMAIN}")
        self.assertEqual((await inside.outcome).status, 200)
        await inside.hears(700)
        await alice.calls[-1].hears(900)
        await alice.calls[-1].hang_up()
        await inside.ended()

    async def test_behind_the_edge(self) -> None:
        """Phones sign in at Asterisk through sipnode as their edge, and call each other, and one that is at Asterisk itself, either way."""
        pbx = await self.pbx()
        edge = EdgeSettings(domains=(PBX_DOMAIN,), registrar=f"{PBX}:{pbx.port}")
        site = await PhoneSite(self, edge=edge, proxy=ProxySettings()).start()
        one, two = self.number((HOST, site.sip), "4930", 700), self.number((HOST, site.sip), "4989", 900)
        inside = self.number((PBX, pbx.port), "4940", 1100)
        for phone in (one, two, inside):
            self.assertEqual((await phone.register()).status, 200, phone.user)
        for caller, callee in ((one, two), (two, one), (one, inside), (inside, two)):
            call = caller.dial(f"sip:{callee.user}@{PBX_DOMAIN}")
            self.assertEqual((await call.outcome).status, 200, (caller.user, callee.user))
            await call.hears(callee.hz)
            await callee.calls[-1].hears(caller.hz)
            await callee.calls[-1].hang_up()
            await call.ended()

    async def test_wrong_password_at_the_edge(self) -> None:
        """Asterisk's own refusal comes through: the edge lets nobody in by itself."""
        pbx = await self.pbx()
        site = await PhoneSite(self, edge=EdgeSettings(domains=(PBX_DOMAIN,), registrar=f"{PBX}:{pbx.port}")).start()
        liar = Phone(self, "4930", "guessed", PBX_DOMAIN, (HOST, site.sip))
        self.assertEqual((await liar.register()).status, 401)
        self.assertEqual((await liar.dial(f"sip:4989@{PBX_DOMAIN}").outcome).status, 401)
