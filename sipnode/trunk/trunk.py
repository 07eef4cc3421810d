"""One trunk: its settings read once, and what is known of it. Pure, but for the resolver's answers that it is told.

The invariant: what is sent to a trunk goes to its configured address, whatever a message says; its password answers nobody but it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from sipnode.addresses import is_within, networks
from sipnode.errors import ConfigError
from sipnode.proxy.provider import Provider
from sipnode.proxy.target import Target
from sipnode.records import Reach
from sipnode.sip.hosts import bare_host, normal_host
from sipnode.trunk.health import Health
from sipnode.trunk.numbers import Rewriting
from sipnode.trunk.proof import Account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipnode.base.flow import Flow
    from sipnode.settings import TrunkSettings
    from sipnode.sip.message import SipResponse
    from sipnode.sip.uri import SipUri

ADDRESS_SECONDS: Final = 600.0
"""For so long an address that the DNS gave is taken for a trunk's."""
KEY: Final = "trunk:"
"""Before a trunk's name, in the place of the instance key of a device: no address-of-record begins with it."""


class Trunk(Provider):
    """A provider or PBX.

    Args:
        name: As in ``[trunk.NAME]``.
        settings: Of that section.

    Attributes:
        name, settings: As given.
        key: How tokens of dialogs name it.
        domain: As URIs have it, with a port where one is needed. realm: The only one that its password is for.
        host, port, transport: Where it is sent to; port 0 and transport "" leave it to the DNS.
        addresses: Those that its host has by now.
        health: Whether it is there.
        registered: Epoch seconds up to which it knows where we are; 0 for not.
        trouble: Why it doesn't, "" where it does or needn't.
        requests, failures: What was sent to it, and what of that it failed to answer well (408, 5xx, a challenge that can't be met).

    Raises:
        ConfigError: settings that can't be together.
    """

    def __init__(self, name: str, settings: TrunkSettings) -> None:
        place = f"trunk.{name}"
        if not (settings.domain or settings.address):
            raise ConfigError("has neither a domain nor an address: nothing can be sent to it", key=place)
        if settings.register and not settings.user:
            raise ConfigError("needed to register there", key=f"{place}.user")
        if settings.trust == "tls" and not settings.domain:
            raise ConfigError("needed with trust = 'tls': it is what the certificate has to name", key=f"{place}.domain")
        self.name = name
        self.settings = settings
        self.key = KEY + name
        self.host, self.port = _split(settings.address or settings.domain)
        self.transport = settings.transport.upper()
        domain = settings.domain or self.host
        self.domain = f"[{domain}]" if ":" in domain and domain[:1] != "[" else domain
        self.realm = settings.realm or bare_host(normal_host(domain))
        self.account = Account(settings.user, settings.password, self.realm)
        self.rewrite = Rewriting(settings.rewrite)
        self.health = Health(settings.ping_misses)
        self.registered = 0.0
        self.trouble = ""
        self.requests = self.failures = 0
        self._domains = frozenset(map(normal_host, settings.domains))
        self._own_domain = normal_host(domain)
        self._sources = networks(settings.sources, f"{place}.sources")
        self._seen: dict[str, float] = {}
        self.addresses = frozenset(self.literals())

    def literals(self) -> list[str]:
        """Its address where that is one and no name."""
        try:
            return [str(ipaddress.ip_address(bare_host(self.host)))]
        except ValueError:
            return []

    def found(self, addresses: Iterable[str], now: float) -> bool:
        """Take the addresses of its host; tells whether they are more, or less, than were known. A provider's name may give a part of its
        addresses each time, so each counts for a while.
        """
        self._seen = {host: until for host, until in self._seen.items() if until > now}
        self._seen.update(dict.fromkeys(addresses, now + ADDRESS_SECONDS))
        before, self.addresses = self.addresses, frozenset(self._seen)
        return before != self.addresses

    # -- what it is asked

    @property
    def up(self) -> bool:
        """Whether it gets new calls."""
        return self.health.up

    def is_at(self, flow: Flow) -> bool:
        """Whether that is where it is: an address that its host resolves to, or of its sources."""
        host = flow.remote[0]
        return host in self.addresses or (bool(self._sources) and is_within(host, self._sources))

    def trusts(self, flow: Flow) -> bool:
        """Whether what comes by a flow is believed to be its, by ``trust``."""
        how = self.settings.trust
        if how == "tls":
            return self._own_domain in flow.peer_domains
        return how == "address" and self.is_at(flow)

    def serves(self, host: str) -> bool:
        """Whether calls of our users to that foreign domain go by it."""
        return host in self._domains

    def serves_number(self, number: str) -> bool:
        """Whether calls of our users to that number go by it."""
        return number.startswith(self.settings.prefixes) if self.settings.prefixes else False

    def is_domain(self, host: str) -> bool:
        """Whether a host is its own, as URIs have it."""
        return host == self._own_domain

    def target(self, uri: SipUri) -> Target:
        """Where a request for a URI goes by it.

        Args:
            uri: What was asked for: a foreign URI that it serves stays as it is, of any other the number goes to its domain.
        """
        self.requests += 1
        reach = Reach("", self.key, self.host.strip("[]"), self.port, self.transport)
        asked = "" if self.serves(uri.host) else f"sip:{self.rewrite(uri.user)}@{self.domain}"
        return Target(asked, key=self.key, reach=reach, provider=self)

    # -- Provider

    def proof(self, method: str, uri: str, response: SipResponse, flow: Flow, asked: int) -> tuple[str, str] | None:
        """See :meth:`Provider.proof`; only where the challenge comes from the trunk's own address."""
        return self.account.answer(response, method, uri, asked) if self.is_at(flow) else None

    def ended(self, status: int) -> None:
        """A request to it has failed."""
        if status == 408 or 500 <= status < 600:
            self.failures += 1


def _split(text: str) -> tuple[str, int]:
    """Host and port (0 for none) of ``HOST[:PORT]``; an IPv6 literal keeps its brackets, and gets them where it has none."""
    try:
        return (f"[{text}]" if ipaddress.ip_address(text).version == 6 else text), 0
    except ValueError:
        host, colon, port = text.rpartition(":")
        return (host, int(port)) if colon and not text.endswith("]") else (text, 0)
