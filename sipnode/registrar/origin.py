"""Where a REGISTER came from, and who judges the contacts that it brings. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sipnode.sip.uri import SipUri


@dataclass(slots=True)
class Source:
    """Where a REGISTER came from, as its bindings keep it.

    Attributes:
        received: ``sip:ip:port;transport=x`` when requests have to go to the source instead of the contact, else "".
        socket: Name of the listener, ``udp:127.0.0.1:5060``.
        connection_id: Token of the connection, "" for UDP.
        cflags: :class:`~sipnode.records.BindingFlag` bits.
        path: Route value by which other nodes reach it through this one, "" for none.
        server_id: This node.
        peer: Address that it came from, without brackets.
        port: Port that it came from over UDP, else 0.
    """

    received: str = ""
    socket: str = ""
    connection_id: str = ""
    cflags: int = 0
    path: str = ""
    server_id: int = 0
    peer: str = ""
    port: int = 0

    @property
    def seen(self) -> str:
        """Where a datagram came from, in the form of :attr:`received`; "" for a connection."""
        if not self.port:
            return ""
        return f"sip:{f'[{self.peer}]' if ':' in self.peer else self.peer}:{self.port};transport=udp"


ContactRefusal: TypeAlias = Callable[[SipUri, Source], str]
"""Says why a new contact isn't taken, as the reason phrase of a 403; "" for one that is."""
