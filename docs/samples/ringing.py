"""Methods of the RPC from a plugin. Goes into a folder ``sipnode/plugins/`` (without ``__init__.py``) on the path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipnode.errors import RpcError
from sipnode.interfaces import IRpcCommands


class Ringing(TypedDict):
    """A call that somebody should answer."""

    call_id: str
    caller: str
    seconds: int


@implementer(IPlugin, IRpcCommands)
class RingingCommands:
    """Which calls ring for too long: ``sipnode rpc ringing.list 20``."""

    name = "ringing"

    def methods(self, core: Any) -> Mapping[str, Callable[..., Any]]:
        """One method."""

        def every(least: int = 0) -> list[Ringing]:
            """Calls that ring, for at least so many seconds."""
            if least < 0:
                raise RpcError(400, "least can't be below 0")
            now = core.clock()
            early = [call for call in core.dialogs.list() if call.state == "early" and now - call.started >= least]
            return [Ringing(call_id=call.call_id, caller=call.caller, seconds=int(now - call.started)) for call in early]

        return {"ringing.list": every}


ringing = RingingCommands()
