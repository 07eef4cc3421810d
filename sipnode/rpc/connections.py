"""Connections as Kamailio's methods name them: by a number, with their state in words."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ends(TypedDict):
    """Addresses of a connection."""

    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int


_TOKEN: Final = re.compile(r"[0-9a-f]{10}-([0-9a-z]{1,12})")


def connection_number(token: str) -> int:
    """The number of a connection, from its token; -1 for "" (UDP).

    It is unique within a run of the server, and counts up.
    """
    if not token:
        return -1
    match = _TOKEN.fullmatch(token)
    return int(match[1], 36) if match is not None else zlib.crc32(token.encode())


def connections(core: Any) -> Iterator[Any]:
    """All live connections."""
    return iter(core.flows.connections())


def connection(core: Any, number: int) -> Any:
    """One live connection.

    Raises:
        RpcError: 500, in Kamailio's words.
    """
    for flow in connections(core):
        if connection_number(flow.token) == number:
            return flow
    raise RpcError(500, "Unknown connection ID")


def ends(flow: Any) -> Ends:
    """The addresses of a connection, the peer's first."""
    return {"src_ip": flow.remote[0], "src_port": flow.remote[1], "dst_ip": flow.local[0], "dst_port": flow.local[1]}


def seconds_left(flow: Any, now: float, idle_seconds: float) -> int:
    """Whole seconds until a connection is closed if nothing more comes by it."""
    return max(0, int(getattr(flow, "last", now) + idle_seconds - now))
