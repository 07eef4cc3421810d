"""``dns-*``: calls to domains by a name server of the test's own, over UDP and TCP. The log has the seconds of a set-up."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns, server
from twisted.names.error import DNSNameError
from twisted.python import log
from twisted.trial.unittest import TestCase

from sipnode.settings import ProxySettings
from sipnode.sip.message import SipResponse

from .support.phone import Phone
from .support.site import Site, missing
from .test_trunk import PhoneSite

reactor: Any = _reactor
NAMES = "127.0.53.53"
"""Where no resolver of a system listens."""
DEAD, REFUSING = "127.0.0.8", "127.0.0.7"
_TYPES = {dns.A: "A", dns.AAAA: "AAAA", dns.SRV: "SRV", dns.NAPTR: "NAPTR", dns.CNAME: "CNAME"}
_LIMIT = ProxySettings(destinations=("interfaces", "127.0.0.0/8"))


def _missing() -> str | None:
    """Why these can't run here, or None; with CI set they run and fail."""
    if os.environ.get("CI"):
        return None
    if os.geteuid():
        return "root alone listens on port 53, and gives a process another resolv.conf"
    return missing("rtpengine") or (None if shutil.which("unshare") else "not installed: unshare")


class Zone:
    """Names of the test; a name that isn't there doesn't exist, and a silent one gets no answer.

    Attributes:
        asked: Every question, ``NAME TYPE``.
    """

    def __init__(self, case: TestCase) -> None:
        self.records: dict[str, list[dns.RRHeader]] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        factory = server.DNSServerFactory(clients=[self])
        datagrams = reactor.listenUDP(53, dns.DNSDatagramProtocol(factory), interface=NAMES)
        streams = reactor.listenTCP(53, factory, interface=NAMES)
        case.addCleanup(datagrams.stopListening)
        case.addCleanup(streams.stopListening)

    def add(self, name: str, *payloads: Any) -> None:
        """Records of one name."""
        made = [dns.RRHeader(name.encode(), payload.TYPE, ttl=60, payload=payload) for payload in payloads]
        self.records.setdefault(name, []).extend(made)

    def service(self, domain: str, *targets: tuple[int, str, int]) -> None:
        """SRV for UDP: priority, host and port of each."""
        self.add(f"_sip._udp.{domain}", *(dns.Record_SRV(priority, 0, port, host.encode()) for priority, host, port in targets))

    def query(self, query: dns.Query, timeout: Any = None) -> Deferred[Any]:
        """As a resolver of twisted.names."""
        name = query.name.name.decode().lower()
        self.asked.append(f"{name} {_TYPES.get(query.type, query.type)}")
        if name in self.silent:
            return Deferred()
        if name not in self.records:
            return fail(DNSNameError())
        return succeed(([record for record in self.records[name] if record.type in (query.type, dns.CNAME)], [], []))


