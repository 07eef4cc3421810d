"""The core of a server and what it is made of: the same for one that listens and for one in memory (:class:`sipnode.testing.World`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipnode.dialog.service import DialogService
from sipnode.routing.core import Core
from sipnode.services import TransactionClock
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.timers import Timings
from sipnode.wiring.destinations import contact_policy
from sipnode.wiring.insight import insight_of

if TYPE_CHECKING:
    from typing import Any

    from sipnode.auth.authenticator import Authenticator
    from sipnode.base.flows import FlowTable, Resolver
    from sipnode.interfaces import IMediaRelay
    from sipnode.proxy.destinations import Destinations
    from sipnode.registrar.service import RegistrarService
    from sipnode.settings import Settings


@dataclass(slots=True)
class Parts:
    """Parts that a core takes from outside.

    Attributes:
        flows: Live flows. resolver: Names to addresses.
        is_own: ``(host, port) -> bool``: an address that we listen on or advertise. own_host: The same whatever the port.
        destinations: What a message may make us send to.
        media: The relay. authenticator: Who proves users. registrar: The location table.
    """

    flows: FlowTable
    resolver: Resolver
    is_own: Callable[[str, int], bool]
    own_host: Callable[[str], bool]
    destinations: Destinations
    media: IMediaRelay
    authenticator: Authenticator
    registrar: RegistrarService


def new_core(settings: Settings, reactor: Any, secret: bytes) -> tuple[Core, TransactionClock]:
    """A core that has its transactions, and the service that gives these the time.

    Args:
        secret: Of what is sealed.
    """
    timer, timing = TransactionClock(reactor), settings.transaction
    timings = Timings(timing.t1, timing.t2, timing.t4, timing.timeout, timing.invite_timeout)
    layer = TransactionLayer(timings, timer.wake_at, settings.limits.transactions)
    timer.advance, timer.next_wake = layer.advance, layer.next_wake
    return Core(settings, reactor, layer, secret), timer


def assemble_core(core: Core, parts: Parts) -> None:
    """Give a core its parts, and make of them what is the same everywhere: the calls, the judge of contacts, and the recorder."""
    core.flows, core.resolver = parts.flows, parts.resolver
    core.is_own, core.own_host = parts.is_own, parts.own_host
    core.destinations = parts.destinations
    core.media, core.authenticator, core.registrar = parts.media, parts.authenticator, parts.registrar
    core.dialogs = DialogService(core.settings.dialog, core.reactor, core)
    core.registrar.contact_refusal = contact_policy(core)
    core.registrar.on_change(core.binding_changed)
    core.insight = insight_of(core)
