"""What a flow is: one path to one peer (RFC 5626 §3), and the listener that it belongs to.

The one invariant: ``closed`` is set before anybody is told that the flow is gone, and ``send`` on a closed flow raises.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from sipnode.interfaces import IFlow, IListener
from sipnode.transport.listen import SECURE, WEBSOCKET, ListenSpec, bracketed


@implementer(IListener)
class Listener:
    """One listening socket under one transport name; a port that takes SIP and WebSocket has two of them.

    Attributes:
        websocket_port: True when the port takes WebSocket handshakes (the seed's MY_WS_PORT test).
    """

    __slots__ = ("host", "name", "port", "transport", "via_host", "via_port", "websocket_port")

    def __init__(self, transport: str, host: str, port: int, via_host: str, via_port: int = 0, websocket_port: bool = False) -> None:
        self.transport = transport
        self.host = host
        self.via_host = via_host
        self.via_port = via_port
        self.websocket_port = websocket_port
        self.bound(port)

    @classmethod
    def from_spec(cls, spec: ListenSpec, transport: str = "", websocket_port: bool = False) -> Listener:
        """The listener of a ``listen`` line, under its own transport name or another."""
        return cls(transport or spec.transport, spec.host, spec.port, spec.via_host, spec.via_port, websocket_port)

    @property
    def secure(self) -> bool:
        """TLS underneath."""
        return self.transport in SECURE

    def bound(self, port: int) -> None:
        """Take the port that the kernel gave; an advertised port stays."""
        if not self.via_port:
            self.via_port = port
        self.port = port
        self.name = f"{self.transport.lower()}:{bracketed(self.host)}:{port}"

    def __repr__(self) -> str:
        return f"<Listener {self.name}>"


@implementer(IFlow)
class Flow:
    """The fields of every flow; transports subclass it and write :meth:`send` and :meth:`close`."""

    __slots__ = (
        "closed", "listener", "local", "offered", "offers_alias", "proved", "reliable", "remote", "shown", "token", "transport", "vars",
        "websocket",
    )  # fmt: skip

    def __init__(self, transport: str, listener: Listener, local: tuple[str, int], remote: tuple[str, int], token: str = "") -> None:
        self.transport = transport
        self.reliable = transport != "UDP"
        self.websocket = transport in WEBSOCKET
        self.listener = listener
        self.local = local
        self.remote = remote
        self.token = token
        self.closed = False
        self.proved = self.reliable
        self.offered = ""
        self.shown = ""
        self.offers_alias = False
        self.vars: dict[str, Any] = {}

    @property
    def peer_domains(self) -> tuple[str, ...]:
        """Domains that the peer has proved to be by a certificate we verified (RFC 5922 §7.1); () for none."""
        return ()

    def send(self, data: bytes) -> None:
        """Queue one whole message.

        Raises:
            FlowClosed: nothing was sent.
        """
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """Drop the connection; no-op for UDP."""
        raise NotImplementedError

    def rest(self, seconds: float) -> None:
        """Read nothing for a while; UDP has nobody to hold back."""

    def prove(self, user: str) -> bool:
        """UDP has no place to keep."""
        return False

    @property
    def signed_in(self) -> str:
        """Over UDP somebody else may send the next message."""
        return ""

    def unsaid(self) -> None:
        """UDP has no connection that could be silent."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.transport} {bracketed(self.remote[0])}:{self.remote[1]} {self.token}>"
