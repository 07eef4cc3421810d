"""Wiring of the defence: the gate before the dispatcher, and who tells the guard what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sipnode.defence.gate import Gate
from sipnode.defence.guard import Guard
from sipnode.defence.service import DefenceService
from sipnode.nodes.sisters import SisterWatch

if TYPE_CHECKING:
    from twisted.application.service import IService

    from sipnode.routing.core import Core
    from sipnode.transport.assembly import Transports


def guarded(core: Core, sink: Any) -> Any:
    """The sink that transports are to call: the gate before ``sink``, or ``sink`` itself where ``[defence]`` is off.

    Raises:
        ConfigError: a trusted network that can't be read.
    """
    settings = core.settings.defence
    if not settings.enabled:
        return sink
    trunks = [text for trunk in core.settings.trunk.values() if trunk.trust == "address" for text in trunk.sources]
    guard = Guard(settings, core.clock, (*core.settings.auth.trusted, *trunks), lambda host: core.own_host(host))
    gate = Gate(sink, guard, core.clock, core.transactions.held, core.outbox)
    core.transactions.place_of = guard.place_of
    core.misbehaved = gate.misbehaved
    core.defence = DefenceService(guard, core.reactor, core.busy, lambda: core.flows.connections())
    return gate


def connect_defence(core: Core, transports: Transports, others: Iterable[IService]) -> list[IService]:
    """Connect the guard with authentication, with the accepting of connections and with the sister nodes.

    Args:
        others: Among them the watch over sister nodes, whose addresses are trusted as our own.
    """
    if core.defence is None:
        return []
    guard = core.defence.guard
    core.authenticator.guard = guard
    admission = transports.admission
    admission.shut, admission.spend, admission.hung_up = guard.refuses, guard.spend, guard.hung_up
    admission.key_of = guard.sources.key_of
    core.defence.admission = admission
    core.defence.unplaced = lambda: core.authenticator.unplaced
    watches = [service for service in others if isinstance(service, SisterWatch)]
    if watches:

        def sister_host(host: str) -> bool:
            return core.own_host(host) or any(sister.address.host.strip("[]") == host for watch in watches for sister in watch.sisters())

        guard.sources.own_host = guard.datagrams.own_host = sister_host
    # A request that a proxy of ours brings without saying whose it is can't be held against all whom it serves.
    by_stream = guard.sources.own_host
    guard.sources.own_host = lambda host: by_stream(host) or admission.proxy(host)
    return [core.defence]
