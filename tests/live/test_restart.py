"""``kill -9`` of the server, in mid-call and under load, and the same command line again. Seconds stand in the test log."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.python import log
from twisted.trial.unittest import TestCase

from sipnode.settings import AccSettings, AuthSettings
from sipnode.sip import build
from sipnode.sip.address import NameAddr
from sipnode.sip.ids import new_branch, new_call_id, new_tag
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.parser import parse_message

from .support.browser import Page, missing_browser
from .support.call import Call, media_of
from .support.phone import Phone
from .support.site import DOMAIN, HOST, Site, missing
from .support.waiting import until

reactor: Any = _reactor
ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


class RestartCase(TestCase):
    """Kills and starts the server, and says how long what took."""

    timeout = 90
    skip = missing("rtpengine")
    _mark = 0.0

    def lap(self, what: str) -> None:
        """Write the seconds since the last one into the test log."""
        now = reactor.seconds()
        log.msg(f"{self.id()}: {now - self._mark:.2f} s {what}")
        self._mark = now

    async def restart(self, site: Site) -> None:
        """kill -9, and start."""
        await site.kill()
        self._mark = reactor.seconds()
        await site.start_again()
        self.lap("until the server answers again")


class PhoneTests(RestartCase):
    """Calls between two phones."""

    async def call(self, site: Site, caller: Phone, callee: Phone) -> tuple[Call, Call]:
        """One calls the other, and they hear each other."""
        call = caller.dial(callee.aor)
        self.assertEqual((await call.outcome).status, 200)
        other = callee.calls[-1]
        await call.hears(callee.hz)
        await other.hears(caller.hz)
        for end in (call, other):
            site.assert_relayed(media_of(end.remote_sdp))
        return call, other

    async def test_calls_go_on(self) -> None:
        """Registrations are there, sound goes on, re-INVITE passes both ways with its SDP rewritten, BYE of either end its call; each call
        has one record, and the one that nothing interrupted tells what was heard.
        """
        site = await Site(self, acc=AccSettings(tables=True, file="calls.json")).start()
        alice, bob = await site.registered("alice", 440), await site.registered("bob", 700)
        call, other = await self.call(site, alice, bob)
        second, its_callee = await self.call(site, bob, alice)
        await self.restart(site)
        for phone in (alice, bob):
            self.assertEqual(await phone.bindings(), [phone.contact])
        self.lap("for both registrations to be asked for and found")
        for near, far in ((call, other), (other, call)):
            for end in (near, far):
                end.remote_sdp = b""
            self._mark = reactor.seconds()
            self.assertEqual((await near.reinvite()).status, 200)
            for end in (near, far):
                site.assert_relayed(media_of(end.remote_sdp))
            self.lap(f"for a re-INVITE of {near.phone.user}")
            await near.hears(far.phone.hz)
            await far.hears(near.phone.hz)
        self.assertEqual(len(await site.calls()), 2)
        for near, far in ((call, other), (its_callee, second)):
            self._mark = reactor.seconds()
            self.assertEqual((await near.hang_up()).status, 200)
            await far.ended("BYE")
            self.lap("for BYE")
        await site.no_calls()
        call, _other = await self.call(site, alice, bob)
        await call.hang_up()
        await site.no_calls()
        file = site.folder / "calls.json"
        await until(lambda: file.exists() and file.read_text().count("\n") == 3, "each call has its record")
        records = [json.loads(line) for line in file.read_text().splitlines()]
        self.assertEqual([record["outcome"] for record in records], ["completed"] * 3)
        self.assertEqual({record["call_id"] for record in records}, {end.call_id for end in (call, other, second)})
        self.assertTrue(all(record["duration_seconds"] > 0 for record in records))
        self.assertTrue(all(leg["packets"] > 0 for leg in records[2]["quality"]), records[2])
        self.assertEqual(len(records[2]["quality"]), 2)
        self.assertEqual((await site.rpc("acc.status"))["sinks"], [{"name": "file", "waiting": 0, "fault": ""}])


class PageTests(RestartCase):
    """A page in a call with a phone."""

    skip = missing("rtpengine") or missing_browser()

    async def back(self, site: Site, page: Page) -> None:
        """Kill, start, and wait until the page is signed in again by itself, with the one binding of its instance."""
        await site.kill()
        await page.until(lambda status: status["line"] != "ready", "the page notices")
        self._mark = reactor.seconds()
        await site.start_again()
        self.lap("until the server answers again")
        await page.line("ready")
        self.lap("until the page has signed in again by itself")
        self.assertEqual(len(await site.phone("alice").bindings()), 1)

    async def test_page_called(self) -> None:
        """Over its new connection the page holds and resumes the call that it had made; a BYE of the phone finds it there."""
        site = await Site(self).start()
        page = await Page.ready(self, site.page("alice", 440))
        bob = await site.registered("bob", 700)
        await page.do("call", BOB)
        await page.call("up")
        call = bob.calls[0]
        await call.hears(440)
        await self.back(site, page)
        self.assertEqual((await page.status())["call"]["state"], "up")
        self.assertTrue(await page.do("hold"))
        self.assertIn(call.heard_direction, ("sendonly", "inactive"))
        self.lap("for hold to reach the phone")
        self.assertTrue(await page.do("unhold"))
        site.assert_relayed(media_of(call.remote_sdp))
        await call.hears(440)
        await page.hears(700)
        self._mark = reactor.seconds()
        self.assertEqual((await call.hang_up()).status, 200)
        await page.call("")
        self.lap("for BYE of the phone to reach the page")
        await site.no_calls()

    async def test_page_was_called(self) -> None:
        """A page that had been called gets the phone's re-INVITE over its new connection, and hangs up over it."""
        site = await Site(self).start()
        page = await Page.ready(self, site.page("alice", 440))
        bob = await site.registered("bob", 700)
        call = bob.dial(ALICE)
        self.assertEqual((await call.outcome).status, 200)
        await page.call("up")
        await call.hears(440)
        await self.back(site, page)
        self.assertEqual((await call.reinvite("sendonly")).status, 200)
        await page.until(lambda status: status["call"]["heldByThem"], "held by the phone")
        self.assertEqual((await call.reinvite()).status, 200)
        self.lap("for two re-INVITEs of the phone to reach the page")
        await call.hears(440)
        await page.hears(700)
        await page.do("hangup")
        await call.ended("BYE")
        await site.no_calls()


