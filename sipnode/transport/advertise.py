"""The address that others reach us at, found at the start: ``advertise auto`` in a line of ``[core] listen``, or ``[core] advertise``.

What is asked is what the settings name: the cloud's metadata, or a STUN server, or else the machine's own routes. Where that doesn't
answer the server doesn't start: the private address that there would be in its place is the one that nobody reaches.
This blocks, for some seconds at most; it runs once, before there is a reactor.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from sipnode.errors import ConfigError
from sipnode.transport.listen import AUTO, ListenSpec, bracketed, is_unspecified, parse_listens
from sipnode.transport.stun import binding_request, mapped_address

if TYPE_CHECKING:
    from sipnode.settings import CoreSettings

# RFC 8489 §6.2.1 has 0.5 s and doubles; who starts a server doesn't want to wait for 40.
_TRIES: Final = (0.5, 1.0, 2.0)
_SECONDS: Final = 2.0
_STUN_PORT: Final = 3478
# Documentation networks (RFC 5737, 3849): nothing is sent there, the kernel only says which of its addresses it would take.
_ANYWHERE: Final = {False: "192.0.2.1", True: "2001:db8::1"}
METADATA: Final = "169.254.169.254"
_HELP: Final = "or write the address itself: 'udp:ADDRESS:PORT advertise HOST'"


def listen_specs(core: CoreSettings) -> list[ListenSpec]:
    """The listeners that the settings ask for; nobody is asked for an address yet (its place is taken by ``auto``).

    Raises:
        ConfigError: as :func:`parse_listens` says.
    """
    return parse_listens(core.listen, core.advertise == AUTO)


def advertised(core: CoreSettings, metadata: str = METADATA) -> list[ListenSpec]:
    """The same, each with the address that others reach it at.

    Args:
        metadata: Where the cloud tells, ``HOST`` or ``HOST:PORT``.

    Raises:
        ConfigError: an address can't be found, or nobody can reach what was found; with what to do about it.
    """
    found: dict[str, str] = {}
    specs = listen_specs(core)
    for at, spec in enumerate(specs):
        if spec.via_host == AUTO:
            if spec.host not in found:
                found[spec.host] = _checked(spec, _find(core, spec, metadata))
            specs[at] = replace(spec, via_host=bracketed(found[spec.host]))
    return specs


def _find(core: CoreSettings, spec: ListenSpec, metadata: str) -> str:
    if core.cloud_metadata:
        return from_cloud(core.cloud_metadata, spec.ipv6, metadata)
    if core.stun_server:
        return from_stun(core.stun_server, spec.host, spec.ipv6)
    return from_route(spec.ipv6) if is_unspecified(spec.host) else spec.host


def _checked(spec: ListenSpec, text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"{spec.line!r}: {text[:60]!r} was told as our address, and is none; {_HELP}", key="core.advertise") from None
    if address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local:
        raise ConfigError(f"{spec.line!r}: {text} was found as our address, where nobody reaches us; {_HELP}", key="core.advertise")
    if (address.version == 6) != spec.ipv6:
        raise ConfigError(f"{spec.line!r}: {text} was found as our address, which is of the other family; {_HELP}", key="core.advertise")
    return str(address)


def from_route(ipv6: bool) -> str:
    """The machine's address on its default route.

    Raises:
        ConfigError: there is no such route.
    """
    with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ANYWHERE[ipv6], 9))
        except OSError as error:
            raise ConfigError(
                f"no route leads out of this machine ({error.strerror}), so no address is found; {_HELP}", "core.advertise"
            ) from None
        host: str = probe.getsockname()[0]
        return host


def from_stun(server: str, source: str, ipv6: bool) -> str:
    """Our address as a STUN server sees it (RFC 8489).

    Args:
        server: ``HOST`` or ``HOST:PORT``. source: The address to ask from.

    Raises:
        ConfigError: it has no address, or doesn't answer in time.
    """
    host, port = _host_port(server, _STUN_PORT, "core.stun_server")
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    transaction = os.urandom(12)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as wire:
            wire.bind((source, 0))
            # Connected, so that nobody else's datagram is read; and who doesn't know the transaction can't answer.
            wire.connect(socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)[0][4])
            for seconds in _TRIES:
                wire.send(binding_request(transaction))
                found = _answer(wire, transaction, seconds)
                if found:
                    return found
    except OSError as error:
        raise ConfigError(f"{server} can't be asked for our address: {error.strerror or error}; {_HELP}", key="core.stun_server") from None
    raise ConfigError(
        f"{server} doesn't answer, so our address isn't known: can UDP get there? Ask another, {_HELP}", key="core.stun_server"
    )


def _answer(wire: socket.socket, transaction: bytes, seconds: float) -> str:
    """What it says within that time; "" for nothing."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        wire.settimeout(left)
        try:
            found = mapped_address(wire.recv(2048), transaction)
        except TimeoutError:
            return ""
        if found is not None:
            return found[0]
    return ""


def from_cloud(kind: str, ipv6: bool, metadata: str = METADATA) -> str:
    """The public address that a cloud's metadata service tells.

    Args:
        kind: "ec2" (Amazon's, with a session token where it is asked for; OpenStack's is alike) or "gce". metadata: Where it is.

    Raises:
        ConfigError: it isn't there, or knows no public address.
    """
    host, port = _host_port(metadata, 80, "core.cloud_metadata")
    try:
        if kind == "gce":
            path = "/computeMetadata/v1/instance/network-interfaces/0/" + ("ipv6s" if ipv6 else "access-configs/0/external-ip")
            return _ask(host, port, "GET", path, {"Metadata-Flavor": "Google"})
        token = _ask(host, port, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, needed=False)
        path = f"/latest/meta-data/{'ipv6' if ipv6 else 'public-ipv4'}"
        return _ask(host, port, "GET", path, {"X-aws-ec2-metadata-token": token} if token else {})
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"the metadata of the cloud ({kind}) can't be had: {error}; {_HELP}", key="core.cloud_metadata") from None


def _ask(host: str, port: int, method: str, path: str, headers: dict[str, str], needed: bool = True) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        text = answer.read(1024).decode("latin-1").strip()
        if answer.status == 200:
            return text
        if needed:
            raise http.client.HTTPException(f"{path} gets {answer.status}")
        return ""
    finally:
        connection.close()


def _host_port(text: str, default: int, key: str) -> tuple[str, int]:
    """``HOST``, ``HOST:PORT``, ``[IPv6]:PORT``."""
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"{text!r} has no port that can be; write HOST:PORT", key=key)
    return host.strip("[]"), int(port) if colon else default
