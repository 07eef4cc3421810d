"""``reload-*``, ``moved-*``: a page is loaded anew in a call, or loses its connection, and the call goes on. The log has seconds."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.python import log
from twisted.trial.unittest import TestCase

from sipnode.settings import StorageSettings

from .support import postgres
from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.nodes import database
from .support.site import DOMAIN, Site, missing

reactor: Any = _reactor
# The socket closes; ICE finds that no packet comes or goes any more.
CUT = "() => { window.sipnode.ua.transport.socket._ws.close() }"
LOST = "() => { Object.values(window.sipnode.ua._sessions)[0].terminate({ cause: 'RTP Timeout' }) }"
GONE = "() => { Object.values(window.sipnode.ua._sessions)[0].connection.getSenders()[0].replaceTrack(null) }"
ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


class UnkillableTests(TestCase):
    """A page and a phone."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser() or postgres.missing()

    async def test_calls_go_on(self) -> None:
        """With a phone, with another page, and one that comes back too late; all with one server."""
        site = await Site(self).start()
        alice = await Page.ready(self, self.page(site, "alice", 440))
        carol = await Page.ready(self, self.page(site, "carol", 610))
        await self.moved(site, alice, carol)
        await self.reloaded(site, alice)
        self.assertEqual([alice.errors, carol.errors], [[], []])

    async def test_database_stopped(self) -> None:
        """PostgreSQL is stopped under a page's call with a phone, with passwords: sound, hold, resume and the end of it are as ever, and
        the next call, of either, is too.
        """
        cluster, name = await database()
        site = await Site(self, storage=StorageSettings(url=cluster.url(name))).start()
        alice = await Page.ready(self, self.page(site, "alice", 440))
        bob = await site.registered("bob", 700)
        await alice.do("call", BOB)
        await alice.call("up")
        await bob.calls[0].hears(440)
        cluster.freeze()
        try:
            self.assertTrue(await alice.do("hold"))
            self.assertIn(bob.calls[0].heard_direction, ("sendonly", "inactive"))
            self.assertTrue(await alice.do("unhold"))
            await alice.hears(700)
            await bob.calls[0].hears(440)
            await alice.do("hangup")
            await bob.calls[0].ended("BYE")
            await site.no_calls()
            await alice.do("call", BOB)
            await alice.call("up")
            await bob.calls[1].hears(440)
            await alice.do("hangup")
            await bob.calls[1].ended("BYE")
            call = bob.dial(ALICE)
            self.assertEqual((await call.outcome).status, 200)
            await call.hears(440)
            await alice.hears(700)
            await call.hang_up()
            await alice.call("")
        finally:
            cluster.resume()

    def page(self, site: Site, user: str, hz: int) -> str:
        """The address of a page that is told to stay signed in."""
        return f"{site.page(user, hz)}&remember=1"

    async def moved(self, site: Site, alice: Page, carol: Page) -> None:
        """Two pages: one loses its connection and, as on another network, its sound; one is loaded anew, and the other says so."""
        await alice.do("call", f"sip:carol@{DOMAIN}")
        await carol.call("up")
        await alice.hears(610)
        began = reactor.seconds()
        await alice.ask(CUT)
        await alice.ask(LOST)
        await alice.until(lambda status: status["call"]["note"], "it says that it reconnects")
        await alice.until(lambda status: status["line"] == "ready" and not status["call"]["note"], "all is well")
        await alice.hears(610)
        await carol.hears(440)
        log.msg(f"{self.id()}: {reactor.seconds() - began:.1f} s until all was well")
        await carol.ask(GONE)
        await alice.until(lambda status: "reconnecting" in status["call"]["note"], "the other one sends nothing")
        await carol.reload()
        await alice.until(lambda status: not status["call"]["note"], "it is back")
        await alice.hears(610)
        await carol.hears(440)
        await carol.do("hangup")
        await alice.call("")
        await site.no_calls()

    async def reloaded(self, site: Site, alice: Page) -> None:
        """Loaded anew in a call that it made, and in one that it got, the page goes on with it: sound both ways, hold.
        One that comes back too late says so."""
        bob = await site.registered("bob", 700)
        await alice.do("call", BOB)
        await alice.call("up")
        call = bob.calls[0]
        await call.hears(440)
        call.sound.gap = 0.0
        began = reactor.seconds()
        await alice.reload()
        await alice.call("up")
        await alice.hears(700)
        await call.hears(440)
        log.msg(f"{self.id()}: {reactor.seconds() - began:.1f} s until there was sound again, none for {call.sound.gap:.1f} s")
        self.assertEqual(len(bob.calls), 1, "it is the same call")
        site.assert_relayed(media_of(call.remote_sdp))
        self.assertEqual(await alice.until(lambda status: status["call"]["note"] == "", "all is well") and len(await site.calls()), 1)
        self.assertTrue(await alice.do("hold"))
        self.assertIn(call.heard_direction, ("sendonly", "inactive"))
        await alice.reload()
        await alice.until(lambda status: (status["call"] or {}).get("held") and not status["call"]["note"], "it is on hold still")
        self.assertTrue(await alice.do("unhold"))
        await alice.hears(700)
        await call.hears(440)
        await alice.do("hangup")
        await call.ended("BYE")
        await site.no_calls()
        call = bob.dial(ALICE)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(440)
        await alice.reload()
        await alice.call("up")
        await call.hears(440)
        await alice.hears(700)
        # Away for too long: the phone is told, the ports are free, and so is told who comes back then.
        address = await alice.ask("location.href")
        await alice.at("goto", "about:blank")
        await call.ended("BYE")
        self.assertIn("Connection lost", bob.requests[-1].get("reason") or "")
        await site.no_calls()
        await alice.at("goto", address)
        last = (await alice.until(lambda status: status["last"], "it has ended"))["last"]
        self.assertIn("lost", last["words"])
