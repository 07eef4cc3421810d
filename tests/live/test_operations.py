"""What an operator does to calls that are up, and what the script is told: a browser's call, one user, a socket that drops, a trunk."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode.rpc.client import Caller
from sipnode.settings import AuthSettings, LocationSettings, RoutingSettings

from .support.browser import Page, missing_browser
from .support.phone import Phone
from .support.site import DOMAIN, HOST, Site, missing
from .support.waiting import until

SCRIPT = '''
from twisted.logger import Logger
from sipnode.routing.script import RoutingScript

class Site(RoutingScript):
    log = Logger(namespace="site")

    def websocket_closed(self, flow):
        self.log.info("hook: {users} left, {reason!r}", users=",".join(flow.vars["users"]) or "nobody", reason=flow.vars["reason"])
'''


class OperatorTests(TestCase):
    """One server, its relay, a browser and phones."""

    timeout = 120
    skip = missing("rtpengine") or missing_browser()

    async def rpc(self, site: Site, method: str, *params: Any) -> Any:
        """The result of a method, over the UNIX socket."""

        def ask() -> Any:
            with Caller(str(site.folder / "rpc.sock")) as caller:
                return caller.call(method, list(params))

        return await deferToThread(ask)

    async def test_end_a_browsers_call(self) -> None:
        """dlg.end_dlg ends a call between a browser and a phone: BYE to both, whoever called, and no media is left."""
        site = await Site(self).start()
        bob = await site.registered("bob")
        alice = await Page.ready(self, site.page("alice", 440))
        for number, caller in enumerate(("browser", "phone"), 1):
            if caller == "browser":
                await alice.do("call", f"sip:bob@{DOMAIN}")
            else:
                bob.dial(f"sip:alice@{DOMAIN}")
            await alice.call("up")
            call, = await until(lambda: self.rpc(site, "dlg.list"), "the call is listed")
            self.assertEqual(call["state"], 4)
            self.assertEqual(await self.rpc(site, "dlg.end_dlg", call["h_entry"], call["h_id"]), {})
            await alice.call("")
            await self.byes(bob, number)
            self.assertEqual(await self.rpc(site, "dlg.list"), [])
            await site.no_calls()

    async def byes(self, phone: Phone, number: int) -> None:
        """Wait until a phone has got so many."""
        await until(lambda: [request.method for request in phone.requests].count("BYE") == number, f"BYE number {number} came")

    async def test_a_socket_drops(self) -> None:
        """A browser's process dies: the hook runs once with user and reason, its bindings go, and nobody is counted any more."""
        site = Site(self, routing=RoutingSettings(script="site_script.Site"), location=LocationSettings(db_mode=0))
        Path(site.folder / "site_script.py").write_text(SCRIPT)
        await site.start()
        alice = await Page.ready(self, site.page("alice", 440))
        self.assertEqual((await self.rpc(site, "ws.dump"))["info"]["wscounter"], 1)
        self.assertEqual((await self.rpc(site, "sipnode.status"))["registrations"], 1)
        await alice.crash()
        hook = re.compile(rf"hook: alice@{DOMAIN} left, '.+'")
        await until(lambda: hook.search(site.server.log.read_text()), "the hook ran")
        self.assertEqual(len(hook.findall(site.server.log.read_text())), 1)
        status = await self.rpc(site, "sipnode.status")
        self.assertEqual((status["registrations"], status["connections"].get("WS", 0)), (0, 0))

    async def test_follow_one_user(self) -> None:
        """The wire trace of one user and method has those messages and no others, without what would let somebody sign in."""
        site = await Site(self).start()
        await self.rpc(site, "sipnode.trace_on", "alice", "", "", "REGISTER")
        await site.registered("bob")
        alice = await site.registered("alice")
        await self.rpc(site, "sipnode.trace_off")
        await alice.register()
        said = site.server.log.read_text()
        self.assertEqual(len(re.findall(r"(?m)^REGISTER sip:", said)), 2)
        self.assertEqual(len(re.findall(r"(?m)^SIP/2\.0 (401|200)", said)), 2)
        self.assertNotIn(f"sip:bob@{DOMAIN}", said)
        self.assertRegex(said, r"(?m)^Authorization: Digest .*response=\*\*\*")
        self.assertNotRegex(said, r'response="[0-9a-f]')

    async def test_trunk_by_address(self) -> None:
        """A call from a listed address needs no digest; the same call from another one is challenged."""
        site = await Site(self, auth=AuthSettings(trusted=("127.0.0.2",))).start()
        bob = await site.registered("bob")
        for source, status in (("127.0.0.3", 407), ("127.0.0.2", 200)):
            self.assertEqual(await deferToThread(self.invite, site, source), status, source)
        await self.byes(bob, 1)

    def invite(self, site: Site, source: str) -> int:
        """The final status of an INVITE to bob from an address; a call that is answered is ended. Blocks."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.settimeout(20)
            at = f"{source}:{sock.getsockname()[1]}"
            to, uri, routes = f"<sip:bob@{DOMAIN}>", f"sip:bob@{DOMAIN}", ""

            def send(method: str, number: int) -> None:
                head = (
                    f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{number}{source};rport\r\nMax-Forwards: 70\r\n"
                    f"From: <sip:+4930123@trunk.test>;tag=t\r\nTo: {to}\r\nCall-ID: trunk-{source}\r\nCSeq: {number} {method}\r\n"
                    f"Contact: <sip:trunk@{at}>\r\n{routes}Content-Length: 0\r\n\r\n"
                )
                sock.sendto(head.encode(), (HOST, site.sip))

            send("INVITE", 1)
            answer = "SIP/2.0 100"
            while answer[8:9] == "1":
                answer = sock.recv(9000).decode()
            if answer[8:11] == "200":
                to = self.header(answer, "To")
                uri = self.header(answer, "Contact").strip("<>")
                routes = "".join(f"Route: {value}\r\n" for value in re.findall(r"(?im)^Record-Route: *(.*?)\r$", answer)[::-1])
                send("ACK", 1)
                send("BYE", 2)
            return int(answer[8:11])

    def header(self, message: str, name: str) -> str:
        """Value of a header."""
        found = re.search(rf"(?im)^{name}: *(.*?)\r$", message)
        assert found is not None, message
        return found[1]
