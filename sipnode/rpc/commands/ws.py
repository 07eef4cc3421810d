"""ws.*: the WebSockets, in Kamailio's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.connections import connection, connection_number, connections
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class DumpInfo(TypedDict):
    wscounter: int
    truncated: str


class Dump(TypedDict):
    connections: list[str]
    info: DumpInfo


class Nothing(TypedDict):
    pass


class WebSocketCommands:
    """ws.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("ws.dump")
    def dump(self, order: str = "id_hash") -> Dump:
        """Every WebSocket in one line: its number for ws.close, both ends, when it was last used.

        Args:
            order: ``id_hash``, ``used_desc`` (the last used first) or ``used_asc``.
        """
        if order not in ("id_hash", "used_desc", "used_asc"):
            raise RpcError(400, "Bad display order parameter")
        now = self._parts.clock()
        flows = [flow for flow in connections(self._parts.core) if flow.websocket]
        if order != "id_hash":
            flows.sort(key=lambda flow: getattr(flow, "last", now), reverse=order == "used_desc")
        lines = [_line(flow, now) for flow in flows]
        return Dump(connections=rows(lines), info=DumpInfo(wscounter=len(flows), truncated="no"))

    @rpc("ws.close", changes=True)
    def close(self, id: int) -> Nothing:
        """Close a WebSocket with code 1000; who was registered over it isn't any more."""
        flow = connection(self._parts.core, id)
        if not flow.websocket:
            raise RpcError(500, "Unknown connection ID")
        flow.close("1000 closed by the operator")
        return {}


def _line(flow: Any, now: float) -> str:
    kind = flow.transport.lower()
    used = max(0, int(now - getattr(flow, "last", now)))
    ends = f"{kind}:{_address(flow.remote)} -> {kind}:{_address(flow.local)}"
    return f"{connection_number(flow.token)}: {ends} (state: OPEN,  last used {used}s ago, sub-protocol: sip)"


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
