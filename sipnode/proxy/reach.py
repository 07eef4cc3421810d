"""How a party is reached: made once, where it is heard of, and turned into a flow in one place.

Implements: RFC 3261 §12.1 and §16.12 (the next hop of a dialog is its first Route or the Contact), RFC 5626 §5.3 (its connection where
nothing else reaches it). The invariant: what is found here comes from what was sealed or kept, never from the message at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, succeed

from sipnode.errors import NoRoute, ParseError
from sipnode.records import Hop, Reach
from sipnode.sip.address import NameAddr
from sipnode.sip.hosts import bare_host
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipnode.base.flow import Flow
    from sipnode.proxy.core import ProxyCore
    from sipnode.sip.message import SipMessage

_TRANSPORTS: Final = frozenset(("UDP", "TCP", "TLS"))


def of_uri(uri: SipUri) -> Reach | None:
    """Where a URI leads; None where nothing can be sent to it (no host, a browser's ``.invalid``, a WebSocket)."""
    params = uri.params
    host = params.get("maddr") or uri.host
    if not host or host.endswith(".invalid"):
        return None
    transport = params.get("transport", "").upper() if params else ""
    if uri.secure and transport in ("", "TCP"):
        transport = "TLS"
    elif transport and transport not in _TRANSPORTS:
        return None
    return Reach("", "", host.strip("[]"), uri.port, transport)


def of_source(flow: Flow) -> Reach:
    """Where a message came from."""
    host, port = flow.remote
    return Reach("", "", host, port, flow.transport if flow.transport in _TRANSPORTS else "")


def as_named(message: SipMessage, routes: list[str], flow: Flow, refusal: Callable[[str, int, str], str]) -> Reach:
    """Where the sender of a message that makes a dialog wants to be reached: at the nearest proxy that recorded itself, else at its
    Contact, else, or where it may not name that address, where the message came from.

    Args:
        routes: What other proxies recorded between it and us, nearest first.
        refusal: See :meth:`sipnode.proxy.destinations.Destinations.refusal`.
    """
    try:
        value = routes[0] if routes else (message.get("contact") or "")
        if value:
            found = of_uri(NameAddr.parse(value).uri)
            if found is not None and not refusal(found.host, found.port or 5060, flow.remote[0]):
                return found
    except ParseError:
        pass
    return of_source(flow)


def by_connection(message: SipMessage, routes: list[str], flow: Flow, key: str) -> Reach:
    """A browser, or a phone on a connection that may come through a translator: that connection leads there; when it is gone, the
    Contact does where it asks for TCP at the very address that the message came from (RFC 3261 §18.1.1: a phone may close it and listen).

    Args:
        routes: As for :func:`as_named`.
    """
    if flow.transport == "TCP" and not routes:
        try:
            value = message.get("contact")
            found = of_uri(NameAddr.parse(value).uri) if value else None
        except ParseError:
            found = None
        if found is not None and found.transport == "TCP" and bare_host(found.host) == bare_host(flow.remote[0]):
            found.flow, found.key, found.natted = flow.token, key, True
            return found
    return Reach(flow.token, key, websocket=flow.websocket)


def contact_of(message: SipMessage) -> str:
    """The URI of a message's Contact; "" where there is none, or none that can be read."""
    value = message.get("contact")
    if not value:
        return ""
    try:
        uri = NameAddr.parse(value).uri_text
        SipUri.parse(uri)
    except ParseError:
        return ""
    return uri


def find(core: ProxyCore, reach: Reach) -> Flow | Deferred[Flow]:
    """The flow to a party: its connection, another one of the same device, or one to its address.

    Returns:
        A flow, or a Deferred of it that fails with NoRoute.

    Raises:
        NoRoute: there is no way to it.
    """
    flow = core.flows.by_token(reach.flow) if reach.flow else None
    if flow is None and reach.key:
        flow = core.flow_by_key(reach.key)
    if flow is not None:
        return flow
    if not reach.host or (reach.websocket and (reach.flow or reach.key)):
        raise NoRoute("its connection is gone", 480)
    hops = core.resolver.numeric(literal(reach.host), reach.port, reach.transport, False)
    if hops and hops[0].transport == "UDP":
        flow = core.flows.udp(core.destinations.permitted(hops, reach.host)[0])
        if flow is None:
            raise NoRoute("no UDP listener reaches it", 503)
        return flow
    finding: Deferred[list[Hop]] = (
        succeed(hops) if hops is not None else core.resolver.resolve(literal(reach.host), reach.port, reach.transport, False)
    )
    return finding.addCallback(lambda found: core.flows.connect(core.destinations.permitted(found, reach.host)[0]))


def literal(host: str) -> str:
    """As it stands in a URI: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
