"""sipnode.*: what Kamailio has no method for: state in one look, log level, wire trace, reload, settings in force, sister nodes."""

from __future__ import annotations

import gc
import os
import resource
from typing import TYPE_CHECKING, Any, Final, TypedDict

from sipnode.errors import RpcError
from sipnode.rpc.connections import connections
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.base.management import Logs
    from sipnode.rpc.parts import Parts

_DEBUG_LEVELS: Final = {"error": -1, "warn": 0, "info": 2, "debug": 3}


class Status(TypedDict):
    version: str
    node: int
    uptime: int
    ready: bool
    busy: list[str]
    storage: str
    domains: list[str]
    registrations: int
    addresses: int
    calls: int
    transactions: int
    connections: dict[str, int]
    media_nodes: int
    media_nodes_up: int
    bans: int


class Trace(TypedDict):
    on: bool
    conditions: dict[str, str]


class Reload(TypedDict):
    done: list[str]
    refused: list[str]
    restart: list[str]


class Memory(TypedDict):
    resident_bytes: int
    highest_bytes: int
    collections: list[int]
    frozen_objects: int


class Sister(TypedDict):
    address: str
    down: bool
    unanswered: int
    bindings_until: int


class SipnodeCommands:
    """sipnode.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @rpc("sipnode.status")
    def status(self) -> Status:
        """The server in one look.

        ``busy`` says why new calls get 503, ``storage`` why nothing can be stored; both are empty when all is well.
        """
        parts, core = self._parts, self._parts.core
        table = core.registrar.table
        by_transport: dict[str, int] = {}
        for flow in connections(core):
            by_transport[flow.transport] = by_transport.get(flow.transport, 0) + 1
        nodes = parts.media.nodes.nodes if parts.media is not None else []
        lifecycle = parts.lifecycle
        return Status(
            version=parts.version,
            node=parts.settings.node.id,
            uptime=int(parts.clock() - parts.started),
            ready=core.registrar.ready if lifecycle is None else lifecycle.ready,
            busy=sorted(core.busy),
            storage=parts.storage.degraded if parts.storage is not None else "",
            domains=list(parts.settings.core.domains),
            registrations=table.count(),
            addresses=table.addresses(),
            calls=len(core.dialogs),
            transactions=len(core.transactions),
            connections=dict(sorted(by_transport.items())),
            media_nodes=len(nodes),
            media_nodes_up=sum(parts.media.nodes.is_up(node) for node in nodes),
            bans=len(core.defence.bans()) if core.defence is not None else 0,
        )

    @rpc("sipnode.memory")
    def memory(self) -> Memory:
        """Memory and time of the process, and the work of its garbage collector."""
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        collections = [each["collections"] for each in gc.get_stats()]
        return Memory(resident_bytes=resident, highest_bytes=highest, collections=collections, frozen_objects=gc.get_freeze_count())

    @rpc("sipnode.conf")
    def conf(self, section: str = "") -> dict[str, Any]:
        """The settings in force by section, secrets masked; those of one section when it is named."""
        every = self._parts.conf()
        if section and section not in every:
            raise RpcError(404, f"there is no section {section[:40]}; there are: {', '.join(every)}")
        return every[section] if section else every

    # -- the log

    @rpc("sipnode.log_level")
    def log_level(self) -> str:
        """The level of the log: debug, info, warn or error."""
        return str(self._logs.level)

    @rpc("sipnode.set_log_level", changes=True)
    def set_log_level(self, level: str) -> str:
        """Another level of the log until the next start or reload."""
        try:
            self._logs.set_level(level)
        except ValueError as error:
            raise RpcError(400, str(error)) from None
        return self.log_level()

    @rpc("corex.debug", changes=True)
    def debug(self, level: int = -99) -> dict[str, int]:
        """The level of the log as Kamailio's number, 3 debug to -1 error; with a number, another one from now on."""
        old = _DEBUG_LEVELS[self._logs.level]
        if level == -99:
            return {"debug": old}
        name = "error" if level < 0 else "warn" if level == 0 else "info" if level < 3 else "debug"
        self._logs.set_level(name)
        return {"old": old, "new": _DEBUG_LEVELS[name]}

    @rpc("sipnode.trace")
    def trace(self) -> Trace:
        """Whether messages are written to the log, and which."""
        trace = self._logs.trace
        return Trace(on=trace is not None, conditions={} if trace is None else dict(trace.conditions))

    @rpc("sipnode.trace_on", changes=True)
    def trace_on(self, user: str = "", address: str = "", call_id: str = "", method: str = "") -> Trace:
        """Write messages to the log, secrets masked: all, or those that every given condition fits.

        Args:
            user: User part of some URI in it.
            address: ``HOST`` or ``HOST:PORT`` of the peer.
            call_id: Its Call-ID.
            method: Of the request, or of what a response answers.
        """
        if not all(text.isprintable() and len(text) <= 255 for text in (user, address, call_id, method)):
            raise RpcError(400, "conditions have to be printable, of at most 255 characters")
        self._logs.trace_on(user, address, call_id, method)
        return self.trace()

    @rpc("sipnode.trace_off", changes=True)
    def trace_off(self) -> Trace:
        """Write no more messages to the log."""
        self._logs.trace_off()
        return self.trace()

    # -- the process

    @rpc("sipnode.reload", changes=True)
    def reload(self) -> Reload:
        """Read the configuration anew, as SIGHUP does.

        ``done`` is what was taken, ``refused`` what was at fault and stays as it was, ``restart`` what needs a restart.
        """
        lifecycle = self._parts.lifecycle
        if lifecycle is None:
            raise RpcError(500, "this server can't reload")
        report = lifecycle.reload()
        return Reload(done=list(report.done), refused=list(report.refused), restart=list(report.restart))

    @rpc("sipnode.nodes")
    def nodes(self) -> list[Sister]:
        """The sister nodes that hold bindings of the shared table, and whether they answer."""
        return [
            Sister(address=_address(each.address), down=each.down, unanswered=each.unanswered, bindings_until=int(each.until))
            for each in self._parts.sisters()
        ]

    @property
    def _logs(self) -> Logs:
        logs = self._parts.logs
        if logs is None:
            raise RpcError(500, "this server's log can't be changed")
        return logs


def _address(address: Any) -> str:
    return f"{address.transport.lower()}:{address.host}:{address.port}"
