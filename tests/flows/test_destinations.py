from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sipnode.proxy.destinations import Destinations
from sipnode.records import Hop
from sipnode.testing import DOMAIN, Phone, World

PORTS = (0, 5060, 5061, 8080, 8443)


class DestinationFlows(SynchronousTestCase):
    """Alice, from somewhere on the internet, tries to have the server send to what is none of her business."""

    def setUp(self) -> None:
        own, services = "192.0.2.1", (("192.0.2.77", 2223),)
        policy = Destinations(("10.0.0.0/8",), (), lambda host, port: host == own and port in PORTS, lambda host: host == own, services)
        self.world = World(destinations=policy)
        self.alice = self.world.phone("alice", host="198.51.100.7")
        self.alice.register()

    def reached(self) -> list[tuple[str, int]]:
        """Where anything was sent to, but to alice."""
        return [flow.remote for flow in self.world.flows.flows if flow.sent and flow is not self.alice.flow]

    def ask(self, uri: str, *headers: tuple[str, str], phone: Phone | None = None) -> int:
        phone = phone or self.alice
        phone.take()
        phone.send("MESSAGE", uri, headers, b"x")
        statuses = phone.statuses()
        return statuses[-1] if statuses else 0

    def test_request_uri(self) -> None:
        """A Request-URI, by address, maddr or a name that turns out to be one, leads to nothing that is private."""
        names = self.world.resolver.names
        names["rebound.test"] = [Hop("TCP", "127.0.0.1", 6379)]
        names["half.test"] = [Hop("UDP", "0.0.0.0", 9), Hop("UDP", "203.0.113.9", 9)]
        literals = ("127.0.0.9:6379;transport=tcp", "[::1]:6379", "192.168.1.1", "169.254.169.254:80", "0.0.0.0", "224.0.0.1")
        for host in (*literals, "203.0.113.9;maddr=127.0.0.9", "192.0.2.77:2223", "rebound.test", "rebound.test;transport=tcp"):
            self.assertEqual(self.ask(f"sip:x@{host}"), 403, host)
        self.assertEqual(self.reached(), [])
        self.ask("sip:x@10.7.7.7")
        self.ask("sip:x@half.test")
        self.assertEqual(self.reached(), [("10.7.7.7", 5060), ("203.0.113.9", 9)])
        counters = self.world.core.counters
        self.assertEqual(counters["refused_destination_own_service"], 1)
        self.assertGreaterEqual(counters["refused_destination_this_machine"], 5)

    def test_route(self) -> None:
        """A Route of hers leads there no more than a Request-URI does."""
        for host in ("127.0.0.9:6379;transport=tcp", "192.168.1.1", "192.0.2.77:2223"):
            self.assertEqual(self.ask("sip:x@203.0.113.9", ("route", f"<sip:{host};lr>")), 403, host)
        self.assertEqual(self.reached(), [])

    def test_contact(self) -> None:
        """A contact that leads there is refused, and one that a database brought in isn't sent to."""
        mallory = self.world.phone("mallory", host="198.51.100.8")
        for contact in ("sip:m@127.0.0.9:6379;transport=tcp", "sip:m@192.0.2.77:2223", "sip:m@192.0.2.1", f"sip:m@{DOMAIN}"):
            mallory.contact = contact
            self.assertEqual(mallory.register().status, 403, contact)
        self.world.core.registrar.contact_refusal = None
        mallory.contact = "sip:m@192.0.2.77:2223"
        self.assertEqual(mallory.register().status, 200)
        self.assertEqual(self.ask(mallory.aor), 403)
        self.assertNotIn(("192.0.2.77", 2223), self.reached())

    def test_behind_nat(self) -> None:
        """A phone is reached at the private address that it was seen at, whatever its contact says."""
        bob = self.world.phone("bob", host="192.168.1.50", contact="sip:bob@127.0.0.1:5070")
        bob.contact = "sip:bob@192.168.77.1"
        self.assertEqual(bob.register().status, 200)
        bob.take()
        self.ask(bob.aor)
        bob.got("MESSAGE")

    def test_neighbours(self) -> None:
        """Who is on loopback itself reaches others there, but nothing of the server's own."""
        here = self.world.phone("carol", host="127.0.0.5")
        here.register()
        self.assertEqual(self.ask("sip:x@127.0.0.9:5070", phone=here), 0)
        self.assertEqual(self.ask("sip:x@192.0.2.77:2223", phone=here), 403)
        dave = self.world.phone("dave", host="127.0.0.6")
        self.assertEqual(dave.register().status, 200)
        dave.take()
        self.ask(dave.aor)
        dave.got("MESSAGE")

    def test_outcome(self) -> None:
        """The line about the call names the rule; another phone that answered takes it back."""
        ended: list[Any] = []
        self.world.core.dialogs.on_change(lambda kind, call: ended.append((call.ended_by, call.rule)), "terminated")
        self.alice.send("INVITE", "sip:x@127.0.0.9:6379;transport=tcp")
        self.assertEqual(ended, [("server", "rule destination_this_machine")])

    def test_dialog(self) -> None:
        """Inside a dialog who named what it may not is reached where it was seen; one on loopback at what it named."""
        bob, here = self.world.phone("bob", host="127.0.0.6"), self.world.phone("carol", host="127.0.0.7")
        here.contact = "sip:carol@127.0.0.8:5070"
        here.register()
        bob.register()
        self.alice.contact = "sip:alice@127.0.0.9:6379"
        for phone in (bob, self.alice, here):
            phone.take()
        self.world.call(self.alice, bob).from_callee("INFO")
        self.alice.got("INFO")
        self.assertNotIn(("127.0.0.9", 6379), self.reached())
        self.world.call(here, bob).from_callee("INFO")
        self.assertIn(("127.0.0.8", 5070), self.reached())

    def test_bye(self) -> None:
        """When a browser vanishes its peer gets a BYE, but not at an address that only the peer's Contact names."""
        bob = self.world.phone("bob", "WS")
        bob.register()
        bob.take()
        self.alice.contact = "sip:alice@127.0.0.9:6379"
        self.world.call(self.alice, bob)
        self.alice.take()
        self.world.close(bob)
        self.world.advance(6)
        self.assertNotIn(("127.0.0.9", 6379), self.reached())
