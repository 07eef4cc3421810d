"""Two real nodes on one PostgreSQL: calls across them with sound, and the end of one."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, ClassVar

from twisted.internet import reactor as _reactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from sipnode.settings import LocationSettings
from sipnode.storage.factory import open_storage

from .support import nodes, postgres
from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.site import DOMAIN, HOST, Site, missing
from .support.waiting import until

reactor: Any = _reactor
BOB, CAROL = f"sip:bob@{DOMAIN}", f"sip:carol@{DOMAIN}"
_ROWS = "SELECT username, server_id, socket, connection_id, received, path, instance FROM location ORDER BY username"


class NodeCase(TestCase):
    """Starts nodes 1 and 2."""

    timeout = 150
    transport = "udp"
    sections: ClassVar[dict[str, Any]] = {}
    skip = missing("rtpengine") or postgres.missing()

    async def setUp(self) -> None:
        self.cluster, self.database = await nodes.database()
        url = self.cluster.url(self.database)
        self.one = await nodes.node(self, 1, url, self.transport, **self.sections).start()
        self.two = await nodes.node(self, 2, url, self.transport, **self.sections).start()

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """Rows of the table by user."""
        return {row[0]: row for row in self.cluster.execute(_ROWS, database=self.database)}

    def show(self, *words: Any) -> None:
        """Print for whoever runs this as a demonstration."""
        print(*words, flush=True)

    async def holds(self, site: Site, calls: int) -> None:
        """Wait until the relay of a node holds so many calls."""

        async def held() -> bool:
            return len(await site.calls()) == calls

        await until(held, f"the relay holds {calls} calls")


class PhoneTests(NodeCase):
    """Without a browser."""

    async def test_phone_of_the_other_node(self) -> None:
        """A phone is called from the node that it isn't registered at, with sound, and only the first node's relay is used."""
        alice = await self.one.registered("alice", 440)
        bob = await self.two.registered("bob", 610)
        self.assertEqual(self.rows()["bob"][1], 2)
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await bob.calls[0].hears(440)
        await self.holds(self.one, 1)
        await self.holds(self.two, 0)
        self.assertEqual((await bob.calls[0].hang_up()).status, 200)
        await call.ended("BYE")
        await self.one.no_calls()


class BrowserTests(NodeCase):
    """With Chromium."""

    skip = NodeCase.skip or missing_browser()

    async def test_call_across_nodes(self) -> None:
        """A browser at node 1 calls a browser at node 2; each hears the other; one relay has the call, once; both hang up."""
        alice = await Page.ready(self, self.one.page("alice", 440))
        bob = await Page.ready(self, self.two.page("bob", 610))
        rows = self.rows()
        self.show("\nrows of two nodes:", *(f"\n  {row}" for row in rows.values()))
        self.assertEqual((rows["alice"][1], rows["bob"][1]), (1, 2))
        self.assertIn(f"@127.0.0.1:{self.two.sip}", rows["bob"][5])
        self.assertTrue(await alice.do("call", BOB))
        await alice.call("up")
        await bob.call("up")
        heard = await alice.hears(610), await bob.hears(440)
        self.show(f"call from node 1 to node 2: alice hears {heard[0]:.0f} Hz, bob hears {heard[1]:.0f} Hz")
        self.assertEqual((len(await self.one.calls()), len(await self.two.calls())), (1, 0))
        await bob.do("hangup")
        for page in (alice, bob):
            await page.call("")
            self.assertEqual(page.errors, [])
        await self.one.no_calls()

    async def test_phone_calls_browser_of_the_other_node(self) -> None:
        """A phone at node 1 calls a browser at node 2: plain RTP at one end, WebRTC at the other, one relay between them."""
        alice = await self.one.registered("alice", 440)
        bob = await Page.ready(self, self.two.page("bob", 610))
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await bob.hears(440)
        self.assertIn(b" RTP/AVP ", call.remote_sdp)
        self.one.assert_relayed(media_of(call.remote_sdp))
        self.assertEqual((len(await self.one.calls()), len(await self.two.calls())), (1, 0))
        await bob.do("hangup")
        await call.ended("BYE")
        await self.one.no_calls()

    async def test_browser_calls_phone_of_the_other_node(self) -> None:
        """A browser at node 2 calls a phone at node 1, which answers, hears, and hangs up."""
        bob = await Page.ready(self, self.two.page("bob", 610))
        carol = await self.one.registered("carol", 700)
        await bob.do("call", CAROL)
        await bob.call("up")
        await bob.hears(700)
        await carol.calls[0].hears(610)
        self.assertEqual((len(await self.one.calls()), len(await self.two.calls())), (0, 1))
        self.assertEqual((await carol.calls[0].hang_up()).status, 200)
        await bob.call("")
        await self.two.no_calls()

    async def test_node_killed(self) -> None:
        """Node 2 is killed. The browser comes to node 1, replaces its binding and is called there; who calls meanwhile gets
        through to it or is told 480, within seconds.
        """
        balancer = nodes.Balancer(self, self.two)
        bob = await Page.ready(self, balancer.page(self.two, "bob", 610))
        alice = await self.one.registered("alice", 440)
        before = self.rows()["bob"]
        self.assertEqual(before[1], 2)
        self.show("\nbefore:", before)
        balancer.choose(self.one)
        killed = time.monotonic()
        await self.two.kill()
        answered: list[float] = []
        early = alice.dial(BOB)
        early.outcome.addCallback(lambda response: answered.append(time.monotonic() - killed) or response)
        await until(lambda: self.rows()["bob"][1] == 1, "bob's row is node 1's")
        registered = time.monotonic() - killed
        response = await early.outcome
        self.show(f"call right after the kill: {response.start_line} after {answered[0]:.2f} s")
        if response.status == 200:
            # It waited for the dead node until the browser was here.
            await early.hang_up()
            await bob.call("")
        else:
            self.assertEqual(response.status, 480, response.start_line)
        after = self.rows()["bob"]
        self.show("after: ", after)
        self.assertEqual(after[6], before[6])
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await bob.hears(440)
        self.show(f"node 2 killed; its browser is registered at node 1 after {registered:.1f} s")
        self.show(f"and called, with sound, within {time.monotonic() - killed:.1f} s of the kill")
        await call.hang_up()
        await bob.call("")

    async def test_call_outlives_its_node(self) -> None:
        """Node 2 is killed in mid-call. The sound goes on, and when its browser has come to node 1 either end can hang up."""
        for by_phone in (True, False):
            balancer = nodes.Balancer(self, self.two)
            bob = await Page.ready(self, balancer.page(self.two, "bob", 610))
            alice = await self.one.registered("alice", 440)
            call = alice.dial(BOB)
            self.assertEqual((await call.outcome).status, 200)
            await call.hears(610)
            balancer.choose(self.one)
            await self.two.kill()
            await until(lambda: self.rows()["bob"][1] == 1, "bob's row is node 1's")
            await bob.line("ready")
            heard = await call.hears(610), await bob.hears(440)
            self.show(f"node 2 killed in mid-call: alice hears {heard[0].hz:.0f} Hz, bob {heard[1]:.0f} Hz")
            if by_phone:
                self.assertEqual((await call.hang_up()).status, 200)
            else:
                await bob.do("hangup")
                await call.ended("BYE")
            await bob.call("")
            await self.one.no_calls()
            await bob.close()
            if by_phone:
                await self.two.start_again()

    async def test_node_gone(self) -> None:
        """While node 2 is gone its browser is 480 for callers at node 1, who don't wait for it any more once that is known."""
        await Page.ready(self, self.two.page("bob", 610))
        alice = await self.one.registered("alice", 440)
        await self.two.kill()
        times: list[float] = []
        # In the dead node's place: hears what it is still sent, and answers nothing.
        heir = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(heir.close)
        heir.bind((HOST, self.two.sip))
        heir.setblocking(False)

        async def quiet() -> bool:
            begun = time.monotonic()
            response = await alice.dial(BOB).outcome
            times.append(time.monotonic() - begun)
            self.assertEqual(response.status, 480, response.start_line)
            heard = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.append(heir.recv(65536)[:7])
            return b"INVITE " not in heard

        await until(quiet, "a call that isn't sent to the dead node", 60)
        self.assertTrue(await quiet())
        self.show("\nnode 2 gone: 480 after", " s, ".join(f"{one:.2f}" for one in times), "s")


