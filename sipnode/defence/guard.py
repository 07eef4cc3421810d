"""The judge: who is limited, who is shut out, and what it takes.

Pure. A source that has proved a password lately is trusted more: it may send more, and nothing that anybody could forge (a UDP
source address is written by its sender) shuts it out, so that nobody gets an office thrown out by sending in its name.

The invariant: every table is bounded, and a source that is trusted is never counted, limited or shut out.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from sipnode.defence.bans import Ban, BanList
from sipnode.defence.failures import FailureCounter
from sipnode.defence.scanners import ScannerNames
from sipnode.defence.sources import Source, SourceTable, network_of
from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from sipnode.settings import DefenceSettings

BROKEN_COST: Final = 10.0
"""Messages that one that can't be read counts for: it costs an answer, and nobody's phone sends many."""
MOST_PROVED: Final = 100_000
ATTACKED_LIMIT: Final = 3
"""Wrong passwords that a stranger has for a user who is guessed at from many places."""


class Guard:
    """Judges sources.

    Args:
        settings: ``[defence]``.
        seconds: Epoch seconds.
        trusted: Further networks that nothing is counted of.
        own_host: Whether a host is an address of this server.

    Raises:
        ConfigError: a network that can't be read.

    Attributes:
        limits: What holds now; changed by :meth:`set_limit`.
        sources: The records.
        bans: Who is shut out.
        barred: Users at sources that had too many wrong passwords for them: keys are ``source user``.
        names: Scanners' names.
        counts: What happened how often.
        on_ban: Told of each new ban, once.
    """

    def __init__(
        self,
        settings: DefenceSettings,
        seconds: Callable[[], float],
        trusted: Iterable[str] = (),
        own_host: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.limits = settings
        self._seconds = seconds
        self.counts: dict[str, int] = defaultdict(int)
        self.bans = BanList(settings.sources)
        self.barred = BanList(settings.sources)
        self.names = ScannerNames(settings.scanners)
        self.on_ban: Callable[[Ban], None] = lambda ban: None
        self._wide: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}
        self._proved: dict[str, float] = {}
        self._by_source = FailureCounter(settings.sources, settings.failed_seconds)
        self._by_pair = FailureCounter(settings.sources, settings.failed_seconds)
        self._by_user = FailureCounter(settings.sources, settings.failed_seconds * 10)
        prefixes = (settings.ipv4_prefix, settings.ipv6_prefix)
        self.sources = SourceTable((*settings.trusted, *trusted), settings.sources, prefixes, self._make, own_host)

    def _make(self, key: str, free: bool) -> Source:
        now = self._seconds()
        limits = self.limits
        source = Source(key, free, limits.rate, limits.burst, now)
        if free:
            return source
        ban = self._ban_of(key, now)
        if ban is not None:
            source.shut_until = ban.until
        proved = self._proved.get(key, 0.0)
        if proved > now:
            self._raise_limits(source, proved)
        return source

    def _ban_of(self, key: str, now: float) -> Ban | None:
        ban = self.bans.get(key, now)
        if ban is None and self._wide:
            address = _first_address(key)
            for wide, network in list(self._wide.items()):
                ban = self.bans.get(wide, now)
                if ban is None:
                    del self._wide[wide]
                elif address is not None and address in network:
                    return ban
            return None
        return ban

    def _raise_limits(self, source: Source, until: float) -> None:
        factor = self.limits.proved_factor
        source.proved_until = until
        source.rate = self.limits.rate * factor
        source.burst = self.limits.burst * factor
        source.tokens = max(source.tokens, source.burst)

    # -- what senders do

    def shut_out(self, source: Source, now: float) -> bool:
        """Whether a source with ``shut_until`` is still shut out; else it begins anew."""
        if now < source.shut_until:
            self.counts["dropped_banned"] += 1
            ban = self._ban_of(source.key, now)
            if ban is not None:
                ban.dropped += 1
            return True
        source.shut_until = 0.0
        source.excess = 0
        source.tokens = source.burst
        return False

    def refuses(self, host: str) -> bool:
        """Whether a connection from there isn't taken."""
        source = self.sources.find(host)
        if source.free or not source.shut_until or not self.shut_out(source, self._seconds()):
            return False
        self.counts["refused_connections"] += 1
        return True

    def over(self, source: Source, now: float, kind: str = "rate") -> None:
        """A message more than a source may send."""
        self.counts[f"dropped_{kind}"] += 1
        if not source.excess and self.sources.trusts(source.key):
            # A sister node that was a stranger when its record was made.
            source.free = True
            return
        source.excess += 1
        if 0 < self.limits.flood_messages <= source.excess and not self._is_proved(source, now):
            self.ban(source.key, "flood")

    def scanner(self, source: Source, name: str, now: float) -> None:
        """A message of a scanner."""
        self.counts["dropped_scanner"] += 1
        if not self._is_proved(source, now):
            self.ban(source.key, f"scanner {name}")

    def broken(self, source: Source) -> None:
        """A message that can't be read."""
        if not source.free:
            self.counts["broken"] += 1
            source.tokens = max(source.tokens - BROKEN_COST, -source.burst)

    def _is_proved(self, source: Source, now: float) -> bool:
        if not source.proved_until:
            return False
        if source.proved_until > now:
            return True
        source.proved_until = 0.0
        source.rate, source.burst = self.limits.rate, self.limits.burst
        source.tokens = min(source.tokens, source.burst)
        return False

    # -- what authentication says

    def is_barred(self, host: str, user: str) -> bool:
        """Whether credentials of that user from there aren't looked at: too many were wrong."""
        if not len(self.barred):
            return False
        ban = self.barred.get(f"{self.sources.find(host).key} {user}", self._seconds())
        if ban is None:
            return False
        ban.dropped += 1
        self.counts["barred_digests"] += 1
        return True

    def right(self, host: str, user: str) -> None:
        """A request proved its user's password: it came from where a user of ours is."""
        source = self.sources.young.get(host) or self.sources.find(host)
        if source.free:
            return
        until = self._seconds() + self.limits.proved_seconds
        if not source.proved_until:
            self._raise_limits(source, until)
            self._by_source.forget(source.key)
        source.proved_until = until
        # A dictionary keeps the order of insertion: who proved itself lately stands at the end.
        self._proved.pop(source.key, None)
        self._proved[source.key] = until
        if len(self._proved) > MOST_PROVED:
            del self._proved[next(iter(self._proved))]

    def wrong(self, host: str, user: str) -> None:
        """A request had a wrong password, or a user that doesn't exist."""
        self.counts["failed_digests"] += 1
        source = self.sources.find(host)
        if source.free or not self.limits.failed_digests:
            return
        now = self._seconds()
        limit = self.limits.failed_digests
        key = source.key
        attacked = self._by_user.add(user, now) > 10 * limit
        failures = self._by_source.add(key, now)
        if not self._is_proved(source, now):
            if failures >= (min(ATTACKED_LIMIT, limit) if attacked else limit):
                self.ban(key, "failed digests")
            return
        # Behind one address may be an office: who guesses at one user there is told apart from the others.
        if self._by_pair.add((key, user), now) >= limit and self.barred.get(f"{key} {user}", now) is None:
            self.counts["bars"] += 1
            self.on_ban(self.barred.add(f"{key} {user}", "failed digests", now, self.limits.ban_seconds))
        if failures >= limit * self.limits.proved_factor:
            self.ban(key, "failed digests")

    # -- what an operator does

    def ban(self, text: str, reason: str, seconds: float = 0.0) -> Ban:
        """Shut an address or network out.

        Args:
            text: As :attr:`Source.key`, or any network.
            seconds: 0 for ``ban_seconds``.

        Raises:
            ConfigError: neither an address nor a network, or one that is trusted.
        """
        now = self._seconds()
        key = self._key(text)
        known = self.bans.get(key, now)
        ban = self.bans.add(key, reason, now, seconds or self.limits.ban_seconds)
        source = self.sources.known(key)
        if source is not None:
            source.shut_until = ban.until
        elif "/" in key:
            self._wide[key] = network_of(key)
            self.sources.forget()
        if known is None:
            self.counts["bans"] += 1
            self.on_ban(ban)
        return ban

    def _key(self, text: str) -> str:
        if self.sources.known(text) is not None:
            return text
        network = network_of(text)
        if self.sources.trusts(str(network.network_address)):
            raise ConfigError(f"{text} is trusted")
        if network.num_addresses == 1:
            return self.sources.key_of(str(network.network_address))
        return str(network)

    def unban(self, text: str) -> bool:
        """Let an address, a network or a barred ``source user`` in again; whether it was shut out."""
        if self.barred.remove(text):
            source, _, user = text.partition(" ")
            self._by_pair.forget((source, user))
            return True
        try:
            network = network_of(text)
            key = self.sources.key_of(text) if network.num_addresses == 1 else str(network)
        except ConfigError:
            return False
        removed = self.bans.remove(key)
        self._by_source.forget(key)
        source_record = self.sources.known(key)
        if source_record is not None:
            source_record.shut_until = 0.0
            source_record.excess = 0
            source_record.tokens = source_record.burst
        if self._wide.pop(key, None) is not None:
            self.sources.forget()
        return removed

    def set_limit(self, name: str, value: float) -> None:
        """Change a limit while the server runs: any number of ``[defence]``.

        Raises:
            ConfigError: no limit of that name, or a value out of its bounds.
        """
        found = {each.name: each for each in fields(self.limits) if isinstance(getattr(self.limits, each.name), (int, float))}
        if name not in found or isinstance(getattr(self.limits, name), bool) or name in ("sources", "ipv4_prefix", "ipv6_prefix"):
            raise ConfigError(f"there is no limit {name!r} that can be changed", key=f"defence.{name}")
        low, high = found[name].metadata["minimum"], found[name].metadata["maximum"]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError("a number is needed", key=f"defence.{name}")
        if not (low is None or value >= low) or not (high is None or value <= high):
            raise ConfigError(f"{value} is out of bounds", key=f"defence.{name}")
        self.apply(replace(self.limits, **{name: type(getattr(self.limits, name))(value)}))

    def apply(self, settings: DefenceSettings) -> None:
        """Take other limits; trusted networks stay as they are, bans too."""
        self.limits = settings
        self.names = ScannerNames(settings.scanners)
        self._by_source.seconds = self._by_pair.seconds = settings.failed_seconds
        self._by_user.seconds = settings.failed_seconds * 10
        self.sources.forget()


def _first_address(key: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_network(key).network_address
    except ValueError:
        return None
