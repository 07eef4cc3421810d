"""Promises of ``sipnode.transport.resolver`` and ``sipnode.transport.dnscache``."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipnode.errors import NoRoute
from sipnode.interfaces import IResolver
from sipnode.records import Hop
from sipnode.transport.dnscache import MAX_ANSWERS, A, DnsCache
from sipnode.transport.resolver import Resolver


class FakeDns:
    """A zone; names that aren't in it don't exist. ``slow`` names are answered by hand."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[dns.RRHeader]] = {}
        self.asked: list[tuple[str, str]] = []
        self.slow: dict[str, list[Deferred[Any]]] = {}
        self.broken: set[str] = set()

    def add(self, kind: str, name: str, payload: Any, ttl: int = 300) -> None:
        header = dns.RRHeader(name.encode(), payload.TYPE, ttl=ttl, payload=payload)
        self.zone.setdefault((kind, name), []).append(header)

    def a(self, name: str, *addresses: str, ttl: int = 300) -> None:
        for address in addresses:
            if ":" in address:
                self.add("lookupIPV6Address", name, dns.Record_AAAA(address), ttl)
            else:
                self.add("lookupAddress", name, dns.Record_A(address), ttl)

    def srv(self, name: str, target: str, port: int, priority: int = 0, weight: int = 0, ttl: int = 300) -> None:
        self.add("lookupService", name, dns.Record_SRV(priority, weight, port, target.encode()), ttl)

    def naptr(self, name: str, order: int, preference: int, service: str, replacement: str, flags: str = "s") -> None:
        payload = dns.Record_NAPTR(order, preference, flags.encode(), service.encode(), b"", replacement.encode())
        self.add("lookupNamingAuthorityPointer", name, payload)

    def _answer(self, kind: str, name: str) -> Deferred[Any]:
        self.asked.append((kind, name))
        if name in self.slow:
            waiting: Deferred[Any] = Deferred()
            self.slow[name].append(waiting)
            return waiting
        if name in self.broken:
            return fail(DNSServerError())
        if not any(known == name for _, known in self.zone):
            return fail(DNSNameError())
        return succeed((self.zone.get((kind, name), []), [], []))

    def lookupAddress(self, name: str, timeout: Any = None) -> Deferred[Any]:
        return self._answer("lookupAddress", name)

    def lookupIPV6Address(self, name: str, timeout: Any = None) -> Deferred[Any]:
        return self._answer("lookupIPV6Address", name)

    def lookupService(self, name: str, timeout: Any = None) -> Deferred[Any]:
        return self._answer("lookupService", name)

    def lookupNamingAuthorityPointer(self, name: str, timeout: Any = None) -> Deferred[Any]:
        return self._answer("lookupNamingAuthorityPointer", name)


