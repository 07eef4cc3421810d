"""Wiring of the manhole: the names at its prompt, made of the running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from sipnode import __version__
from sipnode.manhole.names import Parts, banner_of, names_of, namespace_of
from sipnode.manhole.service import ManholeService
from sipnode.manhole.views import Text
from sipnode.rpc.client import shown
from sipnode.rpc.dispatch import plain
from sipnode.transaction.machine import ClientTransaction
from sipnode.transaction.states import STATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.log import LogControl
    from sipnode.observe.callhistory import CallHistory
    from sipnode.routing.core import Core
    from sipnode.rpc.registry import Registry
    from sipnode.wiring.rpc import RpcService


def manhole_service(
    root: Any, core: Core, rpc: RpcService, media: Any, conf_dir: Path, state_dir: Path, logs: LogControl, calls: CallHistory
) -> ManholeService | None:
    """The manhole, or None where the settings want none.

    Args:
        root: The service tree that it shows.
        rpc: Its methods can be called, and it knows the settings in force, secrets masked.
        logs: The wire trace. calls: Their life.

    Raises:
        ConfigError: it can't be as the settings want it.
    """
    settings = core.settings.manhole
    if not settings.listen:
        return None
    parts = rpc.parts
    names = names_of(Parts(core, root, parts.conf, caller(rpc.registry), media, transaction_row(core), logs, calls, parts.lifecycle))
    banner = banner_of(names, __version__)
    return ManholeService(settings, conf_dir, state_dir, banner, lambda leave: namespace_of(names, __version__, leave), core.reactor)


def caller(registry: Registry) -> Callable[..., Any]:
    """Calls methods of the RPC from the prompt."""

    def rpc(method: str, *params: Any) -> Any:
        """Call a method of the RPC; the answer as ``sipnode rpc`` prints it."""
        found = registry.get(method)
        result = found.call(*found.bind(list(params)))
        if isinstance(result, Deferred):
            return result.addCallback(as_text)
        return as_text(result)

    return rpc


def as_text(result: Any) -> Text:
    """An answer of the RPC for people."""
    return Text(shown(plain(result)))


def transaction_row(core: Core) -> Callable[[Any], dict[str, Any]]:
    """Makes the row of a transaction."""

    def row(transaction: Any) -> dict[str, Any]:
        client = isinstance(transaction, ClientTransaction)
        ends = transaction.expires_at or transaction.due()
        host, port = transaction.flow.remote
        return {
            "side": "client" if client else "server",
            "kind": "INVITE" if transaction.invite else "other",
            "state": STATE_NAMES[transaction.state].lower(),
            "peer": f"{transaction.flow.transport.lower()}:{host}:{port}",
            "ends_in": round(ends - core.clock(), 1) if ends else "-",
            "key": transaction.key.replace("\n", " "),
        }

    return row
