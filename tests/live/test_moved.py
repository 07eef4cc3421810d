"""``moved-*``: who is in a call goes to another network, and the call goes on. The log has seconds."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.python import log
from twisted.trial.unittest import TestCase

from .support import networks
from .support.browser import Page, missing_browser
from .support.networks import Networks
from .support.site import DOMAIN, Site, missing
from .test_trunk import PhoneSite

reactor: Any = _reactor


class PhoneTests(TestCase):
    """A phone at one address, then at another."""

    timeout = 60
    skip = missing("rtpengine")

    async def test_phone(self) -> None:
        """moved-phone: caller, then callee, offers from another address: sound both ways, and what the other sends comes there."""
        site = await PhoneSite(self).start()
        alice, bob = await site.registered("alice", 500), await site.registered("bob", 900)
        call = alice.dial(bob.aor)
        self.assertEqual((await call.outcome).status, 200)
        other = bob.calls[0]
        for number, (mover, its, others) in enumerate(((alice, call, other), (bob, other, call), (alice, call, other)), 5):
            await its.hears(others.phone.hz)
            others.sound.gap = 0.0
            await mover.move(f"127.0.0.{number}")
            await others.hears(mover.hz)
            await its.hears(others.phone.hz)
            log.msg(f"{self.id()}: no sound for {others.sound.gap:.1f} s")
            self.assertEqual((await others.request("INFO")).status, 200)
            self.assertEqual(mover.requests[-1].method, "INFO")
        again = bob.dial(alice.aor)
        self.assertEqual((await again.outcome).status, 200)
        await again.hang_up()
        await other.hang_up()
        await call.ended("BYE")
        await site.no_calls()


class PageTests(TestCase):
    """A page behind one translator, then behind another."""

    timeout = 180
    skip = missing("rtpengine") or missing_browser() or networks.missing()

    async def test_page(self) -> None:
        """moved-page: its address goes without a word to anybody, and it gets another behind another translator: the call goes on."""
        nets = Networks(self)
        site = await Site(self, host=nets.server).start()
        alice = await Page.ready(self, f"{site.page('alice', 440)}&remember=1", nets.browser(self, site))
        bob = await site.registered("bob", 700)
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await alice.call("up")
        await alice.hears(700)
        call = bob.calls[0]
        await call.hears(440)
        call.sound.gap = 0.0
        began = reactor.seconds()
        nets.move()
        await alice.until(lambda status: status["line"] != "ready" or status["call"]["note"], "it has noticed")
        noticed = reactor.seconds() - began
        await alice.until(lambda status: status["line"] == "ready" and not status["call"]["note"], "all is well")
        await call.hears(440)
        await alice.hears(700)
        log.msg(f"{self.id()}: noticed in {noticed:.1f} s, well in {reactor.seconds() - began:.1f} s, no sound for {call.sound.gap:.1f} s")
        self.assertEqual(len(bob.calls), 1, "it is the same call")
        shown = await site.rpc("ul.lookup", "location", f"alice@{DOMAIN}")
        self.assertIn(nets.networks[1], str(shown))
        await alice.do("hangup")
        await call.ended("BYE")
        await site.no_calls()
