"""From the host of a URI to addresses to try.

Implements: RFC 3263 §4 (client usage), RFC 2782, RFC 7984 (both address families), RFC 6761 §6.4 (``.invalid``). Invariant:
no look-up waits longer than :data:`TOTAL_SECONDS`, and an IP literal never waits.
"""

from __future__ import annotations

import random
import re
import socket
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, ensureDeferred, fail, gatherResults, succeed
from twisted.names import client
from twisted.names.hosts import searchFileForAll
from twisted.python.filepath import FilePath

from sipnode.base import flows as base
from sipnode.base.flow import WEBSOCKET
from sipnode.errors import NoRoute
from sipnode.records import Hop
from sipnode.transport import dnscache
from sipnode.transport.dnscache import DnsCache
from sipnode.transport.listen import family_of
from sipnode.transport.srv import Target, srv_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.python.failure import Failure

TOTAL_SECONDS: Final = 5.0
_MAX_LITERALS: Final = 16384
_MAX_TARGETS: Final = 16
_MAX_ADDRESSES: Final = 8
# Each may cost its seconds; a zone with hundreds of addresses is nobody's who wants to be reached.
_MAX_HOPS: Final = 16

# NAPTR services (RFC 3263 §4.1); those of WebSocket (RFC 7118) are for clients, we never open one.
_SERVICES: Final = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_SRV: Final = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
# The seed's preference where the domain has none (dns_tls_pref 50, dns_tcp_pref 30, dns_udp_pref 10).
_PREFERENCE: Final = ("TLS", "TCP", "UDP")
_NAME: Final = re.compile(r"(?=.{1,253}\.?$)(?:[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?\.)*[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?\.?")


def default_port(transport: str) -> int:
    """5060; 5061 for TLS, 80 and 443 for WebSocket (RFC 3261 §19.1.2, RFC 7118 §6)."""
    return {"TLS": 5061, "WS": 80, "WSS": 443}.get(transport, 5060)


