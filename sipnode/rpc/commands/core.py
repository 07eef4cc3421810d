"""core.* and corex.*: the program, its listeners and its connections, in Kamailio's names and fields."""

from __future__ import annotations

import os
import platform
import ssl
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from sipnode.rpc.connections import connection_number, connections, ends, seconds_left
from sipnode.rpc.dispatch import rows
from sipnode.rpc.registry import rpc

if TYPE_CHECKING:
    from sipnode.rpc.parts import Parts


class Info(TypedDict):
    version: str
    id: str
    compiler: str
    compiled: str
    flags: str


class Uptime(TypedDict):
    now: str
    up_since: str
    uptime: int


class RunInfo(TypedDict):
    name: str
    version: str
    sourceid: str
    compiler: str
    compiled: str
    time_now: str
    time_started: str
    uptime_secs: int
    utime_days: str


class ProcessLine(TypedDict):
    IDX: int
    PID: int
    DSC: str


class ProcessState(TypedDict):
    index: int
    pid: int
    status: int
    rank: int
    description: str


class Socket(TypedDict):
    proto: str
    address: str
    ipaddress: str
    port: str
    mcast: str
    mhomed: str
    virtual: str
    advertise: NotRequired[str]


class SocketEntry(TypedDict):
    socket: Socket


class Alias(TypedDict):
    proto: str
    address: str
    port: str


class Aliases(TypedDict):
    myself_callbacks: str
    aliases: list[Alias]


class TcpInfo(TypedDict):
    readers: int
    max_connections: int
    max_tls_connections: int
    opened_connections: int
    opened_tls_connections: int
    write_queued_bytes: int


class TcpConnection(TypedDict):
    id: int
    type: str
    state: str
    timeout: int
    lifetime: int
    ref_count: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int


TcpOptions = TypedDict(
    "TcpOptions",
    {
        "connect_timeout": int,
        "connection_lifetime": int,
        "max_connections(soft)": int,
        "max_tls_connections(soft)": int,
        "conn_wq_max": int,
        "crlf_ping": int,
    },
)


class ListedSocket(TypedDict):
    PROTO: str
    NAME: str
    ADDRLIST: dict[str, str]
    PORT: str
    MCAST: str
    MHOMED: str
    VIRTUAL: str
    SOCKNAME: str
    ADVERTISE: str


_DESCRIPTION = "main process - reactor"


def compiler() -> str:
    """The interpreter and libraries that run the program."""
    return f"{platform.python_implementation()} {platform.python_version()}"


