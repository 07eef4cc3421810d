"""Flow tests of what one message may cost: breadth, what waits for an answer, what an address gets that never answered."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.destinations import Destinations
from sipnode.proxy.relay import MAX_BREADTH
from sipnode.settings import LimitSettings, Settings
from sipnode.sip.message import SipRequest
from sipnode.testing import DOMAIN, Phone, World

FOREIGN = "evil.example"
CONTACT = "contact"


def limited(**limits: int) -> Settings:
    """Settings with some of ``[limits]``."""
    return replace(Settings(), limits=replace(LimitSettings(), **limits))


class BreadthTests(SynchronousTestCase):
    """RFC 5393."""

    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.phone("alice")
        self.bobs = [self.world.phone("bob") for _ in range(3)]
        for bob in self.bobs:
            bob.register()
            bob.take()

    def shares(self, *headers: str) -> list[list[str]]:
        """Max-Breadth of what each of three phones gets."""
        self.alice.send("INVITE", f"sip:bob@{DOMAIN}", [("max-breadth", value) for value in headers])
        return [bob.got("INVITE").get_all("max-breadth") for bob in self.bobs]

    def test_spent(self) -> None:
        """What comes in, sixty at most, is spent over the branches; of several headers the smallest counts, and one goes on."""
        for headers, share in (
            ((), 20), (("60",), 20), (("999999999",), 20), (("99999999999999",), 20), (("x",), 20), (("30",), 10), (("900", "9"), 3),
            (("3", "60"), 1), (("x", "6"), 2),
        ):  # fmt: skip
            self.assertEqual(self.shares(*headers), [[str(share)]] * 3, f"{headers}")

    def test_too_narrow(self) -> None:
        """Less than one for each branch is a 440, with one branch too."""
        self.alice.send("INVITE", f"sip:bob@{DOMAIN}", [("max-breadth", "2")])
        self.assertEqual(self.alice.statuses(), [440])
        single = self.world.phone("single")
        single.register()
        self.alice.send("INVITE", single.aor, [("max-breadth", "0")])
        self.assertEqual(self.alice.statuses(), [440])

    def test_single(self) -> None:
        """One branch spends nothing, and hides no number above sixty."""
        single = self.world.phone("single")
        single.register()
        single.take()
        for said, goes_on in (("60", "60"), ("7", "7"), ("999", "60")):
            self.alice.send("INVITE", single.aor, [("max-breadth", said)])
            self.assertEqual(single.got("INVITE").get_all("max-breadth"), [goes_on])
        self.alice.send("INVITE", single.aor)
        self.assertEqual(single.got("INVITE").get_all("max-breadth"), [])

    def test_bomb(self) -> None:
        """Contacts that lead back to us make no more than sixty of one request, however many there are of them; so it ends."""
        for contacts in (2, 3, 7, 12):
            settings = replace(Settings(), location=replace(Settings().location, max_contacts=20))
            world = World(settings, destinations=Destinations())
            mallory, alice = world.phone("mallory"), world.phone("alice")
            # A database may have brought in what a REGISTER is refused for.
            world.core.registrar.contact_refusal = None
            for number in range(contacts):
                mallory.contact = f"sip:mallory@192.0.2.1;x={number}"
                mallory.register()
            own = world.flows.udp(_Hop("UDP", "192.0.2.1", 5060))
            for headers in ([], [("max-breadth", "99999999")]):
                alice.send("INVITE", f"sip:mallory@{DOMAIN}", headers)
                seen = 0
                while own.sent:
                    data = own.sent.pop(0)
                    seen += data.startswith(b"INVITE")
                    self.assertLess(seen, 3 * MAX_BREADTH)
                    world.sink.received(data.replace(b"INVITE sip:mallory@192.0.2.1", b"INVITE sip:mallory@example.test"), own)
                self.assertGreaterEqual(seen, contacts)
                alice.take()


class _Hop:
    def __init__(self, transport: str, host: str, port: int) -> None:
        self.transport, self.host, self.port = transport, host, port


class PendingTests(SynchronousTestCase):
    """Calls that ring, and requests of one Call-ID."""

    def world_with(self, **limits: int) -> World:
        """A world with a callee that only says 180."""
        self.world = world = World(limited(**limits))
        self.bob, self.alice = world.phone("bob"), world.phone("alice")
        self.bob.register()
        self.bob.take()
        return world

    def stranger(self) -> Phone:
        """Somebody who proves nothing, at an address of their own."""
        return self.world.phone("evil", domain=FOREIGN)

    def rings(self, caller: Phone, callee: Phone | None = None) -> bool:
        """Whether a call of theirs rings; else it is refused."""
        callee = callee or self.bob
        caller.send("INVITE", callee.aor)
        if "INVITE" in [m.method for m in callee.inbox if isinstance(m, SipRequest)]:
            callee.reply(callee.got("INVITE"), 180)
            return True
        self.last = caller.statuses()[-1]
        return False

    def test_strangers_at_one_callee(self) -> None:
        """Strangers can have so many calls ringing at one user; others, and users' calls, ring all the same; each that ends makes room."""
        world = self.world_with(strangers_per_callee=3)
        other = world.phone("john")
        other.register()
        other.take()
        first = self.stranger()
        invite = first.send("INVITE", self.bob.aor)
        ringing = self.bob.got("INVITE")
        self.assertEqual([self.rings(self.stranger()) for _ in range(5)], [True, True, False, False, False])
        self.assertEqual((self.last, world.core.counters["refused_callee_strangers"]), (486, 3))
        self.assertTrue(self.rings(self.alice))
        self.assertTrue(self.rings(self.stranger(), other))
        first.cancel(invite)
        self.bob.reply(ringing, 487)
        self.bob.take()
        self.assertEqual([self.rings(self.stranger()) for _ in range(2)], [True, False])

    def test_one_stranger(self) -> None:
        """One source, and one IPv6 network, has so many; 503 with Retry-After for more."""
        world = self.world_with(strangers_per_source=2)
        evil = world.phone("evil", "WS", "2001:db8:0:1::5", domain=FOREIGN)
        neighbour = world.phone("evil", "WS", "2001:db8:0:1:ffff::9", domain=FOREIGN)
        elsewhere = world.phone("evil", "WS", "2001:db8:0:2::5", domain=FOREIGN)
        self.assertEqual([self.rings(evil), self.rings(neighbour), self.rings(evil), self.rings(elsewhere)], [True, True, False, True])
        self.assertEqual((self.last, world.core.counters["refused_source"]), (503, 1))

    def test_all_strangers(self) -> None:
        """All strangers together have so many; a user's call rings."""
        world = self.world_with(strangers=4)
        phones = [world.phone(f"user{number}") for number in range(6)]
        for phone in phones:
            phone.register()
            phone.take()
        self.assertEqual([self.rings(self.stranger(), phone) for phone in phones], [True] * 4 + [False] * 2)
        self.assertEqual((self.last, world.core.counters["refused_strangers"]), (503, 2))
        self.assertTrue(self.rings(self.alice))

    def test_callee(self) -> None:
        """Also users have a number, which is large."""
        world = self.world_with(pending_per_callee=2)
        self.assertEqual([self.rings(self.alice) for _ in range(3)], [True, True, False])
        self.assertEqual((self.last, world.core.counters["refused_callee"]), (486, 1))

    def test_call_id(self) -> None:
        """Requests of one Call-ID that wait for an answer are so many, of any method and from any number of sources."""
        world = self.world_with(pending_per_call_id=5)
        for number in range(7):
            self.world.phone("alice").send("MESSAGE", self.bob.aor, call_id="one", cseq=number + 1)
        self.assertEqual(len(self.bob.methods()), 5)
        self.assertEqual(world.core.counters["refused_call_id"], 2)
        self.alice.send("MESSAGE", self.bob.aor)
        self.assertEqual(self.bob.methods(), ["MESSAGE"])

    def test_nothing_is_left(self) -> None:
        """However a request ends, the counts are as before: answered, refused, cancelled, timed out, never answered."""
        world = self.world_with()
        pending = world.core.pending
        for status in (200, 302, 486, 603):
            self.alice.send("INVITE", self.bob.aor)
            self.bob.reply(self.bob.got("INVITE"), status)
        invite = self.alice.send("INVITE", self.bob.aor)
        self.bob.reply(ringing := self.bob.got("INVITE"), 180)
        self.alice.cancel(invite)
        self.bob.reply(ringing, 487)
        for method in ("INVITE", "MESSAGE", "OPTIONS"):
            self.alice.send(method, self.bob.aor)
            self.stranger().send(method, self.bob.aor)
        self.alice.send("INVITE", f"sip:nobody@{DOMAIN}")
        self.assertEqual((len(pending), pending.calls, pending.strangers), (6, 2, 1))
        world.advance(300)
        self.assertEqual((len(pending), pending.calls, pending.strangers), (0, 0, 0))
        self.assertEqual((pending._of_call, pending._at_callee, pending._of_source, pending._of_strangers), ({}, {}, {}, {}))

    def test_refused_by_the_dialogs(self) -> None:
        """A call that another bound refuses counts nowhere."""
        world = self.world = World(replace(Settings(), dialog=replace(Settings().dialog, calls_per_user=1)))
        bob, alice = world.phone("bob"), world.phone("alice")
        bob.register()
        alice.send("INVITE", bob.aor)
        alice.send("INVITE", bob.aor)
        self.assertIn(403, alice.statuses())
        self.assertEqual((len(world.core.pending), world.core.pending.calls), (1, 1))


