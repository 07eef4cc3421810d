"""Kamailio's presence server and sipnode on one database: each tells its watchers what the other took."""

from __future__ import annotations

import socket

from twisted.trial.unittest import TestCase

from .support import kamailio, nodes
from .support.kamailio import Kamailio
from .support.site import DOMAIN, free_port, missing
from .support.watcher import Watcher, basics, document, lamp

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


class KamailioTests(TestCase):
    """sipnode as node 1, Kamailio's modules presence, presence_xml and presence_dialoginfo beside it."""

    timeout = 150
    skip = missing("rtpengine") or kamailio.missing()

    async def setUp(self) -> None:
        self.cluster, self.database = await nodes.database(of_kamailio=True)
        self.site = await nodes.node(self, 1, self.cluster.url(self.database)).start()
        url = self.cluster.url(self.database, tls=True).partition("?")[0].replace("localhost", "127.0.0.1")
        self.kamailio = await Kamailio(self, "kamailio_presence.cfg", url, free_port(socket.SOCK_DGRAM)).start()

    async def test_published_at_sipnode(self) -> None:
        """Who watches at Kamailio is told what a user published at sipnode."""
        answer = await Watcher.of(self.site, "alice").publish(document("open", "<note>from sipnode</note>"))
        self.assertEqual(answer.status, 200, answer.start_line)
        watch = await Watcher.of(self.site, "carol", self.kamailio.port).watch("presence", ALICE)
        last = await watch.until(lambda last: last.body, "the state")
        self.assertEqual(basics(last.body), ["open"])
        self.assertIn(b"from sipnode", last.body)

    async def test_published_at_kamailio(self) -> None:
        """Who watches at sipnode is told what a user publishes at Kamailio, and that it took it back."""
        watch = await Watcher.of(self.site, "carol").watch("presence", ALICE)
        self.assertEqual(basics(watch.bodies[0]), ["closed"])
        alice = Watcher.of(self.site, "alice", self.kamailio.port)
        answer = await alice.publish(document("open", "<note>from Kamailio</note>"))
        self.assertEqual(answer.status, 200, answer.start_line)
        await watch.until(lambda last: b"from Kamailio" in last.body, "what she published")
        await alice.publish(b"", answer.get("sip-etag") or "", 0)
        await watch.until(lambda last: b"from Kamailio" not in last.body and basics(last.body) == ["closed"], "that she took it back")

    async def test_lamps(self) -> None:
        """Who watches a lamp at Kamailio sees a call of sipnode's."""
        await Watcher.of(self.site, "carol").watch("dialog", BOB)
        alice, bob = await self.site.registered("alice", 440), await self.site.registered("bob", 700)
        call = alice.dial(bob.aor)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(700)
        watch = await Watcher.of(self.site, "carol", self.kamailio.port).watch("dialog", BOB)
        last = await watch.until(lambda last: last.body, "the lamp")
        self.assertEqual(lamp(last.body), "confirmed")
        await call.hang_up()
