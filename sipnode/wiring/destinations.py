"""Which addresses are this server's own affair: from all sections of the settings to :mod:`sipnode.proxy.destinations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sipnode.addresses import split_address
from sipnode.errors import ConfigError
from sipnode.proxy.destinations import Destinations
from sipnode.registrar.contacts import ContactPolicy
from sipnode.sip.hosts import bare_host
from sipnode.transport.advertise import listen_specs
from sipnode.transport.interfaces import listener_networks
from sipnode.transport.listen import is_loopback, is_unspecified

if TYPE_CHECKING:
    from sipnode.nodes.sisters import SisterWatch
    from sipnode.routing.core import Core
    from sipnode.settings import Settings

_PORTS = {"postgres": 5432, "postgresql": 5432, "http": 80, "https": 443}


def build_destinations(settings: Settings, is_own: Callable[[str, int], bool], own_host: Callable[[str], bool]) -> Destinations:
    """The policy about what messages may make the server send to.

    Raises:
        ConfigError: an entry that can't be read.
    """
    specs = listen_specs(settings.core)
    return Destinations(
        # A trunk is where it is; but that something on loopback may send is no word about who may have something sent there.
        (*settings.proxy.destinations, *(text for text in settings.auth.trusted if not is_loopback(bare_host(text.partition("/")[0])))),
        listener_networks(spec.host for spec in specs),
        is_own,
        own_host,
        own_services(settings),
        [spec.port for spec in specs if is_unspecified(spec.host)],
    )


def contact_policy(core: Core) -> ContactPolicy:
    """Which contacts no REGISTER gets in."""
    return ContactPolicy(
        core.is_domain,
        lambda host, port: core.is_own(host, port),
        lambda host, port, peer: core.destinations.refusal(host, port, peer),
        lambda host: core.own_host(host),
    )


def know_sisters(destinations: Destinations, watch: SisterWatch) -> None:
    """Let requests go on to the sister nodes, wherever they are."""
    destinations.is_friend = lambda host: any(bare_host(sister.address.host) == host for sister in watch.sisters())


def own_services(settings: Settings) -> list[tuple[str, int]]:
    """``(host, port)`` of everything of the server's that doesn't speak SIP: RPC, metrics, manhole, media daemons, database, and what a
    plugin's URL names."""
    found = []
    media = (node.split()[0] for node in settings.media.nodes if node.strip())
    for text in (settings.rpc.listen, settings.metrics.listen, settings.manhole.listen, settings.console.listen, *media):
        try:
            found.append(split_address(text, ""))
        except ConfigError:
            host, colon, port = text.rpartition(":")
            if colon and port.isascii() and port.isdigit():
                found.append((host, int(port)))
    for url in (settings.storage.url, settings.auth.backend_url):
        try:
            parts = urlsplit(url)
            number = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            continue
        if number and (parts.netloc or parts.scheme.startswith("postgres")):
            found.append((parts.hostname or "localhost", number))
    return found
