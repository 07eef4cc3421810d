"""The machine: clock, time zone, descriptors, kernel buffers.

Invariant: only looks; a limit that can't be seen isn't told of.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import time
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sipnode
from sipnode.check.health.lines import Line
from sipnode.transport.descriptors import allowed, complaint

_TIME_ERROR: Final = 5
_SLACK: Final = 86400.0
_LIMIT: Final = re.compile(r"(?m)^Max open files\s+\S+\s+(\S+)")


def synchronized() -> bool | None:
    """Whether the kernel says that its clock follows others; None where it doesn't tell."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(1024))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def check_clock(now: float, synced: bool | None) -> Iterator[Line]:
    """The clock.

    Args:
        now: Epoch seconds.
        synced: See :func:`synchronized`.
    """
    text = time.strftime("%FT%TZ", time.gmtime(now))
    made = Path(sipnode.__file__).stat().st_mtime
    if now < made - _SLACK:
        yield Line("clock", f"{text} is before this program was installed", "timedatectl set-ntp true")
    elif synced is False:
        yield Line("clock", f"{text}, not synchronized: no time server sets it", "timedatectl set-ntp true  # or: apt install chrony")
    else:
        yield Line("clock", text + (", synchronized" if synced else ""))


def check_zone(variable: str, link: Path = Path("/etc/localtime")) -> Iterator[Line]:
    """The time zone that local times of log and tables are in.

    Args:
        variable: ``TZ`` of the environment.
    """
    name = variable.lstrip(":")
    if name and not name.startswith("/") and "," not in name and not re.fullmatch(r"[A-Za-z]{3,}[-+]?\d*.*", name.partition("/")[0]):
        yield Line("time zone", f"TZ={name} can't be read, so it is UTC", "unset TZ")
    elif name and "/" in name and not _is_zone(name):
        yield Line(
            "time zone", f"TZ={name} isn't known here, so it is UTC", "apt install tzdata  # or correct TZ: timedatectl list-timezones"
        )
    elif not name and link.is_symlink() and not link.exists():
        yield Line("time zone", f"{link} leads to {os.readlink(link)}, which isn't there, so it is UTC", "apt install tzdata")
    else:
        yield Line("time zone", f"{name or time.tzname[0]}, UTC{time.strftime('%z')}")


def _is_zone(name: str) -> bool:
    if name.startswith("/"):
        return Path(name).is_file()
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def descriptors(pid: int) -> int:
    """Most file descriptors of a process, 0 for the one that is to come."""
    try:
        found = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text("ascii", "replace")) if pid else None
    except OSError:
        found = None
    return int(found[1]) if found and found[1].isdigit() else allowed()


def check_descriptors(connections: int, limit: int) -> Iterator[Line]:
    """File descriptors.

    Args:
        connections: ``[limits] connections``.
        limit: Most that the process may have.
    """
    said = complaint(connections, limit)
    remedy = f"systemctl edit sipnode  # LimitNOFILE={connections + 1000}; in a shell: ulimit -n {connections + 1000}"
    yield Line("descriptors", said or f"{limit}, enough for [limits] connections = {connections}", remedy if said else "")


def granted(wanted: int) -> int:
    """Octets of a receive buffer that the kernel gives to a UDP socket that asks for so many."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        except OSError:
            return 0
        # Linux doubles what was asked for, for its own book-keeping.
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def check_buffers(wanted: int, got: int) -> Iterator[Line]:
    """Kernel buffers of UDP.

    Args:
        wanted: ``[transport] udp_receive_buffer``.
        got: See :func:`granted`.
    """
    if got < wanted:
        yield Line("buffers", f"UDP sockets get {got} octets of {wanted}: bursts are lost", f"sysctl -w net.core.rmem_max={wanted}")
    else:
        yield Line("buffers", f"UDP sockets get {wanted} octets")
