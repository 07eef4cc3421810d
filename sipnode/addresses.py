"""Addresses in settings: ``ADDRESS:PORT`` of a listener, and the networks that may look or call. Pure.

Invariant: what can't be read is a ConfigError with the key of its setting, never a listener or a permission by accident.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from sipnode.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def split_address(text: str, key: str) -> tuple[str, int]:
    """Host (without brackets) and port of ``ADDRESS:PORT``.

    Raises:
        ConfigError: anything else.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        colon = ""
    if not colon or (":" in bare) != (bare != host) or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ConfigError(f"{text!r} isn't 'ADDRESS:PORT' (an IP literal; IPv6 in brackets)", key=key)
    return bare, int(port)


def networks(texts: Iterable[str], key: str) -> tuple[Network, ...]:
    """Addresses or networks such as ``192.0.2.0/24``.

    Raises:
        ConfigError: an entry that is neither.
    """
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(f"{text!r}: {error}", key=key) from None
    return tuple(found)


def is_within(host: str, known: Iterable[Network]) -> bool:
    """Whether an address (an IPv4 one in IPv6's clothes too) is in one of the networks; False for what is no address."""
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in known)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def source_of(host: str, ipv4_prefix: int = 32, ipv6_prefix: int = 64) -> str:
    """The name under which a host is counted: an IPv4 address, or the network of an IPv6 one, as a household has a /64 of them.

    Args:
        host: Address, without brackets or with; IPv4 in IPv6's clothes counts as IPv4, what is no address as itself.
        ipv4_prefix: Bits that make a source. ipv6_prefix: The same of IPv6.
    """
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host
    address = getattr(address, "ipv4_mapped", None) or address
    length = ipv4_prefix if address.version == 4 else ipv6_prefix
    if length == address.max_prefixlen:
        return str(address)
    return str(ipaddress.ip_network((address, length), strict=False))