class Resolver(base.Resolver):
    """Finds next hops.

    Args:
        clock: ``IReactorTime``.
        dns_client: Lookup methods of ``twisted.names``; None makes one of /etc/resolv.conf at the first question.
        transports: What can be sent over.
        families: Address families that there are sockets for, the preferred first.
        rest_seconds: How long a target that failed isn't tried.
        hosts_file: Path of the hosts file, '' for none.
        random_below: ``random_below(n)`` gives 0..n-1.
    """

    def __init__(
        self,
        clock: Any,
        dns_client: Any = None,
        transports: Iterable[str] = ("UDP", "TCP", "TLS"),
        families: Sequence[int] = (socket.AF_INET, socket.AF_INET6),
        rest_seconds: float = 30.0,
        hosts_file: str = "/etc/hosts",
        random_below: Callable[[int], int] = random.randrange,
    ) -> None:
        self._clock = clock
        self._client = dns_client
        self._cache: DnsCache | None = None
        self._transports = tuple(each for each in _PREFERENCE if each in set(transports))
        self._families = tuple(families)
        self._rest_seconds = rest_seconds
        self._hosts_file = hosts_file
        self._random_below = random_below
        self._literals: dict[tuple[str, int, str, bool], list[Hop]] = {}
        self._resting: dict[tuple[str, str, int], float] = {}

    def numeric(self, host: str, port: int, transport: str, secure: bool) -> list[Hop] | None:
        """The hop for an IP literal, without I/O; see :class:`sipnode.base.flows.Resolver`."""
        key = (host, port, transport, secure)
        hops = self._literals.get(key)
        if hops is None:
            bare = host[1:-1] if host.startswith("[") else host
            if not family_of(bare):
                return None
            chosen = _transport(transport, secure) or ("TLS" if secure else "UDP")
            if len(self._literals) >= _MAX_LITERALS:
                self._literals.clear()
            if ":" in bare and "%" not in bare:
                # As the kernel spells it, so that what comes back from there is known to.
                bare = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, bare))
            hops = self._literals[key] = [Hop(chosen, bare, port or default_port(chosen), bare if chosen == "TLS" else "")]
        return hops

    def resolve(self, host: str, port: int, transport: str, secure: bool) -> Deferred[list[Hop]]:
        """Hops in the order to try; see :class:`sipnode.base.flows.Resolver`."""
        hops = self.numeric(host, port, transport, secure)
        if hops is not None:
            return succeed(hops)
        name = host.lower().rstrip(".")
        wanted = _transport(transport, secure)
        if wanted in WEBSOCKET:
            return fail(NoRoute("a WebSocket is never opened from here", 480))
        if name == "invalid" or name.endswith(".invalid"):
            return fail(NoRoute(f"{name} stands for a connection that is gone", 480))
        if not _NAME.fullmatch(name):
            return fail(NoRoute(f"{host!r} is no host name", 400))
        return self._within_limit(name, ensureDeferred(self._hops(name, port, wanted, secure)))

    def failed(self, hop: Hop, seconds: float = 0.0) -> None:
        """Don't try that hop for a while (RFC 3263 §4.3), where there is another.

        Args:
            hop: What failed.
            seconds: How long; 0 for the configured time (Retry-After may say another).
        """
        now = self._clock.seconds()
        if len(self._resting) > 1000:
            self._resting = {key: until for key, until in self._resting.items() if until > now}
            if len(self._resting) > 1000:
                self._resting.clear()
        self._resting[(hop.transport, hop.host, hop.port)] = now + (seconds or self._rest_seconds)

    def rested(self, hops: list[Hop]) -> list[Hop]:
        """The hops with those that failed lately put last."""
        if not self._resting:
            return hops
        now = self._clock.seconds()
        resting = [hop for hop in hops if self._resting.get((hop.transport, hop.host, hop.port), 0.0) > now]
        return [hop for hop in hops if hop not in resting] + resting if resting else hops

    async def _hops(self, name: str, port: int, transport: str, secure: bool) -> list[Hop]:
        targets = await self._targets(name, port, transport, secure)
        hops: list[Hop] = []
        for target in targets[:_MAX_TARGETS]:
            server_name = name if target.transport == "TLS" else ""
            for address in (await self._addresses(target.host))[:_MAX_ADDRESSES]:
                hops.append(Hop(target.transport, address, target.port, server_name))
            if len(hops) >= _MAX_HOPS:
                del hops[_MAX_HOPS:]
                break
        if not hops:
            raise NoRoute(f"no address for {name}", 503, "Host Not Found")
        return self.rested(hops)

    async def _targets(self, name: str, port: int, transport: str, secure: bool) -> list[Target]:
        plain = transport or ("TLS" if secure else "UDP")
        if port:
            return [Target(plain, name, port)]
        if transport:
            found = await self._service(transport, _SRV[transport] + name)
            return found if found else [Target(transport, name, default_port(transport))]
        usable: list[str] = [each for each in self._transports if each == "TLS" or not secure]
        pointers = await self._pointers(name, usable)
        if not pointers:
            pointers = [(each, _SRV[each] + name) for each in usable]
        answers = await gatherResults([self._service(each, service) for each, service in pointers])
        found = [target for answer in answers for target in answer]
        return found if found else [Target(plain, name, default_port(plain))]

    async def _pointers(self, name: str, usable: list[str]) -> list[tuple[str, str]]:
        """(transport, SRV name) of the NAPTR records that fit, by order and preference."""
        found: list[tuple[int, int, str, str]] = []
        for record in await self._dns().lookup(dnscache.NAPTR, name):
            transport = _SERVICES.get(_label(record.service).upper(), "")
            if transport in usable and _label(record.flags).lower() == "s":
                found.append((record.order, record.preference, transport, _domain(record.replacement)))
        return [(transport, service) for _, _, transport, service in sorted(found)]

    def _service(self, transport: str, service: str) -> Deferred[list[Target]]:
        def read(records: list[Any]) -> list[Target]:
            targets = [Target(transport, _domain(each.target), each.port, each.priority, each.weight) for each in records]
            # A target of "." says that the service is not there (RFC 2782).
            return srv_order([each for each in targets if each.host and each.port], self._random_below)

        return self._dns().lookup(dnscache.SRV, service).addCallback(read)

    async def _addresses(self, host: str) -> list[str]:
        if family_of(host):
            return [host]
        known = self._from_hosts_file(host)
        if known:
            return known
        kinds = [dnscache.A if family == socket.AF_INET else dnscache.AAAA for family in self._families]
        answers = await gatherResults([self._dns().lookup(kind, host) for kind in kinds])
        return [record.dottedQuad() if hasattr(record, "dottedQuad") else _ipv6(record) for answer in answers for record in answer]

    def _from_hosts_file(self, host: str) -> list[str]:
        if host == "localhost" or host.endswith(".localhost"):
            # Never a question for the DNS (RFC 6761 §6.3).
            loopback: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
            return [loopback[family] for family in self._families]
        if not self._hosts_file:
            return []
        found = searchFileForAll(FilePath(self._hosts_file), host.encode())
        return [address for family in self._families for address in found if family_of(address) == family]

    def _dns(self) -> DnsCache:
        if self._cache is None:
            if self._client is None:
                self._client = client.Resolver(resolv="/etc/resolv.conf", reactor=self._clock)
            self._cache = DnsCache(self._client, self._clock)
        return self._cache

    def _within_limit(self, name: str, work: Deferred[list[Hop]]) -> Deferred[list[Hop]]:
        """The work's outcome, or NoRoute after :data:`TOTAL_SECONDS`; the work goes on and fills the cache."""
        outcome: Deferred[list[Hop]] = Deferred(lambda _: None)
        limit = self._clock.callLater(TOTAL_SECONDS, lambda: end(NoRoute(f"no answer about {name} in time", 503, "No Answer From DNS")))

        def end(result: list[Hop] | NoRoute | Failure) -> None:
            if limit.active():
                limit.cancel()
            if not outcome.called:
                if isinstance(result, list):
                    outcome.callback(result)
                else:
                    outcome.errback(result)

        work.addCallbacks(end, end)
        return outcome


def _transport(transport: str, secure: bool) -> str:
    """The transport that a URI asks for, '' where it leaves the choice; a sips URI makes TLS of tcp and WSS of ws."""
    upper = transport.upper()
    if upper and upper not in ("UDP", "TCP", "TLS", "WS", "WSS"):
        return "TLS" if secure else "UDP"
    if secure:
        return {"TCP": "TLS", "UDP": "TLS", "WS": "WSS"}.get(upper, upper)
    return upper


def _label(text: Any) -> str:
    return bytes(text.string).decode("latin-1")


def _domain(name: Any) -> str:
    return bytes(name.name).decode("latin-1").lower().rstrip(".")


def _ipv6(record: Any) -> str:
    return socket.inet_ntop(socket.AF_INET6, record.address)
