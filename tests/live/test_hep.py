"""A real receiver of HEP: sngrep, which writes what it took to a file of packets."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.trial.unittest import TestCase

from sipnode.demo.parts import Part
from sipnode.settings import HepSettings

from .support.site import DOMAIN, HOST, Site, free_port, missing, passwords
from .support.waiting import until


class SngrepTests(TestCase):
    """sngrep -L beside a server."""

    timeout = 60
    skip = missing("rtpengine", "sngrep")

    async def test_a_call(self) -> None:
        """It has every message of a call, and no secret."""
        port = free_port(socket.SOCK_DGRAM)
        packets = Path(self.mktemp())
        command = ["sngrep", "-F", "-N", "-q", "-L", f"udp:{HOST}:{port}", "-O", str(packets)]
        receiver = Part("sngrep", command, Path(f"{packets}.log"))
        receiver.start()
        self.addCleanup(receiver.stop)
        await until(lambda: _listens(port), "sngrep listens")
        site = await Site(self, hep=HepSettings(receiver=f"udp:{HOST}:{port}")).start()
        alice, bob = await site.registered("alice"), await site.registered("bob")
        call = alice.dial(f"sip:bob@{DOMAIN}")
        self.assertEqual((await call.outcome).status, 200)
        await call.hang_up()
        await bob.calls[0].ended("BYE")
        wanted = (f"INVITE sip:bob@{DOMAIN}", "SIP/2.0 200 ", "ACK sip:", "BYE sip:", "REGISTER sip:")

        async def whole() -> bool:
            # The file is written a block at a time.
            await alice.bindings()
            return all(packets.read_bytes().count(word.encode()) >= 2 for word in wanted)

        await until(whole, "both legs are in the file")
        self.assertFalse([password for password in passwords().values() if password.encode() in packets.read_bytes()])
        self.assertNotRegex(packets.read_bytes(), rb'response="?[0-9a-f]{32}')


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((HOST, port))
        except OSError:
            return True
    return False
