"""Promises of ``sipnode.transport.sounding``: on loopback, with the kernel's own errors."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from sipnode.transport import sounding
from sipnode.transport.sounding import Soundings

reactor: Any = _reactor


class SoundingTests(TestCase):
    """Sockets of loopback."""

    timeout = 20

    def setUp(self) -> None:
        self.soundings = Soundings(reactor)
        self.addCleanup(self.soundings.stop)
        self.open = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.open.close)
        self.open.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.closed: tuple[str, int] = probe.getsockname()

    async def test_refused(self) -> None:
        """Nobody listens: told, once; where somebody does nobody is told, and he gets blank lines alone."""
        told: list[str] = []
        known: Deferred[None] = Deferred()
        self.soundings.ask(self.open.getsockname(), lambda: told.append("open"))
        self.soundings.ask(self.closed, lambda: known.callback(None))
        await known
        self.assertEqual((told, len(self.soundings)), ([], 1))
        self.assertEqual(self.open.recv(100), b"\r\n\r\n")
        self.soundings.stop()
        self.assertEqual(len(self.soundings), 0)

    async def test_no_such_address(self) -> None:
        """What the kernel has no way to, and what is no address of its family, ends without a word."""
        for address in (("255.255.255.255", 5060), ("fe80::1", 5060)):
            self.soundings.ask(address, lambda: self.fail("nobody knows"))
        self.soundings.stop()
        self.assertEqual(len(self.soundings), 0)

    async def test_bounded(self) -> None:
        """There are so many at most; whoever comes then isn't asked about."""
        for _ in range(sounding.MOST + 10):
            self.soundings.ask(self.open.getsockname(), lambda: None)
        self.assertEqual(len(self.soundings), sounding.MOST)