class Registrations(DatagramProtocol):
    """Registers many addresses over one UDP socket, some at a time, and keeps in mind who was told 200."""

    WINDOW = 24

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._wire = reactor.listenUDP(0, self, interface=HOST)
        self.port: int = self._wire.getHost().port
        self.asked = 0
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._queries: dict[str, Deferred[SipResponse]] = {}

    def contact(self, user: str) -> str:
        return f"sip:{user}@{HOST}:{self.port}"

    def request(self, user: str, headers: list[tuple[str, str]]) -> SipRequest:
        aor = f"<sip:{user}@{DOMAIN}>"
        via = f"SIP/2.0/UDP {HOST}:{self.port};rport;branch={new_branch()}"
        lines = [("via", via), ("max-forwards", "70"), ("to", aor), ("from", f"{aor};tag={new_tag()}"), ("call-id", new_call_id())]
        return build.request("REGISTER", f"sip:{DOMAIN}", [*lines, ("cseq", "1 REGISTER"), *headers])

    def more(self) -> None:
        """One more."""
        user = f"u{self.asked}"
        self.asked += 1
        headers = [("contact", f"<{self.contact(user)}>"), ("expires", "600")]
        self.transport.write(self.request(user, headers).to_bytes(), self._server)

    async def query(self, user: str) -> list[str]:
        """The contacts that the registrar holds for one."""
        request = self.request(user, [])
        self._queries[request.call_id] = waiter = Deferred()
        self.transport.write(request.to_bytes(), self._server)
        response = await waiter
        if response.status != 200:
            raise AssertionError(f"a query of {user} gets {response.start_line}")
        return [NameAddr.parse(value).uri_text for value in response.values("contact")]

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        response = parse_message(datagram)
        if not isinstance(response, SipResponse):
            self.refused.append(response.start_line)
            return
        waiter = self._queries.pop(response.call_id, None)
        if waiter is not None:
            waiter.callback(response)
        elif response.status != 200:
            self.refused.append(response.start_line)
        else:
            self.acknowledged.append(response.to.uri.user)
            self.more()

    def close(self) -> Any:
        return self._wire.stopListening()


class LoadTests(RestartCase):
    """What was acknowledged is on disk."""

    ENOUGH = 400

    async def test_acknowledged_registrations(self) -> None:
        """Killed while it is busy with REGISTERs, the server has every one of them that it had answered by 200."""
        site = await Site(self, auth=AuthSettings(enabled=False)).start()
        load = Registrations((HOST, site.sip))
        self.addCleanup(load.close)
        for _ in range(load.WINDOW):
            load.more()
        await until(lambda: len(load.acknowledged) >= self.ENOUGH or load.refused, lambda: f"{len(load.acknowledged)} of {load.asked}")
        await site.kill()
        await site.start_again()
        # By now the last of the first server's answers has been read.
        acknowledged = list(load.acknowledged)
        self.assertEqual(load.refused, [])
        self.assertGreater(load.asked, len(acknowledged), "it was killed while some were under way")
        lost = [user for user in acknowledged if await load.query(user) != [load.contact(user)]]
        self.assertEqual(lost, [])
        log.msg(f"{self.id()}: {len(acknowledged)} acknowledged of {load.asked}, all there")
