"""``nat-*`` and ``outbound-*``: phones of others behind a translator, and with two flows."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

from .support import networks
from .support.baresip import Baresip
from .support.browser import Page, missing_browser
from .support.networks import Networks
from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until
from .test_trunk import PhoneSite

reactor: Any = _reactor


class NatTests(TestCase):
    """Private addresses in Via, Contact and SDP, and one public address before them."""

    timeout = 120
    skip = missing("rtpengine", "baresip") or missing_browser() or networks.missing()

    async def test_phone(self) -> None:
        """nat-phone: baresip behind a translator registers, is called and hung up on, and hears and is heard."""
        nets = Networks(self)
        site = await PhoneSite(self, host=nets.server).start()
        await Baresip(self, site, "bob", 880, address=nets.private, start=nets.within()).start()
        shown = str(await site.rpc("ul.lookup", "location", f"bob@{DOMAIN}"))
        self.assertIn(nets.networks[0], shown)
        alice = await site.registered("alice", 500)
        call = alice.dial(f"sip:bob@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(880)
        self.assertEqual((await call.reinvite("sendonly")).status, 200)
        self.assertEqual((await call.reinvite()).status, 200)
        await call.hears(880)
        self.assertEqual((await call.hang_up()).status, 200)
        await site.no_calls()

    async def test_page_and_phone(self) -> None:
        """nat-page: a page and a phone behind the same translator call each other."""
        nets = Networks(self)
        site = await Site(self, host=nets.server).start()
        bob = await Baresip(self, site, "bob", 880, address=nets.private, start=nets.within()).start()
        alice = await Page.ready(self, site.page("alice", 440), nets.browser(self, site))
        await alice.do("call", f"sip:bob@{DOMAIN}")
        await alice.call("up")
        await alice.hears(880)
        await until(lambda: abs(bob.heard().hz - 440) < 8, lambda: f"bob hears {bob.heard()}")
        await alice.do("hangup")
        await site.no_calls()


class Wire(ProxyServer):
    """A connection through a port of the test's."""

    def connectionMade(self) -> None:
        self.factory.wires.append(self)
        ProxyServer.connectionMade(self)


class OutboundTests(TestCase):
    """RFC 5626, by a phone that others have written."""

    timeout = 120
    skip = missing("rtpengine", "baresip")

    async def test_second_flow(self) -> None:
        """outbound-flows: baresip keeps two flows of one instance; the first is cut, and the call comes by the second."""
        site = await PhoneSite(self).start()
        way = ProxyFactory(HOST, site.sip)
        way.protocol = Wire
        way.wires = []
        port = free_port(socket.SOCK_STREAM)
        listening = reactor.listenTCP(port, way, interface=HOST)
        self.addCleanup(listening.stopListening)
        proxies = [f"sip:{HOST}:{port};transport=tcp", f"sip:{HOST}:{site.sip};transport=tcp"]
        bob = await Baresip(self, site, "bob", 880, params=";sipnat=outbound", proxies=proxies).start()

        async def both() -> bool:
            contacts = (await site.rpc("ul.lookup", "location", f"bob@{DOMAIN}"))["Contacts"]
            return sorted(each["Contact"]["Reg-Id"] for each in contacts) == [1, 2]

        await until(both, bob.said)
        await listening.stopListening()
        for wire in way.wires:
            wire.transport.abortConnection()
        alice = await site.registered("alice", 500)
        call = alice.dial(f"sip:bob@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200, bob.said())
        await call.hears(880)
        self.assertEqual((await call.hang_up()).status, 200)
