"""The softphone through a real TURN server (coturn) alone, by credentials that it got from the server when it had signed in."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from twisted.trial.unittest import TestCase

from sipnode.demo.parts import Part
from sipnode.settings import TurnSettings

from .support.browser import Page, missing_browser
from .support.call import media_of
from .support.site import DOMAIN, HOST, Site, free_port, missing
from .support.waiting import until


class TurnTests(TestCase):
    """A browser that nothing else lets out."""

    timeout = 90
    skip = missing("rtpengine", "turnserver") or missing_browser()

    def turn_server(self, secret: str) -> int:
        """A coturn on loopback; its port."""
        port, relayed = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
        folder = self.mktemp()
        command = [
            "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", f"--listening-ip={HOST}", f"--listening-port={port}",
            f"--relay-ip={HOST}", f"--min-port={relayed}", f"--max-port={relayed + 50}", "--use-auth-secret",
            f"--static-auth-secret={secret}", f"--realm={DOMAIN}", "--allow-loopback-peers", "--log-file=stdout", "--simple-log", "-v",
            f"--pidfile={folder}.pid", f"--userdb={folder}.sqlite",
        ]  # fmt: skip
        self.coturn = Part("coturn", command, Path(f"{folder}.log"))
        self.coturn.start()
        self.addCleanup(self.coturn.stop)
        return port

    async def test_sound_both_ways(self) -> None:
        """A call to a phone and one from it: each hears the other, and the relay hears the page from the TURN server's ports only."""
        secret = secrets.token_hex(16)
        port = self.turn_server(secret)
        turn = TurnSettings(uris=(f"turn:{HOST}:{port}?transport=udp",), secret=secret)
        site = await Site(self, turn=turn).start()
        page = await Page.ready(self, site.page("alice", 440) + "&relayed=1")
        bob = await site.registered("bob", 700)
        await page.do("call", f"sip:bob@{DOMAIN}")
        await page.call("up")
        call = bob.calls[0]
        site.assert_relayed(media_of(call.remote_sdp))
        await call.hears(440)
        await page.hears(700)
        said = self.coturn.log
        await until(lambda: f":alice@{DOMAIN}>" in said.read_text(), "the TURN server has heard of alice")
        self.assertEqual((await call.hang_up()).status, 200)
        await page.call("")
        back = bob.dial(f"sip:alice@{DOMAIN}")
        self.assertEqual((await back.outcome).status, 200)
        await back.hears(440)
        await page.hears(700)
        await back.hang_up()
        await site.no_calls()
