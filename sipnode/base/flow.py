"""A flow: one path to one peer (RFC 5626 §3), and the listener that it belongs to. Pure.

The one invariant: ``closed`` is set before anybody is told that the flow is gone, and ``send`` on a closed flow raises.
"""

from __future__ import annotations

from typing import Any, Final

from sipnode.base.native import mypyc_attr
from sipnode.errors import FlowClosed

WEBSOCKET: Final = frozenset(("WS", "WSS"))
SECURE: Final = frozenset(("TLS", "WSS"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener:
    """One listening socket under one transport name; a port that takes SIP and WebSocket has two of them.

    Attributes:
        transport: What its connections or datagrams are called in Via: 'UDP', 'TCP', 'TLS', 'WS' or 'WSS'.
        host: Bound address, an IP literal without brackets. port: Bound port.
        via_host: Advertised host, in brackets for IPv6, for Via and Record-Route. via_port: Advertised port.
        name: ``udp:127.0.0.1:5060``, as Kamailio's ``location.socket``.
        websocket_port: True when the port takes WebSocket handshakes (the seed's MY_WS_PORT test).
    """

    __slots__ = ("host", "name", "port", "transport", "via_host", "via_port", "websocket_port")

    def __init__(self, transport: str, host: str, port: int, via_host: str, via_port: int = 0, websocket_port: bool = False) -> None:
        self.transport = transport
        self.host = host
        self.via_host = via_host
        self.via_port = via_port
        self.websocket_port = websocket_port
        self.port = port
        self.name = ""
        self.bound(port)

    @property
    def secure(self) -> bool:
        """TLS underneath."""
        return self.transport in SECURE

    def bound(self, port: int) -> None:
        """Take the port that the kernel gave; an advertised port stays."""
        if not self.via_port:
            self.via_port = port
        self.port = port
        self.name = f"{self.transport.lower()}:{_bracketed(self.host)}:{port}"

    def __repr__(self) -> str:
        return f"<Listener {self.name}>"


@mypyc_attr(allow_interpreted_subclasses=True)
class Flow:
    """The fields of every flow; transports subclass it and write :meth:`send` and :meth:`close`.

    Attributes:
        transport: 'UDP', 'TCP', 'TLS', 'WS' or 'WSS'.
        reliable: False for UDP only. websocket: True for WS and WSS.
        listener: What it came by, or whose address is advertised for it.
        local: ``(host, port)`` of our end. remote: The same of the peer as seen.
        here, there: The same as objects, for those who keep them: compiled code makes new ones of ``local`` and ``remote`` each time.
        token: Identity of the connection, unique across restarts, of ``[0-9A-Za-z_-]``; "" for UDP, or after its peer's FIN.
        closed: Nothing can be sent any more.
        proved: Whoever is there has shown it: by an answer that only they could give; a connection by its handshake.
        offered: The last nonce of a challenge that went there and wasn't answered; "" for none.
        shown: ``user@domain`` that has answered a challenge which went to this very address; "" for nobody.
        offers_alias: The peer may send us requests by it, though we opened it (RFC 5923).
        vars: Owned by policy, lives as long as the flow.
    """

    __slots__ = (
        "closed", "here", "listener", "local", "offered", "offers_alias", "proved", "reliable", "remote", "shown", "there", "token",
        "transport", "vars", "websocket",
    )  # fmt: skip

    def __init__(self, transport: str, listener: Listener, local: tuple[str, int], remote: tuple[str, int], token: str = "") -> None:
        self.transport = transport
        self.reliable = transport != "UDP"
        self.websocket = transport in WEBSOCKET
        self.listener = listener
        self.local = local
        self.remote = remote
        self.here: object = local
        self.there: object = remote
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
        """That ``user@domain`` has shown its password by it; whether it keeps its place for that. UDP has no place to keep."""
        return False

    @property
    def signed_in(self) -> str:
        """``user@domain`` that has shown its password by this connection; over UDP somebody else may send the next message."""
        return ""

    def unsaid(self) -> None:
        """Forget the last message as a sign of life: it couldn't be read; UDP has no connection that could be silent."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.transport} {_bracketed(self.remote[0])}:{self.remote[1]} {self.token}>"


def check_flow(flow: object) -> None:
    """Refuse a flow that only looks like one: compiled code takes none of these, so pure Python doesn't either.

    Raises:
        TypeError: its class, named, doesn't derive from :class:`Flow`.
    """
    if not isinstance(flow, Flow):
        name = f"{type(flow).__module__}.{type(flow).__qualname__}"
        raise TypeError(f"sipnode.base.flow.Flow object expected; got {name}, which doesn't derive from it")


class _Nowhere(Flow):
    """See :data:`NOWHERE`."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        """Raise FlowClosed."""
        raise FlowClosed("no way was found yet")

    def close(self, reason: str) -> None:
        """There is nothing to close."""


NOWHERE: Final[Flow] = _Nowhere("UDP", Listener("UDP", "0.0.0.0", 0, "0.0.0.0"), ("0.0.0.0", 0), ("0.0.0.0", 0))
"""Stands where a flow will be once a way is found: it is closed, and nothing goes by it."""
NOWHERE.closed = True


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageSink:
    """The sink of transports' messages. Synchronous; never raises, but TypeError for a flow that is no :class:`Flow`."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One datagram, one framed stream message or one WebSocket message (never a keepalive)."""
        raise NotImplementedError

    def broken(self, data: bytes, flow: Flow, error: Exception) -> None:
        """A stream lost its frame (FramingError): answer if it can be answered; the transport closes afterwards."""
        raise NotImplementedError

    def opened(self, flow: Flow) -> None:
        """A connection is usable."""

    def closed(self, flow: Flow, reason: str) -> None:
        """The connection is gone."""
