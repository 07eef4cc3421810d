"""Where a message may make the server send to, or connect to. Pure: addresses in, a rule or nothing out.

Every address that came from a message is asked about here after it was resolved: Contacts, Routes, next hops, what the DNS says of a
name, targets of NOTIFY and of pings. An address that a socket itself has seen (a flow, the true source of a REGISTER) is no such word.

Implements: RFC 6890 (special-purpose addresses), RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 §2.5.5, RFC 6052, RFC 3056 (IPv4 within
IPv6), CWE-918 (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sipnode.addresses import Network, split_address
from sipnode.errors import ConfigError, NoRoute
from sipnode.sip.hosts import bare_host

if TYPE_CHECKING:
    from sipnode.records import Hop

OWN: Final = "own_address"
SERVICE: Final = "own_service"
NEVER: Final = "no_unicast"
LOOPBACK: Final = "this_machine"
PRIVATE: Final = "private"

_PUBLIC: Final = 0
_LOOPBACK: Final = 1
_PRIVATE: Final = 2
_NEVER: Final = 3
_ALLOWED: Final = 4
_ALLOWED_LOOPBACK: Final = 5
_MACHINE: Final = 8
"""Added where the address is one of this very machine."""
_NETWORK = ipaddress.ip_network
_RFC1918: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_PRIVATE_NETWORKS: Final = tuple(map(_NETWORK, (*_RFC1918, "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10", "fec0::/10")))
_NEVER_NETWORKS: Final = tuple(map(_NETWORK, ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8", "::/128")))
_LOOPBACK_NETWORKS: Final = tuple(map(_NETWORK, ("127.0.0.0/8", "::1/128")))
_NAT64: Final = _NETWORK("64:ff9b::/96")
_COMPATIBLE: Final = _NETWORK("::/96")
_HOSTS: Final = 8192


class Destinations:
    """Says whether a peer may make us send to an address.

    Args:
        allowed: ``[proxy] destinations``: networks, ``ADDRESS:PORT``, ``interfaces``, ``private``.
        interfaces: Networks that our listeners are in; the private ones of them count, and their broadcast addresses never do.
        own: ``(host, port) -> bool``: whether a listener of ours is there.
        own_host: Whether a host is an address of ours.
        services: ``(host, port)`` of what isn't for SIP: RPC, manhole, metrics, ng, database.
        wildcards: Ports of listeners that are bound to every address of the machine.

    Attributes:
        is_friend: Whether an address is that of a sister node, wherever it is.

    Raises:
        ConfigError: an entry of ``allowed`` that can't be read.
    """

    def __init__(
        self,
        allowed: Iterable[str] = ("private",),
        interfaces: Iterable[Network] = (),
        own: Callable[[str, int], bool] = lambda host, port: False,
        own_host: Callable[[str], bool] = lambda host: False,
        services: Iterable[tuple[str, int]] = (),
        wildcards: Iterable[int] = (),
    ) -> None:
        self.is_friend: Callable[[str], bool] = lambda host: False
        self._own = own
        self._own_host = own_host
        self._wildcards = frozenset(wildcards)
        self._services: set[tuple[str, int]] = set()
        # A listener on loopback, or on all addresses, is reached by every address of this machine.
        self._service_ports: set[int] = set()
        for host, port in services:
            bare = bare_host(host) if host != "localhost" else "127.0.0.1"
            self._services.add((bare, port))
            if self._look(bare) in (_LOOPBACK, _NEVER):
                self._service_ports.add(port)
        self._networks: list[Network] = []
        self._ports: set[tuple[str, int]] = set()
        interfaces = tuple(interfaces)
        self._broadcasts = {str(network.broadcast_address) for network in interfaces if network.version == 4 and network.prefixlen < 31}
        for text in allowed:
            self._allow(text, interfaces)
        self._hosts: dict[str, int] = {}
        self._open: set[tuple[str, int, str]] = set()

    def refusal(self, host: str, port: int, peer: str) -> str:
        """Why that peer may not make us send there; "" where it may.

        Args:
            host: An IP literal, brackets or not.
            port: Of the destination.
            peer: Address (no brackets) of whoever named it; the destination itself where a socket has seen it there.
        """
        way = (host, port, peer)
        if way in self._open:
            return ""
        rule = self._refusal(host, port, peer)
        if not rule and not self.is_friend(bare_host(host)):
            if len(self._open) >= _HOSTS:
                self._open.clear()
            self._open.add(way)
        return rule

    def _refusal(self, host: str, port: int, peer: str) -> str:
        kind = self._hosts.get(host)
        if kind is None:
            kind = self._kind(host)
        if self._own(host, port):
            return OWN
        if kind == _PUBLIC:
            return SERVICE if (host, port) in self._services else ""
        if kind == _NEVER:
            return NEVER
        bare = bare_host(host)
        if (bare, port) in self._services:
            return SERVICE
        if kind >= _MACHINE:
            if port in self._wildcards:
                return OWN
            if port in self._service_ports:
                return SERVICE
            if kind - _MACHINE == _ALLOWED_LOOPBACK or bare == peer or (bare, port) in self._ports or self.is_machine(peer):
                return ""
            return LOOPBACK
        if kind == _ALLOWED or bare == peer or (bare, port) in self._ports or self.is_friend(bare):
            return ""
        return PRIVATE

    def permitted(self, hops: list[Hop], peer: str) -> list[Hop]:
        """Those of the hops that the peer may make us send to.

        Raises:
            Refused: none; with the rule of the first.
        """
        if len(hops) == 1:
            rule = self.refusal(hops[0].host, hops[0].port, peer)
            if rule:
                raise Refused(hops[0], rule)
            return hops
        kept = [hop for hop in hops if not self.refusal(hop.host, hop.port, peer)]
        if hops and not kept:
            raise Refused(hops[0], self.refusal(hops[0].host, hops[0].port, peer))
        return kept

    def is_machine(self, host: str) -> bool:
        """Whether an address is one of this machine: loopback, or one that we listen on or advertise."""
        kind = self._hosts.get(host)
        return (self._kind(host) if kind is None else kind) >= _MACHINE

    def _kind(self, host: str) -> int:
        bare = bare_host(host)
        kind = self._look(bare)
        if bare in self._broadcasts:
            kind = _NEVER
        if kind != _NEVER:
            loopback = kind == _LOOPBACK
            machine = loopback or self._own_host(bare)
            if kind != _PUBLIC and any(_within(bare, network) for network in self._networks):
                kind = _ALLOWED_LOOPBACK if loopback else _ALLOWED
            if machine:
                kind += _MACHINE
        if len(self._hosts) >= _HOSTS:
            self._hosts.clear()
        self._hosts[host] = kind
        return kind

    @staticmethod
    @lru_cache(maxsize=_HOSTS)
    def _look(bare: str) -> int:
        kind = _PUBLIC
        for address in _addresses(bare):
            for worse, networks in ((_NEVER, _NEVER_NETWORKS), (_LOOPBACK, _LOOPBACK_NETWORKS), (_PRIVATE, _PRIVATE_NETWORKS)):
                if any(address in network for network in networks):
                    kind = worse
        return kind

    def _allow(self, text: str, interfaces: tuple[Network, ...]) -> None:
        if text == "private":
            self._networks.extend(_PRIVATE_NETWORKS)
        elif text == "interfaces":
            self._networks.extend(network for network in interfaces if self._look(str(network.network_address)) == _PRIVATE)
        else:
            try:
                self._networks.append(ipaddress.ip_network(text.strip("[]")))
            except ValueError:
                try:
                    host, port = split_address(text, "proxy.destinations")
                except ConfigError:
                    raise ConfigError(
                        f"{text!r} is neither a network, nor 'ADDRESS:PORT', 'interfaces' or 'private'", key="proxy.destinations"
                    ) from None
                self._ports.add((bare_host(host), port))


def witness(socket: str) -> str:
    """The namer of an address that was kept with the name of a listener (``udp:127.0.0.1:5060``), as far as that can be told: a peer on
    loopback where only such a one reaches the listener, else "". Streams may have come through a proxy on this machine.
    """
    return "127.0.0.1" if socket.startswith(("udp:127.", "udp:[::1]:", "udp:::1:")) else ""


class Refused(NoRoute):
    """A destination that its peer may not choose.

    Args:
        rule: :data:`OWN`, :data:`SERVICE`, :data:`NEVER`, :data:`LOOPBACK` or :data:`PRIVATE`.
    """

    def __init__(self, hop: Hop, rule: str) -> None:
        super().__init__(f"{hop.transport.lower()}:{hop.host}:{hop.port} is not to be sent to ({rule})", 403)
        self.rule = rule


def _addresses(bare: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """An address and those that it stands for; none where it isn't one."""
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return []
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inside is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            found.append(inside)
    return found


def _within(bare: str, network: Network) -> bool:
    return any(address in network for address in _addresses(bare)[:1])