class ResolverTests(SynchronousTestCase):
    """RFC 3263 against a zone in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dns = FakeDns()
        self.resolver = self.make()
        verifyObject(IResolver, self.resolver)

    def make(self, **settings: Any) -> Resolver:
        settings = {"families": (socket.AF_INET, socket.AF_INET6), "hosts_file": "", "random_below": lambda below: 0} | settings
        return Resolver(self.clock, self.dns, **settings)

    def hops(self, host: str, port: int = 0, transport: str = "", secure: bool = False) -> list[tuple[str, str, int]]:
        found = self.successResultOf(self.resolver.resolve(host, port, transport, secure))
        return [(hop.transport, hop.host, hop.port) for hop in found]

    def refused(self, *question: Any) -> NoRoute:
        error: NoRoute = self.failureResultOf(self.resolver.resolve(*question), NoRoute).value
        return error

    def test_literals(self) -> None:
        """An IP literal is a hop at once, with the defaults of RFC 3263 §4.1 and §4.2."""
        for question, answer in (
            (("192.0.2.1", 0, "", False), ("UDP", "192.0.2.1", 5060)),
            (("192.0.2.1", 5070, "tcp", False), ("TCP", "192.0.2.1", 5070)),
            (("192.0.2.1", 0, "", True), ("TLS", "192.0.2.1", 5061)),
            (("192.0.2.1", 0, "tcp", True), ("TLS", "192.0.2.1", 5061)),
            (("192.0.2.1", 0, "TLS", False), ("TLS", "192.0.2.1", 5061)),
            (("[2001:db8::1]", 0, "udp", False), ("UDP", "2001:db8::1", 5060)),
            (("2001:db8::1", 0, "", False), ("UDP", "2001:db8::1", 5060)),
            (("192.0.2.1", 0, "ws", False), ("WS", "192.0.2.1", 80)),
            (("192.0.2.1", 0, "ws", True), ("WSS", "192.0.2.1", 443)),
            (("192.0.2.1", 0, "sctp", False), ("UDP", "192.0.2.1", 5060)),
        ):
            hop, = self.resolver.numeric(*question) or []
            self.assertEqual((hop.transport, hop.host, hop.port), answer)
            self.assertEqual(self.hops(*question), [answer])
        self.assertIsNone(self.resolver.numeric("example.com", 0, "", False))
        self.assertEqual(self.dns.asked, [])

    def test_many(self) -> None:
        """Of a zone with hundreds of records only so many addresses are tried, of more than one host."""
        for host in ("one", "two", "three"):
            self.dns.srv("_sip._udp.example.com", f"{host}.example.com", 5060)
            self.dns.a(f"{host}.example.com", *(f"192.0.2.{number}" for number in range(1, 250)))
        hops = self.hops("example.com", 0, "udp")
        self.assertEqual((len(hops), len(set(hops))), (16, 8))

    def test_port(self) -> None:
        """A port means addresses only (RFC 3263 §4.2)."""
        self.dns.a("example.com", "192.0.2.1", "2001:db8::1")
        self.assertEqual(self.hops("Example.COM.", 5070), [("UDP", "192.0.2.1", 5070), ("UDP", "2001:db8::1", 5070)])
        self.assertEqual({kind for kind, _ in self.dns.asked}, {"lookupAddress", "lookupIPV6Address"})

    def test_transport(self) -> None:
        """A transport means the SRV records of that transport, or addresses where there are none."""
        self.dns.srv("_sip._tcp.example.com", "a.example.com", 5080)
        self.dns.a("a.example.com", "192.0.2.7")
        self.dns.a("example.com", "192.0.2.1")
        self.assertEqual(self.hops("example.com", 0, "tcp"), [("TCP", "192.0.2.7", 5080)])
        self.assertEqual(self.hops("example.com", 0, "udp"), [("UDP", "192.0.2.1", 5060)])

    def test_naptr(self) -> None:
        """NAPTR records choose the transports by order and preference; what we don't speak is passed over."""
        self.dns.naptr("example.com", 20, 0, "SIP+D2U", "_sip._udp.example.com")
        self.dns.naptr("example.com", 10, 5, "SIP+D2T", "_sip._tcp.example.com")
        self.dns.naptr("example.com", 10, 1, "SIP+D2W", "_sip._ws.example.com")
        self.dns.naptr("example.com", 1, 1, "E2U+sip", "x.example.com", flags="u")
        for transport in ("udp", "tcp"):
            self.dns.srv(f"_sip._{transport}.example.com", f"{transport}.example.com", 5060)
            self.dns.a(f"{transport}.example.com", "192.0.2.1")
        self.assertEqual(self.hops("example.com"), [("TCP", "192.0.2.1", 5060), ("UDP", "192.0.2.1", 5060)])
        self.assertNotIn(("lookupService", "_sip._ws.example.com"), self.dns.asked)

    def test_srv_without_naptr(self) -> None:
        """Without NAPTR each transport is asked for, TLS before TCP before UDP, and the priorities within."""
        self.dns.srv("_sip._udp.example.com", "u.example.com", 5060)
        self.dns.srv("_sip._tcp.example.com", "b.example.com", 5060, priority=2)
        self.dns.srv("_sip._tcp.example.com", "a.example.com", 5060, priority=1)
        self.dns.srv("_sips._tcp.example.com", "s.example.com", 5061)
        for index, name in enumerate("uabs"):
            self.dns.a(f"{name}.example.com", f"192.0.2.{index}")
        self.assertEqual(
            self.hops("example.com"),
            [("TLS", "192.0.2.3", 5061), ("TCP", "192.0.2.1", 5060), ("TCP", "192.0.2.2", 5060), ("UDP", "192.0.2.0", 5060)],
        )
        self.assertEqual(self.hops("example.com", secure=True), [("TLS", "192.0.2.3", 5061)])

    def test_server_name(self) -> None:
        """A certificate is checked for the domain that was asked for, not for the SRV target (RFC 5922 §7.1)."""
        self.dns.srv("_sips._tcp.example.com", "host.provider.example", 5061)
        self.dns.a("host.provider.example", "192.0.2.3")
        found = self.successResultOf(self.resolver.resolve("example.com", 0, "", True))
        self.assertEqual(found, [Hop("TLS", "192.0.2.3", 5061, "example.com")])

    def test_addresses_alone(self) -> None:
        """Without any records for SIP the addresses get the default port."""
        self.dns.a("example.com", "192.0.2.1")
        self.assertEqual(self.hops("example.com"), [("UDP", "192.0.2.1", 5060)])
        self.assertEqual(self.hops("example.com", secure=True), [("TLS", "192.0.2.1", 5061)])

    def test_service_not_there(self) -> None:
        """An SRV target of '.' is no target (RFC 2782)."""
        self.dns.srv("_sip._tcp.example.com", ".", 0)
        self.assertIn("no address", str(self.refused("example.com", 0, "tcp", False)))

    def test_families(self) -> None:
        """Only families that there are sockets for are asked for, in their order."""
        self.dns.a("example.com", "192.0.2.1", "2001:db8::1")
        self.resolver = self.make(families=(socket.AF_INET6,))
        self.assertEqual(self.hops("example.com", 1), [("UDP", "2001:db8::1", 1)])
        self.resolver = self.make(families=(socket.AF_INET6, socket.AF_INET))
        self.assertEqual(self.hops("example.com", 1), [("UDP", "2001:db8::1", 1), ("UDP", "192.0.2.1", 1)])

    def test_never_resolved(self) -> None:
        """.invalid, WebSocket hosts and nonsense are refused without a question."""
        for question, status in (
            (("df7jal23ls0d.invalid", 0, "ws", False), 480),
            (("df7jal23ls0d.invalid", 0, "", False), 480),
            (("invalid", 5060, "", False), 480),
            (("example.com", 0, "ws", False), 480),
            (("a b", 0, "", False), 400),
            (("", 0, "", False), 400),
            (("x" * 64 + ".example", 0, "", False), 400),
            (("exämple.com", 0, "", False), 400),
        ):
            self.assertEqual(self.refused(*question).status, status, question)
        self.assertEqual(self.dns.asked, [])

    def test_unknown(self) -> None:
        """A name that isn't there is no route, and isn't asked for again for a minute."""
        self.refused("nowhere.example", 5060, "", False)
        asked = len(self.dns.asked)
        self.clock.advance(59)
        self.refused("nowhere.example", 5060, "", False)
        self.assertEqual(len(self.dns.asked), asked)
        self.clock.advance(2)
        self.refused("nowhere.example", 5060, "", False)
        self.assertGreater(len(self.dns.asked), asked)

    def test_server_fault(self) -> None:
        """A server that fails is asked again after a few seconds."""
        self.dns.broken.add("example.com")
        self.refused("example.com", 5060, "", False)
        self.dns.broken.clear()
        self.dns.a("example.com", "192.0.2.1")
        self.refused("example.com", 5060, "", False)
        self.clock.advance(6)
        self.assertEqual(self.hops("example.com", 5060), [("UDP", "192.0.2.1", 5060)])

    def test_ttl(self) -> None:
        """Answers are kept for their TTL, at least 5 seconds and at most an hour."""
        for name, ttl, kept in (("a.example", 300, 300), ("b.example", 0, 5), ("c.example", 100000, 3600)):
            self.dns.a(name, "192.0.2.1", ttl=ttl)
            self.dns.a(name, "2001:db8::1", ttl=ttl)
            self.hops(name, 1)
            asked = len(self.dns.asked)
            self.clock.advance(kept - 1)
            self.hops(name, 1)
            self.assertEqual(len(self.dns.asked), asked, name)
            self.clock.advance(2)
            self.hops(name, 1)
            self.assertGreater(len(self.dns.asked), asked, name)

    def test_one_question(self) -> None:
        """All who wait for one name share one question."""
        self.dns.slow["example.com"] = []
        waiting = [self.resolver.resolve("example.com", 1, "", False) for _ in range(5)]
        self.assertEqual(len(self.dns.asked), 2)
        for question in self.dns.slow["example.com"]:
            question.callback(([], [], []))
        for each in waiting:
            self.failureResultOf(each, NoRoute)

    def test_total_limit(self) -> None:
        """Nobody waits longer than five seconds, and a late answer still serves the next."""
        self.dns.slow["example.com"] = []
        waiting = self.resolver.resolve("example.com", 1, "", False)
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.assertIn("in time", str(self.failureResultOf(waiting, NoRoute).value))
        header = dns.RRHeader(b"example.com", dns.A, ttl=60, payload=dns.Record_A("192.0.2.1"))
        for question in self.dns.slow["example.com"]:
            question.callback(([header], [], []))
        self.assertEqual(self.hops("example.com", 1), [("UDP", "192.0.2.1", 1)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_resting(self) -> None:
        """A target that failed is tried last for a while."""
        self.dns.a("example.com", "192.0.2.1", "192.0.2.2")
        self.resolver.failed(Hop("UDP", "192.0.2.1", 1))
        self.assertEqual([hop[1] for hop in self.hops("example.com", 1)], ["192.0.2.2", "192.0.2.1"])
        self.assertEqual([hop[1] for hop in self.hops("example.com", 2)], ["192.0.2.1", "192.0.2.2"])
        self.clock.advance(31)
        self.assertEqual([hop[1] for hop in self.hops("example.com", 1)], ["192.0.2.1", "192.0.2.2"])

    def test_resting_is_bounded(self) -> None:
        """Whoever names many dead hosts makes no table grow."""
        for number in range(5000):
            self.resolver.failed(Hop("UDP", f"192.0.{number // 256}.{number % 256}", 1))
        self.assertLess(len(self.resolver._resting), 1100)

    def test_hosts_file(self) -> None:
        """The hosts file comes before the DNS, and localhost is never a question."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("192.0.2.44 Gateway gw  # comment\n2001:db8::44 gateway\n")
        self.resolver = self.make(hosts_file=os.path.abspath(path))
        self.assertEqual(self.hops("gateway", 1), [("UDP", "192.0.2.44", 1), ("UDP", "2001:db8::44", 1)])
        self.assertEqual(self.hops("localhost", 1), [("UDP", "127.0.0.1", 1), ("UDP", "::1", 1)])
        self.assertEqual(self.dns.asked, [])


class DnsCacheTests(SynchronousTestCase):
    """What is remembered."""

    def test_bounded(self) -> None:
        """However many names are asked for, the number of answers kept is bounded."""
        cache = DnsCache(FakeDns(), Clock())
        for number in range(MAX_ANSWERS + 500):
            self.assertEqual(self.successResultOf(cache.lookup(A, f"{number}.example")), [])
        self.assertLessEqual(len(cache._answers), MAX_ANSWERS)

    def test_fault_of_the_client(self) -> None:
        """Any failure of the client is no answer, and no unhandled error."""
        client = FakeDns()
        client.slow["a.example"] = []
        waiting = DnsCache(client, Clock()).lookup(A, "a.example")
        client.slow["a.example"][0].errback(Failure(OSError("no socket")))
        self.assertEqual(self.successResultOf(waiting), [])
