"""Can every address be listened on? Each is bound for a moment, and let go.

Invariant: nothing is accepted or sent; when the check ends, every port is as it was.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Container
from contextlib import ExitStack
from typing import NamedTuple

from sipnode.addresses import split_address
from sipnode.base.flow import Listener
from sipnode.errors import ConfigError
from sipnode.settings import Settings
from sipnode.transport.listen import AUTO, bracketed, parse_listen
from sipnode.transport.portowner import port_taken

Report = Callable[[ConfigError], None]


class Place(NamedTuple):
    """An address that the server listens on.

    Attributes:
        listener: With the name that errors give it.
        udp: Datagrams, else connections.
        key: Of the setting.
    """

    listener: Listener
    udp: bool
    key: str


def places(settings: Settings) -> list[Place]:
    """All of them; lines that can't be read are left out, and so are ports that the kernel chooses."""
    found: list[Place] = []
    for line in settings.core.listen:
        try:
            spec = parse_listen(line, settings.core.advertise == AUTO)
        except ConfigError:
            continue
        found.append(Place(spec.listener(), spec.transport == "UDP", "core.listen"))
    wanted = [(settings.rpc.listen, "rpc.listen"), (settings.manhole.listen, "manhole.listen")]
    if settings.metrics.enabled:
        wanted.append((settings.metrics.listen, "metrics.listen"))
    if settings.console.enabled:
        wanted.append((settings.console.listen, "console.listen"))
    for text, key in wanted:
        try:
            host, port = split_address(text, key)
        except ConfigError:
            continue
        found.append(Place(Listener("TCP", host, port, bracketed(host)), False, key))
    return [place for place in found if place.listener.port]


def check_ports(settings: Settings, but: Container[str], report: Report, warn: Report) -> None:
    """Tell of each address that can't be had.

    Args:
        but: Settings whose value isn't known.
        warn: Told of those that the service manager holds, which it hands to the server.
    """
    users: dict[tuple[bool, str, int], Place] = {}
    with ExitStack() as held:
        for place in places(settings):
            if place.key in but:
                continue
            listener = place.listener
            where = (place.udp, listener.host, listener.port)
            first = users.setdefault(where, place)
            if first is not place:
                # TCP and WebSocket share a port; nothing else does.
                if not first.key == place.key == "core.listen":
                    report(ConfigError(f"{bracketed(listener.host)}:{listener.port} is that of {first.key} already", key=place.key))
                continue
            try:
                held.enter_context(_bound(*where))
            except OSError as error:
                fault = port_taken(listener, error)
                (warn if " is taken by systemd " in fault.reason else report)(ConfigError(fault.reason, key=place.key))


def _bound(udp: bool, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if not udp:
            # As Twisted does: what a former server left in TIME_WAIT is no hindrance.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if not udp:
            sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def is_running(path: str) -> bool:
    """Whether a server answers on this UNIX socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect(path)
        except OSError:
            return False
    return True
