"""What a natted sender's message gets: an alias in its Contact, and branch flags for its binding.

Implements: the seed's NATDETECT and NATMANAGE (``fix_nated_register``, ``set_contact_alias``). Pure. The ``received``
and ``rport`` of Via are filled in on arrival (:func:`sipnode.sip.via.stamped`).

The invariant: a received message isn't changed; :func:`alias_contact` takes a copy that is about to be sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipnode.nat.alias import PROTO, set_contact_alias
from sipnode.nat.tests import contact_address, is_private
from sipnode.records import BindingFlag

if TYPE_CHECKING:
    from sipnode.sip.message import SipMessage

_NATTED_UDP = int(BindingFlag.NATB | BindingFlag.NATSIPPING)
_NATTED_STREAM = int(BindingFlag.NATB)
_WEBSOCKET = int(BindingFlag.NATB | BindingFlag.RTPWS)


def fix_nated_register(hits: int, transport: str) -> int:
    """The branch flags that the binding of a REGISTER keeps.

    Args:
        hits: What :func:`sipnode.nat.tests.nat_uac_test` found.
        transport: Of the flow: 'UDP' | 'TCP' | 'TLS' | 'WS' | 'WSS'.

    Returns:
        :class:`~sipnode.records.BindingFlag` bits. A WebSocket end is always NATB and RTPWS: nobody can connect to it.
        NATSIPPING only goes to UDP, since a connection has keepalives of its own.
    """
    if transport in ("WS", "WSS"):
        return _WEBSOCKET
    if not hits:
        return 0
    return _NATTED_UDP if transport == "UDP" else _NATTED_STREAM


def alias_contact(message: SipMessage, host: str, port: int, transport: str) -> bool:
    """Put the source of a message into its Contact, once.

    Args:
        message: A copy that is about to be forwarded.
        host: Source address of what was received.
        port: Source port.
        transport: Of the flow that it came by.

    Returns:
        Whether the Contact was changed; False when there is none to change.
    """
    value = message.get("contact")
    if value is None:
        return False
    fixed = set_contact_alias(value, host, port, PROTO[transport])
    if fixed == value:
        return False
    message.set("contact", fixed)
    return True


def wants_alias(message: SipMessage, host: str, port: int, websocket: bool) -> bool:
    """Whether nobody could reach the Contact of a message as it stands (the seed's test of replies in NATMANAGE).

    Args:
        message: Request or response with a Contact.
        host: Source address.
        port: Source port.
        websocket: Whether it came by WebSocket.
    """
    value = message.get("contact")
    if not value:
        return False
    if websocket:
        return True
    contact_host, contact_port = contact_address(value)
    return bool(contact_host) and is_private(contact_host) and (contact_host, contact_port) != (host, port)
