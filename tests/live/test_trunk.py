"""A registered trunk: Kamailio as the provider, which wants digest, and calls each way with sound."""

from __future__ import annotations

import socket

from twisted.trial.unittest import TestCase

from sipnode.demo import probes
from sipnode.settings import DefenceSettings, TrunkSettings

from .support.kamailio import Kamailio
from .support.phone import Phone
from .support.site import DOMAIN, Site, free_port, missing
from .support.waiting import until

PROVIDER = "127.0.0.2"
PASSWORD = "PASSWORD"


class PhoneSite(Site):
    """A site for phones alone, which needs no page."""

    def _server_answers(self) -> bool:
        return probes.sip_server(self.host, self.sip)


class TrunkTests(TestCase):
    """trunk-registered: sipnode registers at Kamailio."""

    skip = missing("kamailio", "rtpengine")
    timeout = 120

    async def scene(self) -> tuple[Site, Phone]:
        """A site with a trunk, and a phone of the provider's."""
        port = free_port(socket.SOCK_DGRAM)
        await Kamailio(self, "kamailio_provider.cfg", "", port, PROVIDER).start()
        trunk = TrunkSettings(
            domain="provider.test", address=f"{PROVIDER}:{port}", user="4930", password=PASSWORD, register=True, incoming="alice",
            prefixes=("0",), rewrite=("00>49",), ping_seconds=1.0,
        )  # fmt: skip
        site = await PhoneSite(self, trunk={"main": trunk}, defence=DefenceSettings(enabled=True)).start()
        outside = Phone(self, "4989", PASSWORD, "provider.test", (PROVIDER, port), 900)
        self.assertEqual((await outside.register()).status, 200)

        async def registered() -> bool:
            return bool((await site.rpc("trunk.show", "main"))["registered"])

        await until(registered, site.server.log.read_text)
        return site, outside

    async def test_out_and_in(self) -> None:
        """Alice calls a number of the provider's, and is called at the trunk's own: both hear each other, and either hangs up."""
        site, outside = await self.scene()
        alice = await site.registered("alice")
        out = alice.dial(f"sip:0089@{DOMAIN}")
        self.assertEqual((await out.outcome).status, 200)
        await out.hears(900)
        await outside.calls[-1].hears(700)
        await out.hang_up()
        await outside.calls[-1].ended()
        inside = outside.dial("sip:4930@provider.test")
        self.assertEqual((await inside.outcome).status, 200)
        await inside.hears(700)
        await alice.calls[-1].hears(900)
        await alice.calls[-1].hang_up()
        await inside.ended()
        shown = await site.rpc("trunk.list")
        self.assertEqual([(one["name"], one["state"], one["requests"], one["failures"]) for one in shown], [("main", "up", 1, 0)])
        self.assertNotIn(PASSWORD, site.server.log.read_text())
