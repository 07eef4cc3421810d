"""The gate before the dispatcher: what passes, what doesn't, and what is answered."""

from __future__ import annotations

import random
import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from sipnode.sip.message import SipResponse
from sipnode.sip.parser import parse_message
from tests.defence.kit import HOSTILE, Stand, request

OFFICE = "198.51.100.7"


class RateTests(SynchronousTestCase):
    """Too much of one source."""

    def test_limit(self) -> None:
        """Its burst passes, then its rate; what is over is dropped unanswered; others feel nothing."""
        stand = Stand(rate=10.0, burst=50.0, flood_messages=0)
        self.assertEqual(stand.send(200), 50)
        stand.clock.advance(2)
        self.assertEqual(stand.send(200), 20)
        self.assertEqual(stand.send(50, OFFICE), 50)
        self.assertEqual(stand.guard.counts["dropped_rate"], 330)

    def test_flood(self) -> None:
        """Who goes on over its limit is shut out, over UDP from UDP alone; after the ban it begins anew."""
        stand = Stand(rate=10.0, burst=50.0, flood_messages=100)
        self.assertEqual(stand.send(1000), 50)
        (ban,) = stand.guard.udp_bans.list(stand.clock.seconds())
        self.assertEqual((ban.key, ban.reason, ban.datagrams), (HOSTILE, "flood", True))
        self.assertEqual(stand.send(10, transport="TCP"), 10)
        stand.clock.advance(599)
        self.assertEqual(stand.send(10), 0)
        stand.clock.advance(2)
        self.assertEqual(stand.send(10), 10)

    def test_now_and_then(self) -> None:
        """Who is a little over its limit now and then is never shut out."""
        stand = Stand(rate=10.0, burst=50.0, flood_messages=100)
        for _ in range(100):
            stand.send(60)
            stand.clock.advance(10)
        self.assertEqual(len(stand.guard.bans), 0)

    def test_defaults_and_an_office(self) -> None:
        """By default a thousand phones behind one address may all come back at once: REGISTER, challenge, REGISTER."""
        stand = Stand()
        passed = 0
        for _ in range(1000):
            passed += stand.send(1, OFFICE, request("REGISTER"))
            stand.guard.right(OFFICE, "u@example.test")
            passed += stand.send(1, OFFICE, request("REGISTER"))
        self.assertEqual((passed, len(stand.guard.bans)), (2000, 0))

    def test_in_the_name_of_an_office(self) -> None:
        """Datagrams that bear the address of an office can take its share away for the moment, but not shut it out."""
        stand = Stand()
        stand.guard.right(OFFICE, "u@example.test")
        stand.send(100_000, OFFICE)
        stand.send(1, OFFICE, request(agent="friendly-scanner"))
        self.assertEqual(len(stand.guard.bans), 0)
        stand.clock.advance(1)
        self.assertEqual(stand.send(100, OFFICE), 100)

    def test_proof_ends(self) -> None:
        """A password counts for an hour; then its source is a stranger again."""
        stand = Stand(rate=10.0, burst=50.0, flood_messages=100)
        stand.guard.right(OFFICE, "u@example.test")
        self.assertEqual(stand.send(2000, OFFICE), 500)
        stand.clock.advance(3601)
        stand.send(2000, OFFICE)
        self.assertEqual(len(stand.guard.udp_bans), 1)

    def test_trusted(self) -> None:
        """Nothing is counted of loopback."""
        stand = Stand(rate=1.0, burst=10.0)
        self.assertEqual(stand.send(5000, "127.0.0.1", request(agent="friendly-scanner")), 5000)

    def test_broken(self) -> None:
        """What can't be read counts tenfold."""
        stand = Stand(rate=10.0, burst=100.0, flood_messages=0)
        flow = stand.flow()
        for _ in range(100):
            before = len(stand.sink.passed)
            stand.gate.received(b"garbage", flow)
            if len(stand.sink.passed) > before:
                stand.misbehaved(flow)
        self.assertLess(len(stand.sink.passed), 12)