class Deaf(DatagramProtocol):
    """A host that is there and says nothing."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append(datagram)


class DnsTests(TestCase):
    """A user of ours calls somebody of another domain."""

    timeout = 120
    skip = _missing()

    async def scene(self) -> tuple[Zone, Site, Phone, Phone]:
        """A name server, a site that asks it, a user of the site, and a phone of another domain that answers whoever calls."""
        zone = Zone(self)
        resolv = Path(self.mktemp()).absolute()
        resolv.write_text(f"nameserver {NAMES}\noptions timeout:1 attempts:2\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        site = await PhoneSite(self, proxy=_LIMIT, start=("unshare", "-m", "sh", "-c", script, str(resolv))).start()
        outside = Phone(self, "dave", "", "away.test", (site.host, site.sip), 900)
        return zone, site, await site.registered("alice", 500), outside

    async def call(self, alice: Phone, domain: str) -> SipResponse:
        """Call dave there; the call is over when it is up."""
        began = reactor.seconds()
        call = alice.dial(f"sip:dave@{domain}")
        answer = await call.outcome
        log.msg(f"{self.id()}: {domain}: {answer.status} after {reactor.seconds() - began:.2f} s")
        if answer.status == 200:
            await call.hears(900)
            await call.hang_up()
        return answer

    async def test_first_host_dead(self) -> None:
        """dns-failover: the first host of an SRV says nothing, or there is none: the second takes the call, and the next one at once."""
        zone, _site, alice, dave = await self.scene()
        deaf = Deaf()
        wire = reactor.listenUDP(0, deaf, interface=DEAD)
        self.addCleanup(wire.stopListening)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((REFUSING, 0))
            closed: int = probe.getsockname()[1]
        zone.add("dead.test", dns.Record_A(DEAD))
        zone.add("closed.test", dns.Record_A(REFUSING))
        zone.add("live.away.test", dns.Record_A("127.0.0.1"))
        zone.service("silent.away.test", (1, "dead.test", wire.getHost().port), (2, "live.away.test", dave.port))
        zone.service("closed.away.test", (1, "closed.test", closed), (2, "live.away.test", dave.port))
        slow, quick = alice.dial("sip:dave@silent.away.test"), alice.dial("sip:dave@closed.away.test")
        self.assertEqual((await quick.outcome).status, 200)
        self.assertFalse(slow.outcome.called, "a port where nobody listens is known from the kernel, a silent one takes its time")
        self.assertEqual((await slow.outcome).status, 200)
        await slow.hang_up()
        await quick.hang_up()
        for domain in ("silent.away.test", "closed.away.test"):
            self.assertEqual((await self.call(alice, domain)).status, 200, domain)
        branches = {line for datagram in deaf.heard for line in datagram.split(b"\r\n") if line.startswith(b"Via: ") and b"sealed" in line}
        self.assertEqual(len(branches), 1, "one call tried it, and the next one let it rest")
        self.assertEqual(zone.asked.count("_sip._udp.silent.away.test SRV"), 1, "its records are kept as long as they say")

    async def test_silent_names(self) -> None:
        """dns-silent: a name server that says nothing costs its own call 503 with words, and nobody else anything."""
        zone, site, alice, _dave = await self.scene()
        zone.silent.update(f"{before}mute.test" for before in ("", "_sip._udp.", "_sip._tcp.", "_sips._tcp."))
        bob = await site.registered("bob", 700)
        slow = alice.dial("sip:dave@mute.test")
        call = bob.dial(alice.aor)
        self.assertEqual((await call.outcome).status, 200)
        await call.hears(500)
        self.assertFalse(slow.outcome.called)
        self.assertEqual((await bob.register()).status, 200)
        await call.hang_up()
        answer = await slow.outcome
        self.assertEqual(answer.status, 503)
        self.assertIn("DNS", answer.start_line)

    async def test_hostile_zones(self) -> None:
        """dns-hostile: no such name, a circle of CNAMEs, SRV that points at itself, 500 records, addresses within: each has its status,
        and in the end the server is as it was.
        """
        zone, _site, alice, dave = await self.scene()
        zone.add("circle.test", dns.Record_CNAME(b"back.circle.test"))
        zone.add("back.circle.test", dns.Record_CNAME(b"circle.test"))
        zone.service("itself.test", (1, "_sip._udp.itself.test", 5060))
        zone.service("many.test", *((number, f"h{number}.many.test", 5060) for number in range(500)))
        zone.add("within.test", dns.Record_A("10.1.2.3"))
        zone.add("crowd.test", *(dns.Record_A(f"10.9.{number // 250}.{number % 250 + 1}") for number in range(500)))
        zone.add("root.test", dns.Record_SRV(0, 0, 0, b"."))
        zone.add("good.test", dns.Record_A("127.0.0.1"))
        zone.service("good.test", (1, "good.test", dave.port))
        for domain in ("nobody.test", "circle.test", "itself.test", "many.test", "within.test", "crowd.test", "root.test"):
            status = (await self.call(alice, domain)).status
            self.assertIn(status, (403, 404, 478, 480, 500, 502, 503, 604), domain)
        self.assertEqual((await self.call(alice, "good.test")).status, 200)