class CoreCommands:
    """core.* and corex.*

    Args:
        parts: The running server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # -- the program

    @rpc("core.version")
    def version(self) -> str:
        """Name and version of the program, with machine and system."""
        return f"sipnode {self._parts.version} ({platform.machine()}/{platform.system().lower()}) "

    @rpc("core.info")
    def info(self) -> Info:
        """The program and what runs it."""
        flags = f"{_twisted()}, {ssl.OPENSSL_VERSION}"
        return Info(version=f"sipnode {self._parts.version}", id="unknown", compiler=compiler(), compiled="", flags=flags)

    @rpc("core.flags")
    def flags(self) -> str:
        """The libraries that it stands on."""
        return self.info()["flags"]

    @rpc("core.runinfo")
    def runinfo(self) -> RunInfo:
        """Version and times of this run."""
        now, started = self._parts.clock(), self._parts.started
        up = int(now - started)
        days = f"{up // 86400}d {up // 3600 % 24}h {up // 60 % 60}m {up % 60}s"
        return RunInfo(
            name="sipnode",
            version=self._parts.version,
            sourceid="unknown",
            compiler=compiler(),
            compiled="",
            time_now=time.ctime(now),
            time_started=time.ctime(started),
            uptime_secs=up,
            utime_days=days,
        )

    @rpc("core.uptime")
    def uptime(self) -> Uptime:
        """Since when it runs.

        ``uptime`` is in seconds; the others are local time.
        """
        now, started = self._parts.clock(), self._parts.started
        return Uptime(now=time.ctime(now), up_since=time.ctime(started), uptime=int(now - started))

    @rpc("core.ps")
    def ps(self) -> list[int | str]:
        """Its processes: number and description in turns.

        There is one: everything but the database runs in one reactor.
        """
        return [self._parts.pid, _DESCRIPTION]

    @rpc("core.psx")
    def psx(self) -> list[ProcessLine]:
        """Its processes, one object each."""
        return [ProcessLine(IDX=0, PID=self._parts.pid, DSC=_DESCRIPTION)]

    @rpc("core.psa")
    def psa(self) -> list[ProcessState]:
        """Its processes with their state; 1 is running."""
        return [ProcessState(index=0, pid=self._parts.pid, status=1, rank=0, description=_DESCRIPTION)]

    @rpc("core.echo")
    def echo(self, *words: str | int | float) -> list[str | int | float]:
        """Send back the parameters."""
        return list(words)

    @rpc("core.pwd")
    def pwd(self) -> list[str]:
        """The folder that it runs in."""
        return [os.getcwd()]

    @rpc("core.arg")
    def arg(self) -> list[str]:
        """The command line that started it."""
        return list(self._parts.arguments)

    # -- listeners

    @rpc("core.sockets_list")
    def sockets_list(self) -> list[SocketEntry]:
        """Every address that it listens on.

        ``advertise`` is there where Via and Record-Route say another address, as ``HOST:PORT``.
        """
        return [SocketEntry(socket=_socket(listener)) for listener in self._listeners()]

    @rpc("corex.list_sockets")
    def list_sockets(self) -> list[ListedSocket]:
        """Every address that it listens on, with what it advertises."""
        return [_listed(listener) for listener in self._listeners()]

    @rpc("core.aliases_list")
    def aliases_list(self) -> Aliases:
        """The domains that are its own, beside its addresses."""
        names = self._parts.settings.core.domains
        return Aliases(myself_callbacks="no", aliases=[Alias(proto="*", address=name, port="*") for name in names])

    def _listeners(self) -> list[Any]:
        return list(self._parts.transports.listeners) if self._parts.transports is not None else []

    # -- connections

    @rpc("core.tcp_info")
    def tcp_info(self) -> TcpInfo:
        """How many connections there are, and may be; WebSockets count, and those over TLS count twice."""
        opened = [flow.transport for flow in connections(self._parts.core)]
        most = self._parts.settings.limits.connections
        return TcpInfo(
            readers=1,
            max_connections=most,
            max_tls_connections=most,
            opened_connections=len(opened),
            opened_tls_connections=sum(transport in ("TLS", "WSS") for transport in opened),
            write_queued_bytes=0,
        )

    @rpc("core.tcp_list")
    def tcp_list(self) -> list[TcpConnection]:
        """Every connection: TCP, TLS, WS and WSS.

        ``timeout`` is in how many seconds it is closed if nothing more comes; ``src`` is the far end, whoever opened it.
        """
        core, now = self._parts.core, self._parts.clock()
        idle = self._parts.settings.transport.idle_seconds
        found: list[TcpConnection] = [
            {
                "id": connection_number(flow.token),
                "type": flow.transport,
                "state": "CONN_OK",
                "timeout": seconds_left(flow, now, idle),
                "lifetime": int(idle),
                "ref_count": 1,
                **ends(flow),
            }
            for flow in connections(core)
        ]
        return rows(found)

    @rpc("core.tcp_options")
    def tcp_options(self) -> TcpOptions:
        """The settings of connections that have a name in Kamailio."""
        settings = self._parts.settings
        return {
            "connect_timeout": int(settings.transport.connect_seconds),
            "connection_lifetime": int(settings.transport.idle_seconds),
            "max_connections(soft)": settings.limits.connections,
            "max_tls_connections(soft)": settings.limits.connections,
            "conn_wq_max": settings.limits.write_buffer_bytes,
            "crlf_ping": 1,
        }


def _twisted() -> str:
    return f"Twisted {metadata.version('twisted')}"


def _socket(listener: Any) -> Socket:
    entry = {
        "proto": listener.transport.lower(),
        "address": listener.host,
        "ipaddress": listener.host,
        "port": str(listener.port),
        "mcast": "no",
        "mhomed": "no",
        "virtual": "no",
    }
    advertised = _advertised(listener)
    if advertised:
        entry["advertise"] = advertised
    return entry  # type: ignore[return-value]  # made of the type's own names


def _advertised(listener: Any) -> str:
    """``HOST:PORT`` where it isn't what is bound, else ""."""
    said = f"{listener.via_host}:{listener.via_port}"
    bound = f"[{listener.host}]:{listener.port}" if ":" in listener.host else f"{listener.host}:{listener.port}"
    return "" if said == bound else said


def _listed(listener: Any) -> ListedSocket:
    return ListedSocket(
        PROTO=listener.transport.lower(),
        NAME=listener.host,
        ADDRLIST={"ADDR": listener.host},
        PORT=str(listener.port),
        MCAST="no",
        MHOMED="no",
        VIRTUAL="no",
        SOCKNAME="-",
        ADVERTISE=_advertised(listener) or "-",
    )
