"""Where others are told to find us: advertised addresses beside those of this machine, and beside what a STUN server sees.

Implements: RFC 8489 §5, §14.2 (a binding request). Invariant: where it can't be told, nothing is said: behind a NAT much looks odd.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Collection, Iterator
from typing import Final

from sipnode.check.health.lines import Line, edit
from sipnode.transport.listen import ListenSpec, family_of, is_loopback, is_unspecified
from sipnode.transport.stun import binding_request, mapped_address

WAITS: Final = (0.4, 0.8)


def check_places(
    specs: Collection[ListenSpec], local: Collection[str], seen: str, conf: str, resolve: Callable[[str], Collection[str]]
) -> Iterator[Line]:
    """A line for each listener.

    Args:
        specs: What is listened on.
        local: Addresses of this machine.
        seen: Our address as a STUN server says it, "" where none was asked.
        resolve: Addresses of a name, none where it has none.
    """
    for spec in specs:
        fault, remedy = _wrong(spec, local, seen, conf, resolve)
        name = f"{spec.transport.lower()}:{spec.host}:{spec.port}"
        via = spec.via_host if not spec.via_port else f"{spec.via_host}:{spec.via_port}"
        about = name if via.strip("[]") == spec.host else f"{name} advertises {via}"
        yield Line("address", f"{about}: {fault}" if fault else about, remedy)


def _wrong(spec: ListenSpec, local: Collection[str], seen: str, conf: str, resolve: Callable[[str], Collection[str]]) -> tuple[str, str]:
    here = edit("core.listen", conf)
    if local and not (is_unspecified(spec.host) or is_loopback(spec.host) or spec.host in local):
        return f"{spec.host} is no address of this machine ({' '.join(sorted(local))})", "ip -br address"
    host = spec.via_host.strip("[]")
    addresses = {host} if family_of(host) else set(resolve(host))
    if not addresses:
        return f"{host} has no address", f"dig +short {host}"
    if is_loopback(spec.host):
        # A WebSocket is often reached by a web server of the same machine.
        if not spec.transport.startswith("WS") and not spec.proxy_protocol and not all(map(is_loopback, addresses)):
            return "it is bound to loopback, where nobody from outside arrives", here
        return "", ""
    if any(map(is_loopback, addresses)):
        return "others would look for it on their own machine", here
    for each in addresses:
        known = ipaddress.ip_address(each.partition("%")[0])
        if known.is_multicast or known.is_reserved or each == "255.255.255.255":
            return f"{each} is the address of no machine", here
    same = {each for each in addresses if (":" in each) == (":" in seen)}
    if seen and same and seen not in same and not same & set(local):
        return f"others see this machine as {seen}", here
    if seen and same and seen not in same and all(ipaddress.ip_address(each.partition("%")[0]).is_private for each in same):
        return f"it is a private address, and others see this machine as {seen}", f"{here}: advertise {seen}"
    return "", ""


def seen_by(server: str) -> str:
    """Our address as a STUN server sees it; "" without an answer.

    Args:
        server: ``HOST`` or ``HOST:PORT``, ``stun:`` before it or not.
    """
    rest = server.removeprefix("stun:")
    host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "3478")
    transaction = os.urandom(12)
    try:
        family, _, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        for wait in WAITS:
            with socket.socket(family, socket.SOCK_DGRAM) as asker:
                asker.settimeout(wait)
                asker.connect(where)
                try:
                    asker.send(binding_request(transaction))
                    found = mapped_address(asker.recv(2048), transaction)
                except TimeoutError:
                    continue
                return found[0] if found else ""
    except (OSError, ValueError):
        return ""
    return ""
