"""``kill -9`` while phones ring and talk: what a real rtpengine holds then, and who frees it."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from sipnode.media import ng
from sipnode.media.client import NgClient
from sipnode.media.names import Names
from sipnode.records import MediaKey
from sipnode.settings import MediaSettings

from .support.call import media_of
from .support.site import HOST, Site, missing
from .support.waiting import until

reactor: Any = _reactor
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class SweepTests(TestCase):
    """One server, two that only seem to be there."""

    timeout = 90
    skip = missing("rtpengine")

    async def foreign(self, site: Site) -> set[bytes]:
        """Calls of others at the same daemon: another server's, and one by its Call-ID."""
        client = NgClient(reactor, [0.3, 0.6, 1.2])
        wire = reactor.listenUDP(0, client, interface=HOST)
        names = {Names(b"of another server").new(), "abc@192.0.2.9"}
        try:
            for name in names:
                await client.command((HOST, site.ng_port), ng.offer(MediaKey(name, "a", "", "b"), SDP, {}))
        finally:
            client.stop()
            await wire.stopListening()
        return {name.encode() for name in names}

    async def test_kill(self) -> None:
        """What rang is freed soon after the next start; what talked goes on and is freed by its BYE; what is others' stays."""
        site = await Site(self, media=MediaSettings(sweep_seconds=0.5)).start()
        alice, bob = await site.registered("alice", 440), await site.registered("bob", 700)
        call = alice.dial(bob.aor)
        self.assertEqual((await call.outcome).status, 200)
        other = bob.calls[-1]
        await other.hears(440)
        (talking,) = await site.calls()
        bob.reaction = "ring"
        ringing = [alice.dial(bob.aor) for _ in range(3)]
        for each in ringing:
            each.outcome.addErrback(lambda _: None)
        await until(lambda: [each.state for each in bob.calls].count("ringing") >= 3, "three calls ring")
        self.assertEqual(len(await site.calls()), 4)
        await site.kill()
        others = await self.foreign(site)
        await site.start_again()

        async def freed() -> bool:
            return set(await site.calls()) == {talking, *others}

        await until(freed, "what rang is freed")
        call.remote_sdp = b""
        self.assertEqual((await call.reinvite()).status, 200)
        site.assert_relayed(media_of(call.remote_sdp))
        await call.hears(700)
        self.assertEqual((await call.hang_up()).status, 200)

        async def only_others() -> bool:
            return set(await site.calls()) == others

        await until(only_others, "its BYE frees what talked")
