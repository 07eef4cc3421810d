"""The guard can't be turned round: what is forged over UDP costs nobody else anything."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sipnode.defence.peers import PeerTable
from sipnode.testing import FakeFlow
from tests.defence.kit import HOSTILE, Stand, request

OFFICE = "198.51.100.7"
USER = "alice@example.test"


class ForgedTests(SynchronousTestCase):
    """Datagrams in the name of an office."""

    def setUp(self) -> None:
        self.stand = Stand()
        self.guard = self.stand.guard

    def prove(self, transport: str = "UDP", port: int = 5060, user: str = USER) -> FakeFlow:
        """A phone of the office signs in."""
        flow = FakeFlow(transport, (OFFICE, port), token="" if transport == "UDP" else "t")
        self.guard.right(OFFICE, user, flow)
        return flow

    def forge(self, count: int, data: bytes = b"X\r\n\r\n") -> None:
        """In its name, from another port than any phone's."""
        flow = FakeFlow("UDP", (OFFICE, 666))
        for _ in range(count):
            before = len(self.stand.sink.passed)
            self.stand.gate.received(data, flow)
            if data.startswith(b"X") and len(self.stand.sink.passed) > before:
                self.stand.misbehaved(flow)

    def answered(self, flow: FakeFlow, count: int = 20) -> int:
        """How many of its messages pass."""
        before = len(self.stand.sink.passed)
        for _ in range(count):
            self.stand.gate.received(request(), flow)
        return len(self.stand.sink.passed) - before

    def test_streams_of_a_stranger(self) -> None:
        """A scanner's name, garbage or a flood over UDP shut out UDP, and no connection from there, old or new."""
        for data in (request(agent="friendly-scanner"), b"X\r\n\r\n", request()):
            stand = self.stand = Stand()
            self.guard = stand.guard
            self.forge(20_000, data)
            self.assertEqual(stand.send(1, OFFICE), 0)
            self.assertEqual(stand.send(10, OFFICE, transport="TCP"), 10)
            self.assertFalse(stand.guard.refuses(OFFICE))

    def test_phones_of_an_office(self) -> None:
        """A phone that has signed in over UDP goes on being answered under a flood in the name of its office."""
        phone = self.prove()
        for data in (request(agent="friendly-scanner"), b"X\r\n\r\n", request()):
            self.forge(50_000, data)
            self.assertEqual(self.answered(phone), 20)
        self.assertEqual(len(self.guard.udp_bans), 0)

    def test_transactions_of_an_office(self) -> None:
        """So it does when the transactions that were begun in the name of its office are too many."""
        phone = self.prove()
        self.stand.held[f"UDP {OFFICE}"] = 5000
        self.assertEqual(self.stand.send(5, OFFICE, request("INVITE"), "TCP"), 5)
        self.assertEqual(self.answered(phone), 20)
        self.forge(5, request("INVITE"))
        self.assertEqual(self.guard.counts["dropped_transactions"], 5)

    def test_one_phone_has_a_share(self) -> None:
        """Who forges the port too has no more than that phone's share."""
        phone = self.prove()
        self.forge(50_000)
        self.assertLessEqual(self.answered(phone, 10_000), 2001)

    def test_proof_lifts(self) -> None:
        """A password over a connection lets the office's UDP in again, and forged datagrams never shut it out from then on."""
        self.forge(1, request(agent="friendly-scanner"))
        self.assertEqual(self.stand.send(1, OFFICE), 0)
        self.prove("TCP")
        self.assertEqual(self.stand.send(1, OFFICE), 1)
        self.forge(1, request(agent="friendly-scanner"))
        self.assertEqual(self.stand.send(1, OFFICE), 1)

    def test_an_operators_ban(self) -> None:
        """What an operator shuts out is shut out by every transport, and forged datagrams push nothing out of that list."""
        self.guard.ban(HOSTILE, "operator", 3600)
        for number in range(70_000):
            flow = FakeFlow("UDP", (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060))
            self.stand.gate.received(request(agent="friendly-scanner"), flow)
        self.assertEqual((self.stand.send(1), self.stand.send(1, transport="TCP")), (0, 0))
        self.assertTrue(self.guard.refuses(HOSTILE))

    def test_ipv6(self) -> None:
        """A /64 is one source by every transport."""
        self.guard.ban("2001:db8:0:1::1", "operator")
        for transport in ("UDP", "TCP"):
            self.assertEqual(self.stand.send(1, "2001:db8:0:1:ffff::9", transport=transport), 0)
            self.assertEqual(self.stand.send(1, "2001:db8:0:2::1", transport=transport), 1)
        flows = [FakeFlow(transport, ("2001:db8:0:5::1", 5060)) for transport in ("UDP", "TCP")]
        self.assertEqual([self.guard.place_of(flow) for flow in flows], ["UDP 2001:db8:0:5::/64", "2001:db8:0:5::/64"])
        self.assertTrue(self.guard.unban("2001:db8:0:1::/64"))
        self.assertEqual(self.stand.send(1, "2001:db8:0:1:ffff::9"), 1)


