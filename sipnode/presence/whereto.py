"""Where a subscriber's NOTIFYs may go, and who is in the same place as a subscription. Pure.

Contact and Record-Route of a SUBSCRIBE are what its sender wrote. Believed without more they let any user have NOTIFYs sent to anybody. So
they go back to where the SUBSCRIBE came from: down its connection, to its source, to another port of the same host, or to a contact that
the watcher has registered. Only a trusted address says where else.

Implements: RFC 6665 §6.4. The invariant: the host of what is chosen is the source, or a registered contact of the watcher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.errors import ParseError
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipnode.presence.subscription import Origin
    from sipnode.records import Binding, Hop, Subscription


def destination(
    source: tuple[str, int],
    natted: bool,
    contact: SipUri,
    route: SipUri | None,
    registered: Iterable[Binding],
    numeric: Callable[[SipUri], Hop | None],
) -> tuple[str, int]:
    """Where the NOTIFYs of a SUBSCRIBE go that came over UDP from an address that isn't trusted.

    Args:
        source: ``(ip, port)`` that it came from.
        natted: The sender isn't where it says.
        contact: Its Contact.
        route: The first of its Record-Route, None for none.
        registered: Bindings of the watcher.
        numeric: The hop of a URI that names an address; None for a name.

    Returns:
        ``(ip, port)``; ("", 0) for the Contact itself, which is registered and has to be resolved.
    """
    if natted:
        return source
    hop = numeric(route if route is not None else contact)
    if hop is not None and hop.host == source[0]:
        return (hop.host, hop.port) if hop.transport == "UDP" else source
    if route is None and any(_names(binding, contact) for binding in registered):
        return ("", 0) if hop is None else (hop.host, hop.port) if hop.transport == "UDP" else source
    return source


def is_same_place(there: Subscription, here: Origin, near: bool) -> bool:
    """Whether a request came from where a subscription is: by its connection, from its registered device, from its address.

    Args:
        here: Of the request.
        near: Any port of the same host will do.
    """
    if here.flow and (here.flow == there.flow or (here.key and here.key == there.key)):
        return True
    source = there.source or (f"{there.host}:{there.port}" if there.host else "")
    if not source or not here.source:
        return False
    if near:
        return source.rpartition(":")[0] == here.source.rpartition(":")[0]
    return not here.flow and not there.flow and source == here.source


def _names(binding: Binding, contact: SipUri) -> bool:
    """Whether requests to a binding go over UDP to the address that a Contact names."""
    if binding.connection_id or binding.received or binding.path:
        return False
    try:
        uri = SipUri.parse(binding.contact)
    except ParseError:
        return False
    return (uri.host, uri.port) == (contact.host, contact.port)
