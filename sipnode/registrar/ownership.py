"""The owner of a binding: this node, which holds its connection, or that of another which shares the table; and what is left of it when
its connection is gone.

Implements: RFC 3261 §10.3 (a binding lasts until it expires), RFC 7118 §6 and RFC 5626 §4.2 (not beyond its flow, where nothing but the
flow leads there).

The invariant: a connection named in a row is looked up only by the node that wrote the row in this very run; everybody else
goes by the row's ``path``, or by its address.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sipnode.errors import ParseError
from sipnode.records import BindingFlag
from sipnode.registrar.edge import is_edge_path
from sipnode.registrar.register import Source, is_lost
from sipnode.sip.hosts import normal_host
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.interfaces import INode
    from sipnode.records import Binding

_NATB: Final = int(BindingFlag.NATB)


def is_ours(binding: Binding, node: INode | None) -> bool:
    """Whether it is for this node to delete its row when it ends by itself."""
    return node is None or binding.server_id == node.id


def adopt(binding: Binding, node: INode | None) -> None:
    """Make a row of the store a binding as this node can use it: it lives on no connection of this run."""
    binding.connection_id = ""
    if is_edge_path(binding.path):
        return
    if node is not None and binding.server_id == node.id:
        # It led through this node to a connection of an earlier run.
        binding.path = ""
    if binding.socket[:1] == "t" and not binding.cflags & _NATB:
        # The source port of a connection that is gone; the phone listens at its contact.
        binding.received = ""


def without_flow(binding: Binding) -> Binding | None:
    """The binding once its connection has closed: one that is reached at its contact; None where nobody can connect to it."""
    if binding.reg_id or not listens(binding):
        # With a reg-id it is the flow that was registered (RFC 5626 §4.2).
        return None
    return replace(binding, connection_id="", path="", received=binding.received if binding.cflags & _NATB else "")


def listens(binding: Binding) -> bool:
    """Whether a phone that registered over a connection can be reached at its contact without it: that asks for no TLS (phones have
    no certificates), and where a translator may be between, for TCP at the very address that it registered from.
    """
    if binding.socket[:4] != "tcp:":
        return False
    try:
        uri = SipUri.parse(binding.contact)
        transport = uri.params.get("transport", "udp").lower()
        if uri.secure or transport not in ("udp", "tcp"):
            return False
        if not binding.cflags & _NATB:
            return True
        return transport == "tcp" and normal_host(uri.host) == normal_host(SipUri.parse(binding.received).host)
    except ParseError:
        return False


def is_reachable(binding: Binding, node: INode | None) -> bool:
    """Whether a request can be sent there now, as far as is known."""
    if node is not None and binding.path and binding.server_id != node.id:
        return bool(node.reaches(binding))
    return not is_lost(binding) or listens(binding)


def source_of(flow: Flow, cflags: int, node: INode | None, until: float) -> Source:
    """The part of the REGISTER's flow that a binding keeps.

    Args:
        until: Epoch second at which it ends at the latest.
    """
    received = ""
    cflags = int(cflags)
    if flow.reliable or cflags & _NATB:
        host, port = flow.remote
        if ":" in host:
            host = f"[{host}]"
        # In a URI the token of both kinds of WebSocket is ws (RFC 7118 §5.2).
        received = f"sip:{host}:{port};transport={'ws' if flow.websocket else flow.transport.lower()}"
    source = Source(received, flow.listener.name, flow.token, cflags, peer=flow.remote[0], port=0 if flow.reliable else flow.remote[1])
    if node is not None:
        source.server_id = node.id
        source.path = node.path(flow, cflags, until)
    return source
