"""What an operator does to calls that are up, and what the script is told: a browser's call, one user, a socket that drops, a trunk."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sipnode import config
from sipnode.demo.parts import Part, server_command
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
            call, = await until(lambda: site.rpc("dlg.list"), "the call is listed")
            self.assertEqual(call["state"], 4)
            self.assertEqual(await site.rpc("dlg.end_dlg", call["h_entry"], call["h_id"]), {})
            await alice.call("")
            await self.byes(bob, number)
            self.assertEqual(await site.rpc("dlg.list"), [])
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
        self.assertEqual((await site.rpc("ws.dump"))["info"]["wscounter"], 1)
        self.assertEqual((await site.rpc("sipnode.status"))["registrations"], 1)
        await alice.crash()
        hook = re.compile(rf"hook: alice@{DOMAIN} left, '.+'")
        await until(lambda: hook.search(site.server.log.read_text()), "the hook ran")
        self.assertEqual(len(hook.findall(site.server.log.read_text())), 1)
        status = await site.rpc("sipnode.status")
        self.assertEqual((status["registrations"], status["connections"].get("WS", 0)), (0, 0))

    async def test_follow_one_user(self) -> None:
        """The wire trace of one user and method has those messages and no others, without what would let somebody sign in."""
        site = await Site(self).start()
        await site.rpc("sipnode.trace_on", "alice", "", "", "REGISTER")
        await site.registered("bob")
        alice = await site.registered("alice")
        await site.rpc("sipnode.trace_off")
        await alice.register()
        said = site.server.log.read_text()
        self.assertEqual(len(re.findall(r"(?m)^\s*REGISTER sip:", said)), 2)
        self.assertEqual(len(re.findall(r"(?m)^\s*SIP/2\.0 (401|200)", said)), 2)
        self.assertNotIn(f"sip:bob@{DOMAIN}", said)
        self.assertRegex(said, r"(?m)^\s*Authorization: Digest .*response=\*\*\*")
        self.assertNotRegex(said, r'response="[0-9a-f]')

    async def test_trunk_by_address(self) -> None:
        """A call from a listed address needs no digest; the same call from another one is challenged."""
        site = await Site(self, auth=AuthSettings(trusted=("127.0.0.2",))).start()
        bob = await site.registered("bob")
        bob.reaction = 486
        for source, status in (("127.0.0.3", 407), ("127.0.0.2", 486)):
            self.assertEqual(await deferToThread(self.invite, site, source), status, source)
        self.assertEqual([request.method for request in bob.requests if request.method == "INVITE"], ["INVITE"])

    def invite(self, site: Site, source: str) -> int:
        """The final status of an INVITE to bob, in the name of a user of ours, from an address. Blocks."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.settimeout(20)
            at = f"{source}:{sock.getsockname()[1]}"

            def send(method: str, to: str) -> None:
                head = (
                    f"{method} sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKtrunk{source};rport\r\nMax-Forwards: 70\r\n"
                    f"From: <sip:alice@{DOMAIN}>;tag=t\r\nTo: {to}\r\nCall-ID: trunk-{source}\r\nCSeq: 1 {method}\r\n"
                    f"Contact: <sip:trunk@{at}>\r\nContent-Length: 0\r\n\r\n"
                )
                sock.sendto(head.encode(), (HOST, site.sip))

            send("INVITE", f"<sip:bob@{DOMAIN}>")
            answer = "SIP/2.0 100"
            while answer[8:9] == "1":
                answer = sock.recv(9000).decode()
            found = re.search(r"(?im)^To: *(.*?)\r$", answer)
            assert found is not None, answer
            send("ACK", found[1])
            return int(answer[8:11])

    async def test_taken_port(self) -> None:
        """A start that can't have a port ends with file, line, key and who has it, and no traceback; so does the check."""
        site = await Site(self).start()
        server = Part("second", server_command(site.folder), site.folder / "second.log")
        server.start()
        self.addCleanup(server.stop)
        assert server.process is not None
        self.assertEqual(await deferToThread(server.process.wait, 30), 1)
        said = server.log.read_text()
        place = rf"sipnode: {site.folder}/sipnode\.toml:\d+: core\.listen: udp:{HOST}:{site.sip}: "
        self.assertRegex(said, place + r".* is taken by twistd \(pid")
        self.assertNotIn("Traceback", said)
        program = [sys.executable, "-c", "import sys; from sipnode.cli import main; sys.exit(main())", "check", "-c", str(site.folder)]
        done = await deferToThread(lambda: subprocess.run(program, capture_output=True, text=True, timeout=60))
        self.assertEqual((done.returncode, "a server runs with this configuration" in done.stderr), (0, True), done.stderr)
        # Without its socket it is anybody's.
        file = site.folder / config.FILE_NAME
        file.write_text(re.sub(r"(?m)^socket = .*$", 'socket = ""', file.read_text()))
        done = await deferToThread(lambda: subprocess.run(program, capture_output=True, text=True, timeout=60))
        self.assertEqual((done.returncode, done.stderr.count(" is taken by twistd (pid")), (1, 3), done.stderr)
