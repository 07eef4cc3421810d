"""kill -TERM with calls up, calls that ring, and browsers connected: how long it takes, and what each is told."""

from __future__ import annotations

import signal
import time
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread
from twisted.python import log
from twisted.trial.unittest import TestCase

from .support.call import Call
from .support.site import DOMAIN, HOST, Site, missing
from .support.sound import Sound
from .support.waiting import until

reactor: Any = _reactor
UP, RINGING, TABS = 20, 5, 3
STOP_SECONDS = 5.0


class Tab(Protocol):
    """A browser's WebSocket, as far as it is open and hears why it is closed.

    Attributes:
        code: Of the close frame; 0 before it.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._data = b""
        self.open = False
        self.code = 0

    def connectionMade(self) -> None:
        """Twisted: the wire stands."""
        self.transport.write(
            f"GET / HTTP/1.1\r\nHost: {HOST}:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://{HOST}:{self._port}\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n".encode()
        )

    def dataReceived(self, data: bytes) -> None:
        """Twisted: the answer to the handshake, then frames."""
        self._data += data
        if not self.open and b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self.open = b" 101 " in head
        if self.open and self._data[:1] == b"\x88" and len(self._data) >= 4:
            self.code = int.from_bytes(self._data[2:4], "big")
            # RFC 6455 §5.5.1: the close is answered in kind, masked (by nothing).
            self.transport.write(b"\x88\x82\0\0\0\0" + self._data[2:4])


class StopTests(TestCase):
    """[core] stop_seconds."""

    timeout = 120
    skip = missing("rtpengine")

    async def scene(self, stubborn: bool = False) -> tuple[Site, list[Call], list[Call], list[Tab]]:
        """Twenty calls up, five ringing, three browsers; ``stubborn`` ones never answer a close frame or a CANCEL."""
        # Forty streams of sound prove nothing here.
        self.patch(Sound, "start", lambda *_: None)
        site = await Site(self).start()
        alice, bob, carol = [await site.registered(user) for user in ("alice", "bob", "carol")]
        bob.reaction, carol.reaction = "answer", "ring"
        up = [alice.dial(f"sip:bob@{DOMAIN}") for _ in range(UP)]
        for call in up:
            self.assertEqual((await call.outcome).status, 200)
        ringing = [alice.dial(f"sip:carol@{DOMAIN}") for _ in range(RINGING)]
        await until(lambda: all(call.state == "ringing" for call in ringing), "five calls ring")
        if stubborn:
            carol.datagramReceived = lambda *_: None  # type: ignore[method-assign]  # it has died
        tabs = []
        for _ in range(TABS):
            tab = Tab(site.http)
            if stubborn:
                tab.dataReceived = lambda data, tab=tab: setattr(tab, "open", True)  # type: ignore[method-assign,misc]  # as above
            await connectProtocol(TCP4ClientEndpoint(reactor, HOST, site.http), tab)
            self.addCleanup(tab.transport.abortConnection)
            tabs.append(tab)
        await until(lambda: all(tab.open for tab in tabs), "three WebSockets are open")
        return site, up, ringing, tabs

    async def end(self, site: Site, *signals: float) -> float:
        """TERM, and once more after so many seconds; gives how long the process took to end by itself, with status 0."""
        process = site.server.process
        assert process is not None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for wait in signals:
            await deferToThread(time.sleep, wait)
            process.send_signal(signal.SIGTERM)
        self.assertEqual(await deferToThread(process.wait, 30), 0)
        return time.monotonic() - began

    async def test_told(self) -> None:
        """It ends within five seconds: who rings gets 503 with Retry-After and the phone CANCEL, browsers get 1001, calls that are up
        hear nothing and go on with the next process.
        """
        site, up, ringing, tabs = await self.scene()
        seconds = await self.end(site)
        refusals = [await call.outcome for call in ringing]
        self.assertEqual([refusal.status for refusal in refusals], [503] * RINGING)
        self.assertTrue(all(2 <= int(refusal.get("retry-after") or 0) <= 10 for refusal in refusals))
        self.assertEqual([call.state for call in up], ["up"] * UP)
        await until(lambda: [tab.code for tab in tabs] == [1001] * TABS, "each browser is told 1001")
        self.assertLessEqual(seconds, STOP_SECONDS)
        said = site.server.log.read_text()
        self.assertIn(f"{UP} calls are left to the next process", said)
        self.assertIn(f"{RINGING} that rang got 503", said)
        log.msg(f"kill -TERM: {seconds:.2f} s to the end; {RINGING} ringing told 503, {TABS} browsers told 1001, {UP} calls told nothing")
        await site.start_again()
        self.assertEqual((await up[0].hang_up()).status, 200)

    async def test_stubborn(self) -> None:
        """Phones that answer no CANCEL and browsers that answer no close frame hold it no longer."""
        site, _, ringing, _ = await self.scene(stubborn=True)
        seconds = await self.end(site)
        self.assertEqual([(await call.outcome).status for call in ringing], [503] * RINGING)
        self.assertLessEqual(seconds, STOP_SECONDS)
        log.msg(f"kill -TERM where nobody answers: {seconds:.2f} s to the end")

    async def test_twice(self) -> None:
        """A second TERM ends it at once."""
        site, *_ = await self.scene(stubborn=True)
        seconds = await self.end(site, 0.3)
        self.assertLess(seconds, 2.0)
        log.msg(f"kill -TERM twice within 0.3 s: {seconds:.2f} s to the end")
