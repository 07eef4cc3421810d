"""The owner of a port, the words for "address already in use" (Linux, by /proc).

Invariant: only looks, never fails; what cannot be read is left out of the sentence.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from sipnode.errors import ConfigError
from sipnode.transport.listen import bracketed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipnode.base.flow import Listener


def port_taken(listener: Listener, error: Exception | None) -> ConfigError:
    """The error that stops the start because ``listener`` couldn't be bound."""
    place = f"{bracketed(listener.host)}:{listener.port}"
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        owner = who_has_port(listener.port, udp=listener.transport == "UDP")
        reason = f"{place} is taken" + (f" by {owner}" if owner else "") + "; stop that or choose another port"
    elif number == errno.EADDRNOTAVAIL:
        reason = f"{listener.host} is not an address of this machine; bind one that is and write the other behind 'advertise'"
    elif number == errno.EACCES:
        reason = f"{place} needs the right to bind low ports (start as root with --uid, or CAP_NET_BIND_SERVICE)"
    else:
        reason = f"{place} cannot be bound: {getattr(error, 'strerror', None) or error}"
    return ConfigError(f"{listener.name}: {reason}", key="core.listen")


def who_has_port(port: int, udp: bool = False) -> str:
    """``'kamailio (pid 4711)'`` for the process that listens on a port; ``''`` where it cannot be told."""
    inodes = set(_inodes(port, "udp" if udp else "tcp"))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in _pids():
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                if os.readlink(f"{folder}/{name}") in wanted:
                    return f"{_command(pid)} (pid {pid})"
            except OSError:
                continue
    return ""


def local_addresses() -> list[str]:
    """The addresses of this machine, without brackets; empty where the kernel doesn't tell."""
    found: list[str] = []
    previous = ""
    for line in _lines("/proc/net/fib_trie"):
        text = line.strip()
        if text.startswith("/32 host LOCAL") and previous not in found:
            found.append(previous)
        if text.startswith("|--"):
            previous = text[3:].strip()
    for line in _lines("/proc/net/if_inet6"):
        found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
    return found


def _inodes(port: int, protocol: str) -> Iterator[str]:
    for suffix in ("", "6"):
        for line in _lines(f"/proc/net/{protocol}{suffix}")[1:]:
            fields = line.split()
            listening = protocol == "udp" or fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _pids() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _command(pid: str) -> str:
    lines = _lines(f"/proc/{pid}/comm")
    return lines[0].strip() if lines else "a process"


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