class NoTableTests(NodeCase):
    """``db_mode`` 3: the nodes ask the database for each call."""

    skip = BrowserTests.skip
    sections: ClassVar[dict[str, Any]] = {"location": LocationSettings(db_mode=3)}

    async def test_across_and_moved(self) -> None:
        """A browser at node 2 is called from node 1; when node 2 has died and it has come to node 1 it is called there."""
        balancer = nodes.Balancer(self, self.two)
        bob = await Page.ready(self, balancer.page(self.two, "bob", 610))
        alice = await self.one.registered("alice", 440)
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await call.hang_up()
        await bob.call("")
        balancer.choose(self.one)
        await self.two.kill()
        await until(lambda: self.rows()["bob"][1] == 1, "bob's row is node 1's")
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await bob.hears(440)
        await bob.do("hangup")
        await call.ended("BYE")


class TcpTests(BrowserTests):
    """The nodes speak TCP to each other."""

    transport = "tcp"


class TlsTests(NodeCase):
    """The nodes speak TLS to each other, and each checks the other's certificate."""

    transport = "tls"
    skip = BrowserTests.skip

    async def test_browser(self) -> None:
        """A phone at node 1 calls a browser at node 2 over the TLS connection between them."""
        bob = await Page.ready(self, self.two.page("bob", 610))
        self.assertIn(f"@127.0.0.1:{self.two.sips};transport=tls;lr>", self.rows()["bob"][5])
        alice = await self.one.registered("alice", 440)
        call = alice.dial(BOB)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(610)
        await bob.hears(440)
        await bob.do("hangup")
        await call.ended("BYE")
        await self.one.no_calls()


class TwinTests(TestCase):
    """The number of a node."""

    timeout = 60
    skip = postgres.missing()

    async def test_same_number(self) -> None:
        """A second process with the number of a node that runs is told of in the log; one with another number is not."""
        cluster, name = await nodes.database()
        for number, told in ((7, 0), (8, 0), (7, 1)):
            store = open_storage(cluster.url(name), "", reactor, node_id=number)
            self.addCleanup(store.close)
            with capturedLogs() as logs:
                await store.open()
            said = [event["log_format"] for event in logs if "another process is connected as node" in event["log_format"]]
            self.assertEqual(len(said), told)
