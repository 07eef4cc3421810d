"""Where a request may go: one member of the target set (RFC 3261 §16.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipnode.proxy.provider import Provider
    from sipnode.records import Reach


@dataclass(slots=True)
class Target:
    """One place to send a request to.

    Attributes:
        uri: Request-URI to send, "" for the one received.
        flow: Token of the connection that reaches it, "" where the URI does.
        key: Instance key of the binding, to find a newer connection of the same instance; "" for none.
        host: Source address of a binding behind NAT or ``alias``; with ``port`` the UDP destination. "" for none.
        port: See ``host``.
        websocket: The other end is a browser.
        flags: Bits of BranchFlag kept with the binding.
        q: 0..1; equal ones are tried together.
        routes: Route values to put on (a binding's Path).
        resolved: Found by DNS, so that a large request may switch to TCP (RFC 3261 §18.1.1).
        beyond: Another node holds its flow, and ``routes`` lead through that node.
        source: Its true address where that node says that its SDP can't be believed, "" for none.
        reach: Inside a dialog, where that end is by what was sealed; no URI of the message counts then.
        named_by: Address of whoever named its URI, "" for the sender of the request.
        after: Seconds that it rings later than the others, if nobody has answered by then; 0 for at once.
        seconds: For how long it rings at most: then it is cancelled and counts as 408; 0 for as long as ``[transaction] invite_timeout``.
        provider: The trunk that it is a way to, or None.
        path: Value of Path to put on, with ``%s`` where our address goes; "" for none.
        flows: Other flows of the same device, tried one after the other when this one is lost or says nothing (RFC 5626 §7).
        server_id: Client section of ``tls.cfg`` for a TLS connection to it, "" for the one of its address.
    """

    uri: str = ""
    flow: str = ""
    key: str = ""
    host: str = ""
    port: int = 0
    websocket: bool = False
    flags: int = 0
    q: float = 1.0
    routes: tuple[str, ...] = ()
    resolved: bool = False
    beyond: bool = False
    source: str = ""
    server_id: str = ""
    after: float = 0.0
    seconds: float = 0.0
    reach: Reach | None = None
    named_by: str = ""
    provider: Provider | None = None
    path: str = ""
    flows: tuple[Target, ...] = ()