class StreamTests(SynchronousTestCase):
    """Over a connection there is somebody to answer."""

    def test_503(self) -> None:
        """What is over the limit gets 503 with Retry-After, an ACK or a response nothing; and not for ever."""
        stand = Stand(rate=1.0, burst=10.0, flood_messages=0)
        flow = stand.flow(transport="TCP")
        for number in range(12):
            stand.gate.received(request("INVITE", call_id=f"c{number}"), flow)
        answers = [parse_message(data) for data in flow.sent]
        self.assertEqual([(each.status, each.get("retry-after")) for each in answers if isinstance(each, SipResponse)], [(503, "10")] * 2)
        flow.sent.clear()
        for data in (request("ACK"), b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP x\r\n\r\n", b"\x00\x01"):
            stand.gate.received(data, flow)
        self.assertEqual(flow.sent, [])
        for _ in range(500):
            stand.gate.received(request("INVITE"), flow)
        self.assertLess(len(flow.sent), 60)

    def test_closed(self) -> None:
        """A connection of a source that is shut out closes at its next message."""
        stand = Stand()
        flow = stand.flow(transport="WS")
        stand.gate.received(request(), flow)
        stand.guard.ban(HOSTILE, "operator")
        stand.gate.received(request(), flow)
        self.assertTrue(flow.closed)
        self.assertEqual(len(stand.sink.passed), 1)

    def test_news_pass(self) -> None:
        """Opened, closed and broken are told on, a broken stream of who is shut out isn't."""
        stand = Stand()
        flow = stand.flow(transport="TCP")
        stand.gate.opened(flow)
        stand.gate.broken(b"x", flow, ValueError())
        stand.guard.ban(HOSTILE, "operator")
        stand.gate.broken(b"x", flow, ValueError())
        stand.gate.closed(flow, "gone")
        self.assertEqual(stand.sink.told, ["opened", "broken", "gone"])


class ScannerTests(SynchronousTestCase):
    """Programs that look for servers."""

    def test_first_message(self) -> None:
        """Shut out at its first message, which isn't answered, with whatever name it has later."""
        stand = Stand()
        self.assertEqual(stand.send(1, data=request(agent="friendly-scanner")), 0)
        self.assertEqual(stand.send(5), 0)
        self.assertEqual(stand.guard.udp_bans.list(stand.clock.seconds())[0].reason, "scanner friendly-scanner")


class TransactionTests(SynchronousTestCase):
    """Live transactions of a source."""

    def test_cap(self) -> None:
        """Who has too many begins no more; what belongs to the ones that live passes."""
        stand = Stand(transactions_per_source=10)
        stand.held[f"UDP {HOSTILE}"] = 10
        self.assertEqual(
            [stand.send(1, data=request(method)) for method in ("INVITE", "REGISTER", "ACK", "CANCEL", "BYE")], [0, 0, 1, 1, 1]
        )
        stand.held[f"UDP {HOSTILE}"] = 9
        self.assertEqual(stand.send(1, data=request("INVITE")), 1)


class HostileTests(SynchronousTestCase):
    """Whatever comes."""

    def test_any_octets(self) -> None:
        """Octets at random raise nothing, over both kinds of transport, within and over the limits."""
        stand = Stand(rate=1.0, burst=10.0, flood_messages=0)
        chance = random.Random(4)
        for transport in ("UDP", "TCP"):
            flow = stand.flow(transport=transport)
            for _ in range(500):
                data = bytearray(request())
                for _ in range(chance.randrange(1, 30)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                stand.gate.received(bytes(data), flow)
        self.assertGreater(stand.guard.counts["dropped_rate"], 900)

    def test_memory(self) -> None:
        """A million addresses take no more room than ten thousand."""
        stand = Stand(sources=1000)

        def flood(first: int, count: int) -> None:
            for number in range(first, first + count):
                flow = stand.flow(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
                stand.gate.received(request(agent="friendly-scanner"), flow)
            stand.sink.passed.clear()

        flood(0, 5000)
        tracemalloc.start()
        try:
            flood(5000, 5000)
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertLessEqual(len(stand.guard.sources), 2000)
        self.assertLessEqual(len(stand.guard.bans), 1000)
        self.assertLess(grown, 2_000_000)
