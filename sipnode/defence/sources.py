"""Senders: one record for each source address (for IPv6 each /64), found by one dictionary look-up, and never too many.

Pure. The invariant: whatever is sent from however many addresses, at most twice ``most`` records live; the least recently
heard are forgotten first (a source that is shut out is remembered elsewhere, in the list of bans).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from sipnode.addresses import source_of
from sipnode.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Source:
    """The record of one source.

    Attributes:
        key: The address, or the network in CIDR form.
        free: It is trusted: nothing is counted.
        place: What its live transactions are counted under.
        rate: Messages a second that it may send.
        burst: Messages that it may send at once after a rest.
        tokens: Messages that it may send at once now; below 0 for one that owes.
        at: Seconds at which ``tokens`` was true.
        excess: Messages over its limit since it last kept within it.
        shut_until: Seconds until which it is shut out, 0 for not.
        proved_until: Seconds until which it counts as one with users of ours, 0 for not.
    """

    __slots__ = ("at", "burst", "excess", "free", "key", "place", "proved_until", "rate", "shut_until", "tokens")

    def __init__(self, key: str, free: bool, rate: float, burst: float, now: float, place: str = "") -> None:
        self.key = key
        self.free = free
        self.place = place or key
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.at = now
        self.excess = 0
        self.shut_until = 0.0
        self.proved_until = 0.0

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take so many tokens, if they are there."""
        passed = now - self.at
        if passed > 0:
            self.tokens += passed * self.rate
            if self.tokens > self.burst:
                self.tokens = self.burst
                self.excess = 0
        self.at = now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


class SourceTable:
    """All sources of one kind of transport that were heard of lately.

    Args:
        trusted: Addresses and networks that nothing is counted of.
        most: Records in each of two generations.
        prefixes: Lengths of the prefix that counts as one source, of IPv4 and IPv6.
        make: A record for a key that is new: ``make(key, free)``.
        own_host: Whether a host is an address of this server, which is trusted too.

    Raises:
        ConfigError: an address or network that can't be read.

    Attributes:
        own_host: See above; may be replaced.
        young: The generation that a look-up tries first: ``host -> Source``.
    """

    def __init__(
        self,
        trusted: Iterable[str],
        most: int,
        prefixes: tuple[int, int],
        make: Callable[[str, bool], Source],
        own_host: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.young: dict[str, Source] = {}
        self._old: dict[str, Source] = {}
        self._shared: dict[str, Source] = {}
        self._old_shared: dict[str, Source] = {}
        self._most = most
        self._prefixes = prefixes
        self._make = make
        self.own_host = own_host
        self._trusted: list[Network] = [network_of(text) for text in trusted]

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    @property
    def trusted(self) -> tuple[str, ...]:
        """The networks that nothing is counted of."""
        return tuple(str(network) for network in self._trusted)

    def find(self, host: str) -> Source:
        """The record of a source; made when there is none.

        Two generations: when the younger is full it becomes the older, and what that still held is forgotten. A hit in the younger
        (the caller looks there first) costs no book-keeping.
        """
        source = self.young.get(host)
        if source is None:
            source = self._old.pop(host, None) or self._new(host)
            if len(self.young) >= self._most:
                self._old, self.young = self.young, {}
                self._old_shared, self._shared = self._shared, {}
            self.young[host] = source
            if source.key != host:
                self._shared[source.key] = source
        return source

    def known(self, key: str) -> Source | None:
        """The record with that key, if there is one."""
        for table in (self.young, self._shared, self._old, self._old_shared):
            source = table.get(key)
            if source is not None and source.key == key:
                return source
        return None

    def key_of(self, host: str) -> str:
        """The name under which a host is counted: itself, or its network; itself too where it is no address at all."""
        return source_of(host, *self._prefixes)

    def trust(self, text: str) -> None:
        """Count nothing of an address or network from now on."""
        network = network_of(text)
        if network not in self._trusted:
            self._trusted.append(network)
            self.forget()

    def distrust(self, text: str) -> bool:
        """Count it again; whether it was trusted."""
        network = network_of(text)
        if network not in self._trusted:
            return False
        self._trusted.remove(network)
        self.forget()
        return True

    def forget(self) -> None:
        """Make all records anew, since what they say of limits and trust has changed."""
        self.young.clear()
        for table in (self._old, self._shared, self._old_shared):
            table.clear()

    def __iter__(self) -> Iterator[Source]:
        return iter({id(source): source for table in (self._old, self.young) for source in table.values()}.values())

    def _new(self, host: str) -> Source:
        if self.trusts(host):
            return self._make(host, True)
        key = self.key_of(host)
        return self._shared.get(key) or self._old_shared.get(key) or self._make(key, False)

    def trusts(self, host: str) -> bool:
        """Whether nothing is counted of a host."""
        if self.own_host(host):
            return True
        try:
            address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._trusted)


def network_of(text: str) -> Network:
    """An address or network as it is written.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError as fault:
        raise ConfigError(f"{text!r}: {fault}", key="defence.trusted") from None
