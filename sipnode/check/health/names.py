"""DNS of our domains: do NAPTR, SRV and addresses lead to what this server listens on?

Implements: RFC 3263 §4 as a caller goes. Invariant: no name is asked for twice, and the first silence of DNS ends the questions.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from twisted.names import dns

from sipnode.check.asking import is_public
from sipnode.check.health.lines import Line
from sipnode.transport.listen import ListenSpec, family_of, is_unspecified

Ask = Callable[[str, int], "list[Any] | None"]
"""(name, kind) -> records, or None for silence."""
SERVICES: Final = {"_sips._tcp": "TLS", "_sip._tcp": "TCP", "_sip._udp": "UDP"}
MOST_DOMAINS: Final = 20


class Silent(Exception):
    """DNS doesn't answer."""


def check_names(domains: Collection[str], specs: Collection[ListenSpec], ours: Collection[str], ask: Ask) -> Iterator[Line]:
    """A line for each domain that DNS can know.

    Args:
        domains: ``[core] domains``.
        specs: What is listened on.
        ours: Addresses that lead here; of none nothing is said about addresses.
        ask: DNS.
    """
    try:
        for domain in list(domains)[:MOST_DOMAINS]:
            name = domain.rstrip(".").lower()
            if is_public(name):
                yield from _Domain(name, specs, ours, ask).lines()
    except Silent:
        yield Line("dns", "no server of /etc/resolv.conf answers", "resolvectl status || cat /etc/resolv.conf")


class _Domain:
    """One domain."""

    def __init__(self, name: str, specs: Collection[ListenSpec], ours: Collection[str], ask: Ask) -> None:
        self._name, self._specs, self._ours, self._ask_dns = name, specs, ours, ask
        self._facts: list[str] = []
        self._wrong: list[Line] = []

    def lines(self) -> Iterator[Line]:
        """What is wrong with it, or that nothing is."""
        found = {service: self._ask(f"{service}.{self._name}", dns.SRV) for service in SERVICES}
        self._naptr(found)
        for service, records in found.items():
            for record in records:
                self._srv(service, record.payload)
        if not any(found.values()):
            addresses = self._addresses(self._name)
            if not addresses:
                self._fault(f"{self._name} has neither SRV records nor an address", f"dig +short SRV _sip._udp.{self._name}")
            else:
                self._facts.append(f"addresses {' '.join(sorted(addresses))}")
                self._is_here(self._name, addresses)
        if self._wrong:
            yield from self._wrong
        else:
            yield Line("dns", f"{self._name}: {', '.join(self._facts)}")

    def _naptr(self, found: dict[str, list[Any]]) -> None:
        for record in self._ask(self._name, dns.NAPTR):
            target = str(record.payload.replacement).rstrip(".").lower()
            service = next((one for one in SERVICES if target == f"{one}.{self._name}"), "")
            asked = found[service] if service else self._ask(target, dns.SRV)
            if asked:
                self._facts.append(f"NAPTR {target}")
            elif target.startswith("_"):
                self._fault(f"NAPTR of {self._name} names {target}, which has no SRV record", f"dig +short SRV {target}")

    def _srv(self, service: str, record: Any) -> None:
        target, port = str(record.target).rstrip(".").lower(), record.port
        if not target:
            # RFC 2782: decidedly not offered.
            return
        addresses = self._addresses(target)
        transport = SERVICES[service]
        place = f"SRV {service}.{self._name} names {target}:{port}"
        if not addresses:
            self._fault(f"{place}, which has no address", f"dig +short {target} A {target} AAAA")
            return
        ports = {spec.via_port or spec.port for spec in self._specs if spec.transport == transport}
        self._facts.append(f"SRV {service} {target}:{port}")
        if self._is_here(target, addresses) and port not in ports:
            there = f"{transport} at {', '.join(map(str, sorted(ports)))}" if ports else f"no {transport}"
            self._fault(f"{place}, and this server has {there}", f'listen = [..., "{transport.lower()}:ADDRESS:{port}"]')

    def _is_here(self, name: str, addresses: set[str]) -> bool:
        if not self._ours or addresses & set(self._ours):
            return True
        said = f"{name} is {' '.join(sorted(addresses))}, and this server is {' '.join(sorted(self._ours))}"
        self._fault(said, f"dig +short {name}  # correct the record, or write 'advertise {name}' behind the listener")
        return False

    def _addresses(self, name: str) -> set[str]:
        found = {str(record.payload.dottedQuad()) for record in self._ask(name, dns.A)}
        return found | {_ipv6(record.payload) for record in self._ask(name, dns.AAAA)}

    def _ask(self, name: str, kind: int) -> list[Any]:
        found = self._ask_dns(name, kind)
        if found is None:
            raise Silent(name)
        return found

    def _fault(self, value: str, remedy: str) -> None:
        line = Line("dns", value, remedy)
        if line not in self._wrong:
            self._wrong.append(line)


def _ipv6(record: Any) -> str:
    return socket.inet_ntop(socket.AF_INET6, record.address)


def addresses_of(specs: Collection[ListenSpec], local: Collection[str], ask: Ask) -> set[str]:
    """Addresses under which others reach the listeners: what is advertised, a name by its addresses, else what is bound.

    Nothing where an advertised name can't be resolved: that is told elsewhere.
    """
    found: set[str] = set()
    for spec in specs:
        host = spec.via_host.strip("[]")
        if family_of(host):
            found.add(host)
        else:
            for kind in (dns.A, dns.AAAA):
                for record in ask(host, kind) or ():
                    found.add(_ipv6(record.payload) if kind == dns.AAAA else record.payload.dottedQuad())
        if is_unspecified(spec.host):
            found.update(local)
    return found
