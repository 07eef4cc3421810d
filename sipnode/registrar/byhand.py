"""Bindings that an operator puts in: on their way they are treated as those of a REGISTER.

The invariant: a binding put in by hand is in memory, in the store and known to the watchers, or nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from sipnode.errors import StorageBusy
from sipnode.records import LocationChange
from sipnode.registrar.register import RegisterPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipnode.records import Binding
    from sipnode.registrar.service import RegistrarService


class _Asker:
    """Takes the answer in the place of a phone."""

    def reply(self, status: int, reason: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> int:
        """The answer: its status."""
        return status


def admit(registrar: RegistrarService, binding: Binding) -> Deferred[None]:
    """Put a binding in, in the place of the one with its ``ruid``.

    Returns:
        Fires when it is stored; fails with StorageBusy when it can't be, and then it isn't there.
    """
    if not registrar.ready:
        return maybeDeferred(_refuse, 503)
    changes = [LocationChange(binding)]
    before = registrar.table.apply(binding.aor, changes)
    disk = registrar._disk
    if disk is None:
        registrar._tell_changes(changes, before)
        return succeed(None)
    asker: Any = _Asker()
    plan = RegisterPlan(200, changes=changes)
    stored = maybeDeferred(disk.register, asker, plan, before, lambda: registrar._tell_changes(changes, before))
    return stored.addCallback(_refuse)


def _refuse(status: int) -> None:
    if status != 200:
        raise StorageBusy("the binding could not be stored")


def flushed(registrar: RegistrarService) -> Deferred[None]:
    """Fires when what is known now is in the store, or after the time of one write."""
    return succeed(None) if registrar._disk is None else registrar._disk.drain()