class UnprovedTests(SynchronousTestCase):
    """What a stranger's request draws at an address that has never answered: at most five times its octets."""

    def setUp(self) -> None:
        self.world = World()
        self.evil, self.alice = self.world.phone("evil", domain=FOREIGN), self.world.phone("alice")

    def drawn(self, caller: Phone, *ports: int, method: str = "INVITE") -> tuple[float, set[int]]:
        """How many times its octets a request of theirs draws at a victim whose ports are contacts, and at which ports."""
        mallory = self.world.phone("mallory")
        for port in ports:
            mallory.contact = f"sip:mallory@203.0.113.9:{port}"
            mallory.register()
        request = caller.send(method, mallory.aor)
        self.world.advance(40)
        victims = [flow for flow in self.world.flows.flows if flow.remote[0] == "203.0.113.9"]
        octets = sum(len(data) for flow in victims for data in flow.sent)
        return octets / len(request.to_bytes()), {flow.remote[1] for flow in victims if flow.sent}

    def test_stranger(self) -> None:
        """Repeats end when five times has been sent, be it an INVITE or anything else."""
        for method in ("INVITE", "MESSAGE"):
            factor, _ = self.drawn(self.evil, 5060, method=method)
            self.assertTrue(1 < factor <= 5, factor)
            self.setUp()

    def test_several_contacts(self) -> None:
        """Contacts at one host share what there is, so that a list of its ports multiplies nothing; the first gets its copy."""
        factor, ports = self.drawn(self.evil, *range(5060, 5070))
        self.assertTrue(1 < factor <= 5, factor)
        self.assertIn(5060, ports)
        self.assertLess(len(ports), 5)

    def test_user(self) -> None:
        """A user answers for what it sends: every repeat and every contact."""
        factor, ports = self.drawn(self.alice, 5060, 5061, 5062)
        self.assertEqual(len(ports), 3)
        self.assertGreater(factor, 20)

    def test_who_has_answered(self) -> None:
        """A phone that answered once gets a stranger's INVITE as often as it takes."""
        bob = self.world.phone("bob")
        bob.register()
        self.alice.send("OPTIONS", bob.aor)
        bob.reply(bob.got("OPTIONS"), 200)
        bob.take()
        self.evil.send("INVITE", bob.aor)
        self.world.advance(40)
        self.assertEqual(bob.methods().count("INVITE"), 7)

    def test_source(self) -> None:
        """What it draws at its own source, which may be forged, is bounded alike, and the final response finds room."""
        bob = self.world.phone("bob")
        bob.register()
        bob.take()
        request = self.evil.send("INVITE", bob.aor)
        ringing = bob.got("INVITE")
        for _ in range(20):
            bob.reply(ringing, 183, b"v=0\r\n" * 20)
        bob.reply(ringing, 486)
        self.world.advance(40)
        octets = sum(len(data) for data in self.evil.flow.sent)
        self.assertLessEqual(octets, 5 * len(request.to_bytes()))
        self.assertIn(486, self.evil.statuses())


class ContactOfAStrangerTests(SynchronousTestCase):
    """What a callee sends in a call goes where the caller's Contact says; who is there may never have heard of it."""

    def test_bye_at_a_victim(self) -> None:
        """A BYE at an address that never answered stays below five times its own size, all repeats together."""
        world = World()
        bob = world.phone("bob")
        bob.register()
        bob.take()
        eve = world.phone("eve", host="203.0.113.9", domain=FOREIGN, contact="sip:eve@198.51.100.99:5060")
        victim = world.phone("victim", host="198.51.100.99")
        call = world.call(eve, bob)
        self.assertEqual(victim.flow.sent, [])
        bye = call.from_callee("BYE")
        world.advance(40)
        got = victim.flow.sent
        self.assertTrue(got)
        self.assertLessEqual(sum(map(len, got)), 5 * len(bye.to_bytes()) + len(got[0]))
