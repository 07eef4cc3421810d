"""This machine, as /proc shows it: processes, their options, and who has which UDP ports.

Invariant: only looks, never fails; what can't be read isn't there.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sipnode.transport.portowner import local_addresses

_PROC = Path("/proc")


class Process(NamedTuple):
    """A process.

    Attributes:
        command: Its name.
        stopped: It got SIGSTOP, or a debugger has it.
    """

    pid: int
    command: str
    stopped: bool

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


class UdpPort(NamedTuple):
    """A bound UDP port; ``inode`` names its socket."""

    host: str
    port: int
    inode: str


def is_local(host: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or str(address) in local_addresses()


def process(pid: int) -> Process:
    """Facts about a process."""
    status = _text(_PROC / str(pid) / "status")
    found = re.search(r"^State:\s+(\S)", status, re.M)
    return Process(pid, _text(_PROC / str(pid) / "comm").strip() or "a process", found is not None and found[1] in "Tt")


def processes(command: str) -> list[Process]:
    """Those of that name; threads have that of their process."""
    return [one for pid in _pids() if (one := process(pid)).command == command]


def command_line(pid: int) -> list[str]:
    """Its arguments, itself included."""
    return _text(_PROC / str(pid) / "cmdline").rstrip("\0").split("\0")


def mark_of(pid: int) -> str:
    """When a process began, in the kernel's ticks, "" where there is none: its number may be another's later."""
    # The name in brackets may have any characters; 20 fields later stands the time (proc(5), starttime).
    fields = _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def executable(pid: int) -> str:
    """The file that it runs, "" where that can't be told."""
    try:
        return os.readlink(_PROC / str(pid) / "exe")
    except OSError:
        return ""


def udp_ports() -> list[UdpPort]:
    """All bound UDP ports."""
    found = []
    for name in ("udp", "udp6"):
        for line in _text(_PROC / "net" / name).splitlines()[1:]:
            fields = line.split()
            host, _, port = fields[1].rpartition(":")
            found.append(UdpPort(_address(host), int(port, 16), fields[9]))
    return found


def owners(inodes: set[str]) -> dict[str, int]:
    """The process of each of these sockets, as far as it can be told."""
    found: dict[str, int] = {}
    for pid in _pids():
        try:
            names = os.listdir(_PROC / str(pid) / "fd")
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(_PROC / str(pid) / "fd" / name)
            except OSError:
                continue
            inode = target[8:-1] if target.startswith("socket:[") else ""
            if inode in inodes:
                found.setdefault(inode, pid)
    return found


def owner_of(port: int) -> Process | None:
    """The owner of a UDP port, whatever the address."""
    inodes = {one.inode for one in udp_ports() if one.port == port}
    found = owners(inodes) if inodes else {}
    return process(min(found.values())) if found else None


def _address(text: str) -> str:
    octets = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(octets))


def _pids() -> Iterator[int]:
    try:
        names = os.listdir(_PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
