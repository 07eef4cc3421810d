"""Source addresses that need no digest (trunks).

Invariant: an address is parsed once, when it is first seen; after that the answer is one dictionary read. The memory is bounded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from sipnode.errors import ConfigError

_REMEMBERED: Final = 10000


class TrustedSources:
    """Is this host in one of the networks?

    Args:
        networks: Addresses or networks, IPv4 and IPv6.

    Raises:
        ConfigError: one that can't be read.
    """

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for text in networks:
            try:
                self._networks.append(ipaddress.ip_network(text.strip("[]")))
            except ValueError as fault:
                raise ConfigError(f"{text!r}: {fault}", key="auth.trusted") from None
        self._known: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        known = self._known.get(host)
        if known is None:
            known = self._look(host)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[host] = known
        return known

    def _look(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)
