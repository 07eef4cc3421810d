"""Devices that have left a node which died: where they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from sipnode.routing.request import Request

if TYPE_CHECKING:
    from sipnode.proxy.core import Fork
    from sipnode.registrar.lookup import LookupResult


def look_again(fork: Fork) -> Deferred[None] | None:
    """Look the user up once more where another node was found dead: its devices may have come to this one meanwhile, and are tried then.

    Returns:
        A Deferred where the database has to be asked.
    """
    if not any(branch.target.beyond and branch.status == 430 for branch in fork.branches):
        return None
    request = fork.ctx
    assert isinstance(request, Request)
    core = request.core
    tried = {branch.target.flow for branch in fork.branches}

    def found(result: LookupResult) -> None:
        if result.status == 200:
            fork.add_targets([core.target(one) for one in result.bindings if one.connection_id and one.connection_id not in tried])

    result = core.registrar.lookup(request.ruri.aor, request.method)
    if isinstance(result, Deferred):
        return result.addCallback(found)
    found(result)
    return None
