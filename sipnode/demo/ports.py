"""Which ports are free, and who has those that aren't. Linux: reads /proc."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

_LISTEN = "0A"


def is_free(protocol: str, host: str, port: int) -> bool:
    """Whether a server could bind there; protocol is 'udp' or 'tcp'.

    Raises:
        OSError: For any other reason than a port in use, as an address that isn't ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def holder(protocol: str, port: int) -> str:
    """The owner of a port, for people: 'kamailio (process 4711)', or 'another process' where it isn't ours to see."""
    inodes = _inodes(protocol, port)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            for descriptor in os.scandir(f"/proc/{entry}/fd"):
                link = os.readlink(descriptor.path)
                if link.startswith("socket:[") and link[8:-1] in inodes:
                    return f"{Path(f'/proc/{entry}/comm').read_text().strip()} (process {entry})"
        except OSError:
            continue
    return "another process"


def used_udp_ports() -> set[int]:
    """Every UDP port that is bound to any address."""
    return {port for port, _inode in _rows("udp")}


def free_range(first: int, size: int) -> tuple[int, int]:
    """The lowest (first, last) of ``size`` UDP ports in a row, from ``first`` in steps of ``size``, that nobody has.

    Raises:
        OSError: None below 65536.
    """
    used = used_udp_ports()
    for low in range(first, 65536 - size, size):
        if not any(low <= port < low + size for port in used):
            return low, low + size - 1
    raise OSError(errno.EADDRINUSE, f"no {size} UDP ports in a row are free from {first} on")


def _rows(protocol: str) -> list[tuple[int, str]]:
    rows = []
    for name in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if protocol == "udp" or fields[3] == _LISTEN:
                rows.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    return rows


def _inodes(protocol: str, port: int) -> set[str]:
    return {inode for used, inode in _rows(protocol) if used == port}
