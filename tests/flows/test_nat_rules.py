"""Phones that send from another port than they listen at, and other odd ones, by [nat] rules."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.records import BindingFlag
from sipnode.settings import NatSettings, Settings
from sipnode.testing import FakeFlow, Phone, World

HOST = "198.51.100.9"
AGENT = (("user-agent", "Odd/1"),)


class ViaPortTests(SynchronousTestCase):
    """RFC 3261 §18.2.2, RFC 3581 §4: without rport the answer goes to the port in Via."""

    def world_of(self, *rules: str) -> tuple[World, Phone, FakeFlow]:
        """A world, a phone that listens at 5060, and the flow that its messages come by."""
        world = World(Settings(nat=NatSettings(rules=rules)))
        phone = world.phone("odd", host=HOST)
        out = FakeFlow(remote=(HOST, 41000))
        world.flows.flows.append(out)
        return world, phone, out

    def send(self, world: World, phone: Phone, out: FakeFlow, method: str, uri: str, change: tuple[str, str] = (";rport", "")) -> None:
        """One message, as the phone makes it: it leaves from another port."""
        sink, world.sink = world.sink, _Catcher()
        request = phone.send(method, uri, AGENT, to=f"<{phone.aor}>" if method == "REGISTER" else "")
        world.sink = sink
        sink.received(request.to_bytes().replace(*(each.encode() for each in change)), out)

    def test_registers_and_is_called(self) -> None:
        """Its answers and its calls arrive where it listens, and it isn't taken for natted."""
        for rule in ("agent Odd: via-port", f"network {HOST}/32: via-port"):
            world, phone, out = self.world_of(rule)
            self.send(world, phone, out, "REGISTER", "sip:example.test")
            self.assertEqual((phone.statuses(), out.sent), ([200], []))
            (binding,) = world.core.registrar.lookup("odd@example.test").bindings
            self.assertEqual((binding.cflags & BindingFlag.NATB, binding.received), (0, ""))
            world.call(world.phone("alice"), phone)

    def test_others(self) -> None:
        """Without a rule, with rport, or with another address in its Via a phone is answered at the port that it came from."""
        for rules, change in (
            ((), (";rport", "")),
            (("agent Other: via-port",), (";rport", "")),
            (("agent Odd: via-port",), ("Odd", "Odd")),
            (("agent Odd: via-port",), (f"UDP {HOST}:5060", "UDP 203.0.113.1:5060")),
        ):
            world, phone, out = self.world_of(*rules)
            self.send(world, phone, out, "REGISTER", "sip:example.test", change)
            self.assertEqual((len(out.sent), len(world.flows.flows)), (1, 2), (rules, change))

    def test_cancel(self) -> None:
        """A CANCEL that doesn't say whose it is belongs to its INVITE."""
        world, phone, out = self.world_of("agent Odd: via-port")
        bob = world.phone("bob")
        bob.register()
        bob.take()
        sink, world.sink = world.sink, _Catcher()
        invite = phone.send("INVITE", bob.aor, AGENT)
        cancel = phone.cancel(invite)
        cancel.remove("user-agent")
        world.sink = sink
        for message in (invite, cancel):
            sink.received(message.to_bytes().replace(b";rport", b""), out)
            if message is invite:
                bob.reply(bob.got("INVITE"), 180)
        bob.got("CANCEL")
        self.assertEqual((phone.statuses(), out.sent), ([100, 180, 200], []))


class _Catcher:
    def received(self, data: bytes, flow: FakeFlow) -> None:
        """Lose it."""


class OtherRulesTests(SynchronousTestCase):
    """Who counts as natted, and who is pinged."""

    def test_flags(self) -> None:
        """A rule decides before the tests do."""
        for rule, host, cflags in (
            ("agent Odd: natted", HOST, BindingFlag.NATB | BindingFlag.NATSIPPING),
            ("agent Odd: natted no-ping", HOST, BindingFlag.NATB),
            ("agent Odd: direct", "10.0.0.1", 0),
            ("agent Odd: no-ping", "10.0.0.1", BindingFlag.NATB),
        ):
            world = World(Settings(nat=replace(NatSettings(), rules=(rule,))))
            phone = world.phone("odd", host=host)
            phone.register(headers=AGENT)
            (binding,) = world.core.registrar.lookup("odd@example.test").bindings
            self.assertEqual(binding.cflags, cflags, rule)
