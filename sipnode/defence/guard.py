"""The judge: who is limited, who is shut out, and what it takes.

Pure. UDP and streams are counted apart, since a UDP source address is written by its sender: what comes over UDP without a proof costs
at most UDP from there. A source that has proved a password lately is trusted more: it may send more, and nothing that anybody could
forge shuts it out, so that nobody gets an office thrown out by sending in its name.

The invariant: every table is bounded, and a source that is trusted is never counted, limited or shut out.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from sipnode.base.guard import DigestGuard
from sipnode.defence.bans import Ban, BanList
from sipnode.defence.limits import changed
from sipnode.defence.passwords import Passwords
from sipnode.defence.peers import PeerTable
from sipnode.defence.scanners import ScannerNames
from sipnode.defence.sources import Source, SourceTable, network_of
from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.settings import DefenceSettings

BROKEN_COST: Final = 10.0
"""Messages that one that can't be read counts for: it costs an answer, and nobody's phone sends many."""
HANDSHAKE_COST: Final = 5.0
"""Messages that a connection counts for that ends without a word: of TLS it cost a signature."""
MOST_PROVED: Final = 100_000


class Guard(DigestGuard):
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
        sources: The records of those who come by connections.
        datagrams: The records of those who send over UDP.
        peers: Phones that have shown a password over UDP.
        bans: Who is shut out altogether.
        udp_bans: Whose UDP is thrown away.
        passwords: Wrong ones, and who is barred where.
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
        self.udp_bans = BanList(settings.sources)
        self.passwords = Passwords(settings)
        self.peers = PeerTable(MOST_PROVED, settings.rate, settings.burst)
        self.names = ScannerNames(settings.scanners)
        self.on_ban: Callable[[Ban], None] = lambda ban: None
        self._wide: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}
        self._proved: dict[str, float] = {}
        prefixes = (settings.ipv4_prefix, settings.ipv6_prefix)
        networks = (*settings.trusted, *trusted)
        self.sources = SourceTable(networks, settings.sources, prefixes, lambda key, free: self._make(key, free, False), own_host)
        self.datagrams = SourceTable(networks, settings.sources, prefixes, lambda key, free: self._make(key, free, True), own_host)

    @property
    def barred(self) -> BanList:
        """Users at sources that had too many wrong passwords for them: keys are ``source user``."""
        return self.passwords.barred

    def source_of(self, flow: Flow) -> Source:
        """The record of who sends by a flow."""
        table = self.sources if flow.reliable else self.datagrams
        host = flow.remote[0]
        return table.young.get(host) or table.find(host)

    def place_of(self, flow: Flow) -> str:
        """The name under which live transactions of a flow are counted."""
        return self.source_of(flow).place

    def _make(self, key: str, free: bool, datagrams: bool) -> Source:
        now = self._seconds()
        limits = self.limits
        source = Source(key, free, limits.rate, limits.burst, now, f"UDP {key}" if datagrams else key)
        if free:
            return source
        ban = self._ban_of(key, now, datagrams)
        if ban is not None:
            source.shut_until = ban.until
        proved = self._proved.get(key, 0.0)
        if proved > now:
            self._raise_limits(source, proved)
        return source

    def _ban_of(self, key: str, now: float, datagrams: bool) -> Ban | None:
        ban = self.bans.get(key, now) or (self.udp_bans.get(key, now) if datagrams else None)
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
            ban = self._ban_of(source.key, now, source.place != source.key)
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
        now = self._seconds()
        # A peer that owes for its last connections can wait.
        if source.free or not ((source.shut_until and self.shut_out(source, now)) or not source.take(now, 0.0)):
            return False
        self.counts["refused_connections"] += 1
        return True

    def spend(self, host: str, stream: bool, cost: float, kind: str) -> bool:
        """Take what is no SIP message from the share of a source: HTTP requests, pings and other frames, keepalives, STUN.

        Args:
            cost: In messages.
            kind: What it was, for the count ``dropped_KIND``.

        Returns:
            False where the source has nothing left, or is shut out.
        """
        table = self.sources if stream else self.datagrams
        source = table.young.get(host) or table.find(host)
        if source.free:
            return True
        now = self._seconds()
        if source.shut_until and self.shut_out(source, now):
            return False
        if source.take(now, cost):
            return True
        self.over(source, now, kind)
        return False

    def over(self, source: Source, now: float, kind: str = "rate") -> None:
        """A message more than a source may send."""
        self.counts[f"dropped_{kind}"] += 1
        datagrams = source.place != source.key
        if not source.excess and (self.datagrams if datagrams else self.sources).trusts(source.key):
            # A sister node that was a stranger when its record was made.
            source.free = True
            return
        source.excess += 1
        if 0 < self.limits.flood_messages <= source.excess and not self._is_proved(source, now):
            self.ban(source.key, "flood", datagrams=datagrams)

    def scanner(self, source: Source, name: str, now: float) -> None:
        """A message of a scanner."""
        self.counts["dropped_scanner"] += 1
        if not self._is_proved(source, now):
            self.ban(source.key, f"scanner {name}", datagrams=source.place != source.key)

    def broken(self, source: Source) -> None:
        """A message that can't be read."""
        if source.free:
            return
        self.counts["broken"] += 1
        if source.place == source.key or not self._is_proved(source, self._seconds()):
            # In the name of an office anybody may send them over UDP: there they cost what any message does.
            source.tokens = max(source.tokens - BROKEN_COST, -source.burst)

    def hung_up(self, host: str) -> None:
        """A connection ended without a first line, which costs a handshake and says nothing."""
        source = self.sources.find(host)
        if source.free:
            return
        now = self._seconds()
        cost = 1.0 if self._is_proved(source, now) else HANDSHAKE_COST
        if not source.take(now, cost):
            source.tokens = max(source.tokens - cost, -source.burst)
            self.over(source, now, "handshakes")

    def _is_proved(self, source: Source, now: float) -> bool:
        if not source.proved_until:
            return False
        if source.proved_until > now:
            return True
        # Somebody may have proved it by the other kind of transport meanwhile.
        source.proved_until = until = self._proved.get(source.key, 0.0)
        if until > now:
            return True
        source.proved_until = 0.0
        source.rate, source.burst = self.limits.rate, self.limits.burst
        source.tokens = min(source.tokens, source.burst)
        return False

    # -- what authentication says

    def is_barred(self, host: str, user: str, flow: Flow | None = None) -> bool:
        """Whether credentials of that user from there aren't looked at: too many were wrong.

        Args:
            flow: Where they came by; one that has proved this very user before goes on.
        """
        if not len(self.barred):
            return False
        now = self._seconds()
        ban = self.passwords.bar_of(self.sources.find(host).key, user, now)
        if ban is None or (flow is not None and user in (flow.signed_in, self.peers.user(flow.remote, now))):
            return False
        ban.dropped += 1
        self.counts["barred_digests"] += 1
        return True

    def refuses_password(self, host: str, user: str, flow: Flow | None = None) -> bool:
        """Whether a password from there isn't looked at: the user is barred there, or all that comes from there."""
        now = self._seconds()
        source = self.sources.find(host)
        if not source.free and source.shut_until > now:
            self.counts["barred_digests"] += 1
            return True
        return self.is_barred(host, user, flow)

    def right(self, host: str, user: str, flow: Flow | None = None) -> None:
        """A request proved its user's password: it came from where a user of ours is.

        Args:
            flow: Where it came by, None for HTTP.
        """
        datagrams = flow is not None and not flow.reliable
        table = self.datagrams if datagrams else self.sources
        source = table.young.get(host) or table.find(host)
        if flow is not None and flow.signed_in != user:
            flow.prove(user)
        if source.free:
            return
        now = self._seconds()
        until = now + self.limits.proved_seconds
        if not source.proved_until:
            self._first_proof(source.key, until)
        source.proved_until = until
        if flow is not None and not flow.reliable:
            self.peers.proved(flow.remote, user, now, until)
        # A dictionary keeps the order of insertion: who proved itself lately stands at the end.
        self._proved.pop(source.key, None)
        self._proved[source.key] = until
        if len(self._proved) > MOST_PROVED:
            del self._proved[next(iter(self._proved))]

    def _first_proof(self, key: str, until: float) -> None:
        self.passwords.forgive(key)
        lifted = self.udp_bans.remove(key)
        for table in (self.sources, self.datagrams):
            known = table.known(key)
            if known is not None:
                self._raise_limits(known, until)
        if lifted and known is not None:
            # It was for something that anybody could have sent in the name of this source.
            known.shut_until = 0.0
            known.excess = 0

    def wrong(self, host: str, user: str) -> None:
        """A request that surely came from there had a wrong password, or a user that doesn't exist."""
        self.counts["failed_digests"] += 1
        source = self.sources.find(host)
        if source.free or not self.limits.failed_digests:
            return
        now = self._seconds()
        shut, bar = self.passwords.wrong(source.key, user, self._is_proved(source, now), self.limits, now)
        if bar is not None:
            self.counts["bars"] += 1
            self.on_ban(bar)
        if shut:
            self.ban(source.key, "failed digests")

    # -- what an operator does

    def ban(self, text: str, reason: str, seconds: float = 0.0, datagrams: bool = False) -> Ban:
        """Shut an address or network out.

        Args:
            text: As :attr:`Source.key`, or any network.
            seconds: 0 for ``ban_seconds``.
            datagrams: Only what comes over UDP.

        Raises:
            ConfigError: neither an address nor a network, or one that is trusted.
        """
        now = self._seconds()
        key = self._key(text)
        bans = self.udp_bans if datagrams else self.bans
        known = bans.get(key, now)
        ban = bans.add(key, reason, now, seconds or self.limits.ban_seconds, datagrams)
        for table in (self.datagrams,) if datagrams else (self.datagrams, self.sources):
            source = table.known(key)
            if source is not None:
                source.shut_until = max(source.shut_until, ban.until)
        if "/" in key and not datagrams and self.sources.key_of(key.partition("/")[0]) != key:
            self._wide[key] = network_of(key)
            self._forget_sources()
        if known is None:
            self.counts["udp_bans" if datagrams else "bans"] += 1
            self.on_ban(ban)
        return ban

    def _forget_sources(self) -> None:
        self.sources.forget()
        self.datagrams.forget()

    def _key(self, text: str) -> str:
        if self.sources.known(text) is not None or self.datagrams.known(text) is not None:
            return text
        network = network_of(text)
        if self.sources.trusts(str(network.network_address)):
            raise ConfigError(f"{text} is trusted")
        if network.num_addresses == 1:
            return self.sources.key_of(str(network.network_address))
        return str(network)

    def unban(self, text: str) -> bool:
        """Let an address, a network or a barred ``source user`` in again; whether it was shut out."""
        if self.passwords.unbar(text):
            return True
        try:
            network = network_of(text)
            key = self.sources.key_of(text) if network.num_addresses == 1 else str(network)
        except ConfigError:
            return False
        removed = [bans.remove(key) for bans in (self.bans, self.udp_bans)]
        self.passwords.forgive(key)
        for table in (self.sources, self.datagrams):
            source = table.known(key)
            if source is not None:
                source.shut_until = 0.0
                source.excess = 0
                source.tokens = source.burst
        if self._wide.pop(key, None) is not None:
            self._forget_sources()
        return any(removed)

    def set_limit(self, name: str, value: object) -> None:
        """Change a limit while the server runs: any number of ``[defence]``.

        Raises:
            ConfigError: no limit of that name, or a value out of its bounds.
        """
        self.apply(changed(self.limits, name, value))

    def apply(self, settings: DefenceSettings) -> None:
        """Take other limits; trusted networks stay as they are, bans too."""
        self.limits = settings
        self.names = ScannerNames(settings.scanners)
        self.passwords.apply(settings)
        self.peers.rate, self.peers.burst = settings.rate, settings.burst
        self.peers.forget()
        self._forget_sources()


def _first_address(key: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_network(key).network_address
    except ValueError:
        return None
