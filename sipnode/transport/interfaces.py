"""The networks that this machine is in, by /proc (Linux).

Invariant: only looks, never fails; where the kernel doesn't tell, a listener's own neighbourhood is assumed.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

from sipnode.addresses import Network
from sipnode.transport.listen import is_loopback, is_unspecified


def listener_networks(hosts: Iterable[str]) -> list[Network]:
    """The networks that these bound addresses are in; for one that stands for all addresses, all of the machine.

    Args:
        hosts: IP literals without brackets.
    """
    known = machine_networks()
    found: list[Network] = []
    for host in hosts:
        if is_unspecified(host):
            found.extend(network for network in known if (network.version == 6) == (":" in host))
        elif not is_loopback(host):
            address = ipaddress.ip_address(host.partition("%")[0])
            around = [network for network in known if address in network]
            found.extend(around or [ipaddress.ip_network((address, 64 if address.version == 6 else 24), strict=False)])
    return list(dict.fromkeys(found))


def machine_networks() -> list[Network]:
    """Every directly connected network, loopback left out."""
    found: list[Network] = []
    for line in _lines("/proc/net/route")[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[2] == "00000000" and fields[7] != "00000000":
            base, mask = (socket.inet_ntoa(struct.pack("<I", int(fields[at], 16))) for at in (1, 7))
            found.append(ipaddress.ip_network(f"{base}/{mask}", strict=False))
    for line in _lines("/proc/net/if_inet6"):
        fields = line.split()
        if len(fields) > 2:
            address = ipaddress.IPv6Address(int(fields[0], 16))
            if not address.is_loopback:
                found.append(ipaddress.ip_network((address, int(fields[2], 16)), strict=False))
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
