"""A relay that is lost, or started anew, in the middle of calls: the server offers both ends another way, and the calls go on."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from .support.baresip import Baresip
from .support.browser import Page, missing_browser
from .support.call import Call, media_of
from .support.phone import Phone
from .support.site import DOMAIN, Site, missing
from .support.waiting import until


class LostRelayTests(TestCase):
    """Phones, and phones with browsers."""

    timeout = 120
    skip = missing("rtpengine", "baresip") or missing_browser()

    async def phones(self, site: Site) -> tuple[Phone, Phone]:
        return await site.registered("bob", 700), await site.registered("carol", 880)

    async def up(self, caller: Phone, callee: Phone) -> tuple[Call, Call]:
        """A call of both, heard both ways: the caller's end, and the callee's."""
        call = caller.dial(callee.aor)
        self.assertEqual((await call.outcome).status, 200)
        await self.heard(call, callee.calls[-1])
        return call, callee.calls[-1]

    async def heard(self, one: Call, other: Call) -> None:
        await one.hears(other.phone.hz)
        await other.hears(one.phone.hz)

    async def node_of(self, site: Site) -> int:
        """Which rtpengine that lives has the one call."""
        for at, relay in enumerate(site.rtpengines):
            assert relay.process is not None
            if relay.process.poll() is None and await site.calls(at):
                return at
        raise AssertionError("no rtpengine has a call")

    async def both_speak(self, one: Call, other: Call) -> None:
        """Each end holds, resumes and says something, and is understood."""
        for speaker, listener in ((one, other), (other, one), (one, other)):
            self.assertEqual((await speaker.reinvite("sendonly")).status, 200)
            await until(lambda listener=listener: listener.heard_direction == "sendonly", "it is held")
            self.assertEqual((await speaker.request("INFO")).status, 200)
            self.assertEqual((await speaker.reinvite()).status, 200)
            await self.heard(one, other)

    async def test_node_lost(self) -> None:
        """One of two nodes is killed: its call is heard again at the other one; holds and BYEs of each end work afterwards, also after a
        ``kill -9`` of the server."""
        site = await Site(self, relays=2).start()
        bob, carol = await self.phones(site)
        for ending in (0, 1):
            pair = await self.up(bob, carol)
            lost = await self.node_of(site)
            before = [media_of(call.remote_sdp) for call in pair]
            await site.kill_relay(lost)
            await until(lambda pair=pair, before=before: [media_of(call.remote_sdp) for call in pair] != before, "they are told of another")
            await self.heard(*pair)
            self.assertEqual(len(await site.calls(1 - lost)), 1)
            if ending:
                # What this process knows of the numbers is in a file.
                await site.kill()
                await site.start_again()
                await bob.register()
                await carol.register()
            await self.both_speak(*pair)
            await pair[ending].hang_up()
            await pair[1 - ending].ended("BYE")
            await site.rpc("core.uptime")
            await site.start_relay(lost)
        self.assertEqual([await site.calls(at) for at in (0, 1)][1 - lost], [])

    async def test_started_anew(self) -> None:
        """A node that is killed and started at once, which no ping misses, gets its calls again."""
        site = await Site(self).start()
        pair = await self.up(*await self.phones(site))
        await site.kill_relay(anew=True)
        await until(lambda: "INVITE" in [request.method for request in pair[0].phone.requests], "the caller is offered another way")
        await self.heard(*pair)
        await self.both_speak(*pair)
        self.assertEqual([call["media_moves"] for call in (await site.rpc("dlg.list"))[0]["variables"] if "media_moves" in call], ["1"])
        await pair[1].hang_up()
        await pair[0].ended("BYE")
        await site.no_calls()

    async def test_browser(self) -> None:
        """The call of a browser with a phone, whoever has called, goes on, and with it what each end does later."""
        site = await Site(self, relays=2).start()
        page = await Page.ready(self, site.page("alice", 440))
        bob = await site.registered("bob", 700)
        for calls in (True, False):
            if calls:
                await page.do("call", f"sip:bob@{DOMAIN}")
                await page.call("up")
                call = bob.calls[0]
            else:
                call = bob.dial(f"sip:alice@{DOMAIN}")
                self.assertEqual((await call.outcome).status, 200)
            await call.hears(440)
            await page.hears(700)
            before, lost = media_of(call.remote_sdp), await self.node_of(site)
            await site.kill_relay(lost)
            await until(lambda call=call, before=before: media_of(call.remote_sdp) != before, "the phone is told of another way")
            await call.hears(440)
            await page.hears(700)
            self.assertEqual((await site.rpc("dlg.list"))[0]["variables"][1], {"media_moves": "1"})
            self.assertTrue(await page.do("hold"))
            self.assertTrue(await page.do("unhold"))
            await call.hears(440)
            self.assertEqual((await call.reinvite()).status, 200)
            await call.hears(440)
            await page.hears(700)
            if calls:
                await page.do("hangup")
                await call.ended("BYE")
            else:
                await call.hang_up()
                await page.call("")
            await site.start_relay(lost)
        self.assertEqual(page.errors, [])

    async def understood(self, baresip: Baresip, hz: int) -> None:
        """Wait until baresip hears that."""
        await until(lambda: abs(baresip.heard().hz - hz) <= 8, lambda: f"baresip should hear {hz} Hz and hears {baresip.heard()}")

    async def test_baresip(self) -> None:
        """A phone that others have written takes what this server offers, in the clear and with SRTP, and what is said to it later."""
        site = await Site(self, relays=2).start()
        bob = await site.registered("bob", 700)
        for user, modules, params in (("carol", (), ""), ("alice", ("srtp",), ";mediaenc=srtp-mand")):
            baresip = await Baresip(self, site, user, 940, modules, params).start()
            call = bob.dial(f"sip:{user}@{DOMAIN}")
            self.assertEqual((await call.outcome).status, 200)
            await call.hears(940)
            before, lost = media_of(call.remote_sdp), await self.node_of(site)
            await site.kill_relay(lost)
            await until(lambda call=call, before=before: media_of(call.remote_sdp) != before, "the caller is told of another way")
            await call.hears(940)
            self.assertIn({"media_moves": "1"}, (await site.rpc("dlg.list"))[0]["variables"])
            self.assertEqual((await call.reinvite()).status, 200)
            await call.hears(940)
            await self.understood(baresip, 700)
            self.assertEqual((await call.hang_up()).status, 200)
            await site.start_relay(lost)
            await baresip.stop()

    async def test_browsers(self) -> None:
        """The call of two browsers goes on at the other node, and, mended by a page or by the server, at one that was started anew."""
        site = await Site(self, relays=2).start()
        alice, carol = [await Page.ready(self, site.page(user, hz)) for user, hz in (("alice", 440), ("carol", 610))]
        await alice.do("call", f"sip:carol@{DOMAIN}")
        await carol.call("up")
        for anew in (False, True):
            await alice.hears(610)
            await carol.hears(440)
            lost = await self.node_of(site)
            await site.kill_relay(lost, anew)

            async def made(there: int = lost if anew else 1 - lost) -> bool:
                return bool(await site.calls(there))

            await until(made, "it is at the other node, or made anew")
        await alice.hears(610)
        await carol.hears(440)
        moves = [each["media_moves"] for each in (await site.rpc("dlg.list"))[0]["variables"] if "media_moves" in each]
        # A page that is slow to notice is mended by the server.
        self.assertIn(moves, (["1"], ["2"]))
        await carol.do("hangup")
        await alice.call("")
        self.assertEqual([alice.errors, carol.errors], [[], []])
