"""Which interface of the relay an end talks to: ``[media] interfaces``, one rule a line, the first that fits.

Pure. The rules are those of a daemon that was started with ``-i internal/10.0.0.1 -i external/203.0.113.1``; its ``direction`` names the
two that a call goes between. The invariant: where there are no rules, or none fits, the daemon decides.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from sipnode.base.flow import Flow
from sipnode.errors import ConfigError

_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}\Z")
_TRANSPORTS: Final = frozenset(("udp", "tcp", "tls", "ws", "wss"))
_MOST_CACHED: int = 8192

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Interfaces:
    """The rules.

    Args:
        lines: ``NAME WHAT...``; WHAT is a transport (udp, tcp, tls, ws, wss), an address, a network, or ``all``.

    Raises:
        ConfigError: a line that can't be; the key is media.interfaces.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules: list[tuple[str, frozenset[str], list[Network]]] = []
        self._cached: dict[tuple[str, str], str] = {}
        for line in lines:
            name, *what = line.split()  or [""]
            if not _NAME.match(name) or not what:
                raise ConfigError(f"{line!r} isn't 'NAME WHAT...', as 'external ws wss 203.0.113.0/24'", key="media.interfaces")
            self._rules.append((name, *_what(line, what)))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def between(self, one: Flow, other: Flow) -> tuple[str, ...]:
        """``(interface of the sender, of the receiver)`` for two flows; () where no rule fits one of them."""
        if not self._rules:
            return ()
        found = self.of(one), self.of(other)
        return found if all(found) else ()

    def of(self, flow: Flow) -> str:
        """The interface for the end of a flow, "" for none."""
        key = (flow.transport, flow.remote[0])
        found = self._cached.get(key)
        if found is None:
            if len(self._cached) >= _MOST_CACHED:
                self._cached.clear()
            found = self._cached[key] = self._find(*key)
        return found

    def _find(self, transport: str, host: str) -> str:
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            address = None
        for name, transports, networks in self._rules:
            if transport.lower() in transports or (address is not None and any(address in network for network in networks)):
                return name
        return ""


def _what(line: str, words: list[str]) -> tuple[frozenset[str], list[Network]]:
    transports: set[str] = set()
    networks: list[Network] = []
    for word in words:
        if word == "all":
            transports |= _TRANSPORTS
        elif word in _TRANSPORTS:
            transports.add(word)
        else:
            try:
                networks.append(ipaddress.ip_network(word.strip("[]")))
            except ValueError:
                raise ConfigError(
                    f"{word!r} in {line!r} is neither a transport (udp, tcp, tls, ws, wss) nor a network, nor 'all'", key="media.interfaces"
                ) from None
    return frozenset(transports), networks
