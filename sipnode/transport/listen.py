"""The ``listen`` lines of the configuration, read; pure.

Form: ``udp|tcp|tls|ws|wss:ADDRESS:PORT [advertise HOST[:PORT]] [proxy_protocol]``, as Kamailio's ``listen`` parameter says it; HOST may be
``auto``. The last word says that proxies bring their connections with a PROXY header (Kamailio's ``tcp_accept_haproxy``, for one port).
Invariant: every :class:`ListenSpec` has an address that can stand in a Via, so nothing private or unspecified is
advertised by accident.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sipnode.base.flow import SECURE, Listener
from sipnode.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

TRANSPORTS: Final = ("UDP", "TCP", "TLS", "WS", "WSS")
AUTO: Final = "auto"

_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?\.?")


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """One ``listen`` line.

    ``host`` is an IP literal without brackets; ``via_host`` is in brackets for IPv6; a ``via_port`` of 0 means the bound
    port, which is only known after binding when ``port`` is 0.
    """

    transport: str
    host: str
    port: int
    via_host: str
    via_port: int
    line: str
    proxy_protocol: bool = False

    @property
    def secure(self) -> bool:
        """TLS underneath."""
        return self.transport in SECURE

    @property
    def ipv6(self) -> bool:
        """Bound to an IPv6 address."""
        return ":" in self.host

    def listener(self, transport: str = "", websocket_port: bool = False) -> Listener:
        """The listener there, under its own transport name or another."""
        return Listener(transport or self.transport, self.host, self.port, self.via_host, self.via_port, websocket_port)


def family_of(host: str) -> int:
    """``socket.AF_INET``, ``socket.AF_INET6``, or 0 when ``host`` (without brackets) is not an IP literal."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return family
    return 0


def bracketed(host: str) -> str:
    """The host as it stands in a URI or Via: IPv6 literals in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def parse_listen(line: str, auto: bool = False) -> ListenSpec:
    """Read one ``listen`` line. Whoever binds it finds the address for a ``via_host`` of ``auto``.

    Args:
        auto: Without a word of its own it advertises ``auto``, if it isn't on loopback.

    Raises:
        ConfigError: with the reason and what to write instead.
    """
    words = line.split()
    proxied = len(words) > 1 and words[-1].lower() == "proxy_protocol"
    if proxied:
        del words[-1]
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "advertise"):
        raise _wrong(line, "write TRANSPORT:ADDRESS:PORT, then advertise HOST[:PORT] and proxy_protocol where they are wanted")
    name, colon, rest = words[0].partition(":")
    transport = name.upper()
    if not colon or transport not in TRANSPORTS:
        raise _wrong(line, f"the transport {name!r} is none of udp, tcp, tls, ws, wss")
    if proxied and transport == "UDP":
        raise _wrong(line, "proxy_protocol is for connections, there are none over UDP")
    host, port = _split(line, rest, need_port=True)
    if not family_of(host):
        raise _wrong(line, f"{host!r} is not an IP address; names may only stand behind advertise")
    if len(words) == 3:
        via_host, via_port = _split(line, words[2], need_port=False)
        if not family_of(via_host) and not _HOST.fullmatch(via_host):
            raise _wrong(line, f"{via_host!r} is neither a host name nor an IP address")
        if is_unspecified(via_host):
            raise _wrong(line, f"{via_host} cannot be advertised: nobody can reach it")
        if via_host.lower() == AUTO and is_loopback(host):
            raise _wrong(line, f"nobody else reaches {host}, so there is no address of it to find")
    elif auto and not is_loopback(host):
        via_host, via_port = AUTO, 0
    elif is_unspecified(host):
        raise _wrong(
            line,
            f"{host} cannot stand in a Via; add 'advertise HOST' with the address that others reach us at, or 'advertise auto'",
        )
    else:
        via_host, via_port = host, 0
    return ListenSpec(transport, host, port, bracketed(via_host).lower(), via_port, line.strip(), proxied)


def parse_listens(lines: Iterable[str], auto: bool = False) -> list[ListenSpec]:
    """Read all ``listen`` lines and refuse those that exclude each other. ``auto`` is as in :func:`parse_listen`.

    One stream port may carry TCP and WS, or TLS and WSS; no port carries both plain and TLS.

    Raises:
        ConfigError: a bad line, a line given twice, plain and TLS on one port, or no line at all.
    """
    specs: list[ListenSpec] = []
    for line in lines:
        spec = parse_listen(line, auto)
        for other in specs:
            if (other.host, other.port) != (spec.host, spec.port) or not spec.port:
                continue
            if other.transport == spec.transport:
                raise _wrong(line, "this listener is given twice")
            if "UDP" not in (other.transport, spec.transport) and other.secure != spec.secure:
                raise _wrong(line, f"{other.line!r} uses the same port; plain and TLS need ports of their own")
        specs.append(spec)
    if not specs:
        raise ConfigError("no listener: give at least one, e.g. 'udp:127.0.0.1:5060'", key="core.listen")
    return specs


def is_unspecified(host: str) -> bool:
    """Whether the address stands for all addresses of the machine (0.0.0.0, ::)."""
    family = family_of(host)
    return bool(family) and not any(socket.inet_pton(family, host.partition("%")[0]))


def is_loopback(host: str) -> bool:
    """Whether the IP literal (without brackets) never leaves the machine."""
    return host.startswith("127.") or host == "::1" or host.startswith("::ffff:127.")


def _split(line: str, text: str, need_port: bool) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or family_of(host) != socket.AF_INET6 or (rest and not rest.startswith(":")):
            raise _wrong(line, f"{text!r} is not an IPv6 address in brackets")
        colon, digits = rest[:1], rest[1:]
    else:
        host, colon, digits = text.partition(":")
        if ":" in digits:
            raise _wrong(line, "an IPv6 address is written in brackets, e.g. [::1]:5060")
    if not colon and not need_port:
        return host, 0
    if not colon:
        raise _wrong(line, "the port is missing")
    if not digits.isascii() or not digits.isdigit() or int(digits) > 65535:
        raise _wrong(line, f"{digits!r} is not a port")
    if not need_port and int(digits) == 0:
        raise _wrong(line, "port 0 cannot be advertised")
    return host, int(digits)


def _wrong(line: str, reason: str) -> ConfigError:
    return ConfigError(f"{line.strip()!r}: {reason}", key="core.listen")
