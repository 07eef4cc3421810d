"""The core of a server and what it is made of: the same for one that listens and for one in memory (:class:`sipnode.testing.World`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.auth.secret import derive
from sipnode.registrar.gruu import Gruus
from sipnode.routing.assembly import made
from sipnode.routing.core import Core
from sipnode.routing.versions import Versions
from sipnode.services import TransactionClock
from sipnode.transaction.layer import TransactionLayer
from sipnode.transaction.timers import Timings
from sipnode.wiring.destinations import contact_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from sipnode.presence.service import PresenceService
    from sipnode.routing.parts import Parts
    from sipnode.routing.versions import Read
    from sipnode.settings import Settings


def _no_presence(core: Core) -> PresenceService | None:
    return None


def new_transactions(settings: Settings, reactor: IReactorTime) -> tuple[TransactionLayer, TransactionClock]:
    """The transaction layer, with outbox, tap and counters, and the service that gives it the time."""
    timer, timing = TransactionClock(reactor), settings.transaction
    timings = Timings(timing.t1, timing.t2, timing.t4, timing.timeout, timing.invite_timeout)
    layer = TransactionLayer(timings, timer.wake_at, settings.limits.transactions)
    timer.advance, timer.next_wake = layer.advance, layer.next_wake
    return layer, timer


def assemble_core(
    settings: Settings,
    reactor: IReactorTime,
    transactions: TransactionLayer,
    secret: bytes,
    parts: Parts,
    read: Read,
    presence: Callable[[Core], PresenceService | None] = _no_presence,
) -> tuple[Core, Versions]:
    """Make a core of its parts, with the first version of its script.

    Args:
        secret: Of what is sealed.
        read: Reads script and stages; see :class:`~sipnode.routing.versions.Versions`.
        presence: Makes the presence service; gives None where no event package is served.

    Raises:
        ConfigError: the script, or an event package, can't be used.
    """
    first = read()
    core = Core(settings, reactor, transactions, secret, parts, presence, lambda core: made(core, *first))
    parts.registrar.contact_refusal = contact_policy(core)
    if settings.location.gruu:
        parts.registrar.gruus = Gruus(derive(secret, "gruu"), transactions.counters)
    return core, Versions(core, read, first)
