"""Sockets that the service manager has bound for us (systemd's socket activation, sd_listen_fds(3)).

They outlive the process, so no datagram and no connection is refused between two of them. A socket is taken by the listener
whose address and kind it has. Invariant: each is taken once, and what nobody takes is told and closed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

FIRST_DESCRIPTOR = 3
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def first_environment() -> dict[str, str]:
    """The environment that this process was started with. Importing Twisted's endpoints takes the variables out of ``os.environ``."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = (os.fsdecode(entry).partition("=") for entry in file.read().split(b"\0") if entry)
            return {name: value for name, _, value in pairs}
    except OSError:
        return dict(os.environ)


def passed_descriptors(environment: Mapping[str, str], pid: int) -> list[int]:
    """Descriptors that were passed to this process."""
    count, whose = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_PID", "")
    if whose != str(pid) or not (count.isascii() and count.isdigit()):
        return []
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))


class PassedSockets:
    """The sockets that came with the process.

    Args:
        descriptors: Their numbers.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self._sockets: list[socket.socket] = []
        for number in descriptors:
            os.set_inheritable(number, False)
            self._sockets.append(socket.socket(fileno=number))

    def take(self, host: str, port: int, datagrams: bool) -> socket.socket | None:
        """The socket that is bound to that address, non-blocking, or None.

        Args:
            host: IP address without brackets.
        """
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        for sock in self._sockets:
            if sock.type == kind and sock.family in _FAMILIES and _same(sock.getsockname()[:2], host, port, sock.family):
                self._sockets.remove(sock)
                sock.setblocking(False)
                return sock
        return None

    def rest(self) -> list[str]:
        """Addresses that no listener took; their sockets are closed."""
        left = []
        for sock in self._sockets:
            left.append(str(sock.getsockname()))
            sock.close()
        self._sockets = []
        return left


def _same(name: tuple[str, int], host: str, port: int, family: int) -> bool:
    if name[1] != port:
        return False
    try:
        return socket.inet_pton(family, name[0].partition("%")[0]) == socket.inet_pton(family, host.partition("%")[0])
    except OSError:
        return False
