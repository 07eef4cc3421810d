"""The defence in a whole server: before the dispatcher, told by authentication, asked when a connection is to be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.gate import Gate
from sipnode.defence.service import DefenceService
from sipnode.errors import ConfigError
from sipnode.settings import AuthSettings, CoreSettings, DefenceSettings, Settings
from sipnode.testing import FakeFlow, World
from sipnode.transport.admission import Admission
from sipnode.wiring.defence import build_defence
from tests.defence.kit import HOSTILE, request


class Guarded(World):
    """A world whose connections are admitted, too."""

    def __init__(self, admission: Admission, settings: Settings) -> None:
        self.admission = admission
        super().__init__(settings, defence=True)

    def _defence_of(self, *parts: Any) -> DefenceService | None:
        return build_defence(*parts, None, self.admission)


class WiringTests(SynchronousTestCase):
    """Put together as the composition root does."""

    def build(self, **defence: Any) -> World:
        """A world behind a gate."""
        settings = Settings(
            core=CoreSettings(), auth=AuthSettings(trusted=("198.51.100.0/24",)), defence=replace(DefenceSettings(), **defence)
        )
        self.admission = Admission(100, 100)
        return Guarded(self.admission, settings)

    def test_broken_counts(self) -> None:
        """What the dispatcher can't read counts against its source, and shuts it out without one answer more, over UDP from UDP alone."""
        world = self.build()
        flow = FakeFlow("UDP", (HOSTILE, 5060))
        for _ in range(5000):
            world.sink.received(b"REGISTER sip:example.test SIP/2.0\r\nno header\r\n\r\n", flow)
        defence = world.core.defence
        self.assertEqual([ban.reason for ban in defence.bans()], ["flood"])
        self.assertLess(defence.counts()["broken"], 250)
        self.assertTrue(self.admission.enter(HOSTILE))
        flow = FakeFlow("TCP", (HOSTILE, 5060), token="t")
        for _ in range(5000):
            world.sink.received(b"REGISTER sip:example.test SIP/2.0\r\nno header\r\n\r\n", flow)
        self.assertTrue(flow.closed)
        self.assertFalse(self.admission.enter(HOSTILE))
        self.assertEqual(defence.counts()["refused_connections"], 1)
        self.assertTrue(self.admission.enter("203.0.113.1"))

    def test_authentication_tells(self) -> None:
        """Wrong passwords reach the guard."""
        world = self.build()
        for _ in range(10):
            world.core.authenticator.guard.wrong(HOSTILE, "alice@example.test")
        world.sink.received(request(), flow := FakeFlow("UDP", (HOSTILE, 5060)))
        self.assertEqual(flow.sent, [])

    def test_trunks_are_trusted(self) -> None:
        """Who needs no digest isn't counted either, nor is this server itself."""
        world = self.build(burst=10.0, rate=1.0)
        for host in ("198.51.100.9", "192.0.2.1", "127.0.0.1"):
            flow = FakeFlow("UDP", (host, 5060))
            for number in range(50):
                world.sink.received(request(call_id=f"{host}-{number}"), flow)
            self.assertEqual(len(flow.sent), 50, host)

    def test_transactions(self) -> None:
        """Transactions of a source are counted as long as they live."""
        world = self.build(transactions_per_source=10)
        mallory, bob = world.phone("mallory", host=HOSTILE), world.phone("bob")
        bob.register()
        for _ in range(15):
            mallory.send("MESSAGE", bob.aor)
        self.assertEqual(len(bob.methods()), 10)
        world.advance(40)
        self.assertEqual(world.core.transactions.held, {})
        bob.take()
        mallory.send("MESSAGE", bob.aor)
        self.assertEqual(bob.methods(), ["MESSAGE"])

    def test_connections(self) -> None:
        """The caps on connections are shown and changed beside the other limits."""
        defence = self.build().core.defence
        self.assertEqual([defence.limits()[name] for name in ("connections", "connections_per_source")], [100, 100])
        defence.set_limit("connections_per_source", 2)
        tickets = [self.admission.enter("203.0.113.1") for _ in range(2)]
        self.assertEqual([ticket.prove("alice@example.test") for ticket in tickets], [True, True])
        self.assertIsNone(self.admission.enter("203.0.113.1"))
        self.assertEqual(self.admission.caps, (100, 2))
        for value in (0, float("nan"), True):
            self.assertRaises(ConfigError, defence.set_limit, "connections", value)

    def test_off(self) -> None:
        """Switched off, nothing stands before the dispatcher."""
        world = self.build(enabled=False)
        self.assertNotIsInstance(world.sink, Gate)
        self.assertIsNone(world.core.defence)