class PasswordTests(SynchronousTestCase):
    """Wrong ones."""

    def setUp(self) -> None:
        self.stand = Stand()
        self.guard = self.stand.guard

    def test_one_limit(self) -> None:
        """By whichever door they come, and then no password from there is looked at any more, not even a right one."""
        for _ in range(10):
            self.guard.wrong(HOSTILE, USER)
        self.assertTrue(self.guard.refuses_password(HOSTILE, USER))
        self.assertTrue(self.guard.refuses_password(HOSTILE, "bob@example.test"))
        self.assertFalse(self.guard.refuses_password(OFFICE, USER))

    def test_the_user_herself(self) -> None:
        """Guesses at a colleague bar her at new places behind that address, not where she has signed in already."""
        flow = FakeFlow("UDP", (OFFICE, 5061))
        self.guard.right(OFFICE, USER, flow)
        for _ in range(10):
            self.guard.wrong(OFFICE, USER)
        self.assertTrue(self.guard.is_barred(OFFICE, USER, FakeFlow("UDP", (OFFICE, 5062))))
        self.assertFalse(self.guard.is_barred(OFFICE, USER, flow))
        signed_in = FakeFlow("TCP", (OFFICE, 5062), token="t", signed_in=USER)
        self.assertFalse(self.guard.is_barred(OFFICE, USER, signed_in))


class SpendTests(SynchronousTestCase):
    """What is no message."""

    def test_share(self) -> None:
        """It comes out of the same bucket as messages of that transport, and a flood of it shuts a stranger out."""
        stand = Stand(rate=10.0, burst=50.0, flood_messages=100)
        self.assertEqual(sum(stand.guard.spend(HOSTILE, True, 1.0, "http") for _ in range(60)), 50)
        self.assertEqual((stand.send(1, transport="TCP"), stand.send(1)), (0, 1))
        for _ in range(100):
            stand.guard.spend(HOSTILE, True, 1.0, "frames")
        self.assertTrue(stand.guard.refuses(HOSTILE))
        self.assertFalse(stand.guard.spend(HOSTILE, True, 1.0, "http"))
        self.assertTrue(stand.guard.spend("127.0.0.1", True, 1e9, "http"))

    def test_silent_connections(self) -> None:
        """Connections that end without a word cost their source, which then finds none for a while, and is shut out if it goes on."""
        stand = Stand(rate=10.0, burst=100.0, flood_messages=50)
        for _ in range(21):
            stand.guard.hung_up(HOSTILE)
        self.assertTrue(stand.guard.refuses(HOSTILE))
        stand.clock.advance(2)
        self.assertFalse(stand.guard.refuses(HOSTILE))
        for _ in range(100):
            stand.guard.hung_up(HOSTILE)
        self.assertEqual([ban.reason for ban in stand.guard.bans.list(stand.clock.seconds())], ["flood"])
        self.assertGreater(stand.guard.counts["dropped_handshakes"], 50)

    def test_stun(self) -> None:
        """STUN questions in another's name draw fewer answers than messages would, and touch no connection."""
        stand = Stand(rate=10.0, burst=100.0)
        self.assertEqual(sum(stand.guard.spend(OFFICE, False, 4.0, "stun") for _ in range(5000)), 25)
        self.assertEqual(stand.send(1, OFFICE, transport="TCP"), 1)
        self.assertTrue(all(ban.datagrams for ban in stand.guard.udp_bans.list(stand.clock.seconds())))

    def test_rest(self) -> None:
        """A connection whose source is over its limit isn't read from for a moment."""
        stand = Stand(rate=1.0, burst=10.0, flood_messages=0)
        flow = stand.flow(transport="TCP")
        for _ in range(10):
            stand.gate.received(request(), flow)
        self.assertEqual(flow.rested, 0.0)
        stand.gate.received(request(), flow)
        self.assertGreater(flow.rested, 0.0)


class PeerTests(SynchronousTestCase):
    """Pairs of address and port."""

    def test_bounded(self) -> None:
        """The longest unproved are forgotten, who proves itself again stays."""
        table = PeerTable(100, 1.0, 10.0)
        table.proved((OFFICE, 1), USER, 0.0, 60.0)
        for number in range(2, 5000):
            table.proved((OFFICE, number), USER, 0.0, 60.0)
            if number % 50 == 0:
                table.proved((OFFICE, 1), USER, 0.0, 60.0)
        self.assertEqual((len(table), table.take((OFFICE, 1), 1.0), table.take((OFFICE, 2), 1.0)), (100, True, False))
        self.assertEqual((table.user((OFFICE, 1), 59.0), table.user((OFFICE, 1), 61.0), table.take((OFFICE, 1), 61.0)), (USER, "", False))
