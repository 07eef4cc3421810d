"""Wiring of the defence: the gate before the dispatcher, and who tells the guard what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.defence.gate import Gate
from sipnode.defence.guard import Guard
from sipnode.defence.service import DefenceService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.auth.authenticator import Authenticator
    from sipnode.base.flow import Flow, MessageSink
    from sipnode.nodes.sisters import SisterWatch
    from sipnode.routing.core import Core
    from sipnode.settings import Settings
    from sipnode.transaction.layer import TransactionLayer
    from sipnode.transport.admission import Admission


def build_defence(
    settings: Settings,
    reactor: IReactorTime,
    transactions: TransactionLayer,
    busy: dict[str, Callable[[], int]],
    connections: Callable[[], Iterable[Flow]],
    own_host: Callable[[str], bool],
    authenticator: Authenticator,
    watch: SisterWatch | None = None,
    admission: Admission | None = None,
) -> DefenceService | None:
    """The defence, connected with the transaction layer, with authentication and with the accepting of connections; None where it is off.

    Args:
        busy: Of the core.
        watch: Over the sister nodes, whose addresses are trusted as our own.
        admission: None where nothing listens.

    Raises:
        ConfigError: a trusted network that can't be read.
    """
    if not settings.defence.enabled:
        return None

    def friend(host: str) -> bool:
        return own_host(host) or (watch is not None and any(sister.address.host.strip("[]") == host for sister in watch.sisters()))

    trunks = [text for trunk in settings.trunk.values() if trunk.trust == "address" for text in trunk.sources]
    guard = Guard(settings.defence, reactor.seconds, (*settings.auth.trusted, *trunks), own_host if watch is None else friend)
    transactions.place_of = guard.place_of
    authenticator.guard = guard
    defence = DefenceService(guard, reactor, busy, connections)
    defence.unplaced = lambda: authenticator.unplaced
    if admission is not None:
        _at_the_door(guard, admission)
        defence.admission = admission
    return defence


def _at_the_door(guard: Guard, admission: Admission) -> None:
    admission.shut, admission.spend, admission.hung_up = guard.refuses, guard.spend, guard.hung_up
    admission.key_of = guard.sources.key_of
    # A request that a proxy of ours brings without saying whose it is can't be held against all whom it serves.
    by_stream = guard.sources.own_host
    guard.sources.own_host = lambda host: by_stream(host) or admission.proxy(host)


def guarded(core: Core, sink: MessageSink) -> MessageSink:
    """The sink that transports are to call: the gate before ``sink``, or ``sink`` itself where ``[defence]`` is off."""
    if core.defence is None:
        return sink
    return Gate(sink, core.defence.guard, core.clock, core.transactions.held, core.outbox)
