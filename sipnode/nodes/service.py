"""This server among those that share its location table (Kamailio's words: ``server_id`` and Path).

Implements: RFC 3327 §5.3 (a binding is reached through its Path), RFC 5626 §5.2, §5.3 (flow token, a flow that failed).

A binding whose flow only one node holds (a connection, a hole in a NAT) has the path ``<sip:TOKEN@ADDRESS;lr>``: whoever reads
the row, a sister node or a Kamailio, sends its requests there by a plain Route, and this node sends them down the flow.
The invariant: such a request goes down that flow or nowhere, and nobody who hasn't read the table can make one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from sipnode.errors import Reject
from sipnode.interfaces import INode
from sipnode.nodes.address import NodeAddress, address_of, path_uri
from sipnode.nodes.flowtoken import PREFIX, FlowTokens, Reach
from sipnode.records import BindingFlag
from sipnode.sip.address import NameAddr
from sipnode.sip.grammar import split_commas
from sipnode.sip.uri import SipUri

if TYPE_CHECKING:
    from sipnode.base.flow import Flow
    from sipnode.nodes.sisters import SisterWatch
    from sipnode.records import Binding
    from sipnode.sip.message import SipRequest

# A binding's refresh may be late by the time of a transaction.
_GRACE: Final = 60.0
_NATB: Final = int(BindingFlag.NATB)
_RTPWS: Final = int(BindingFlag.RTPWS)
_MARK: Final = f":{PREFIX}"


@implementer(INode)
class NodeService:
    """Paths out, paths in.

    Args:
        node_id: ``[node] id``.
        address: ``[node] address``; None: nobody reaches this node's flows through it.
        secret: Shared by the nodes.
        is_own: ``(host, port) -> bool``.
        clock: Epoch seconds.

    Attributes:
        watch: Who knows which sisters are silent; None: all are believed to be there.
    """

    def __init__(
        self, node_id: int, address: NodeAddress | None, secret: bytes, is_own: Callable[[str, int], bool], clock: Callable[[], float]
    ) -> None:
        self.id = node_id
        self.address = address
        self.watch: SisterWatch | None = None
        self._tail = f"@{address.hostport};lr>" if address is not None else ""
        self._tokens = FlowTokens(secret, node_id)
        self._is_own = is_own
        self._clock = clock
        self._paths: dict[str, NodeAddress | None] = {}

    # -- out

    def path(self, flow: Flow, cflags: int, until: float) -> str:
        """See :class:`sipnode.interfaces.INode`."""
        if not self._tail:
            return ""
        if flow.reliable:
            reach = Reach(flow.token)
        elif cflags & _NATB:
            reach = Reach("", *flow.remote)
        else:
            return ""
        return f"<sip:{self._tokens.make(reach, until + _GRACE)}{self._tail}"

    def is_foreign(self, binding: Binding) -> bool:
        """Whether another node holds what reaches a binding."""
        return binding.path.startswith(f"<sip:{PREFIX}") and binding.server_id != self.id

    def route(self, binding: Binding) -> tuple[tuple[str, ...], str]:
        """The way to a binding of another node: Route values, and its true address where its SDP can't be believed ("" else)."""
        address = self._node_of(binding)
        if address is not None and self.watch is not None:
            self.watch.note(address, binding.expires)
        source = ""
        if binding.cflags & _NATB and not binding.cflags & _RTPWS and binding.received:
            source = SipUri.parse(binding.received).host.strip("[]")
        path = binding.path
        return tuple(split_commas(path)), source

    def reaches(self, binding: Binding) -> bool:
        """See :class:`sipnode.interfaces.INode`."""
        if self.watch is None:
            return True
        address = self._node_of(binding)
        return address is None or not self.watch.is_down(address)

    def changed(self, kind: str, binding: Binding) -> None:
        """A watcher of the location table: learns of sisters by their bindings."""
        if binding.path and binding.server_id != self.id and kind in ("registered", "refreshed") and self.watch is not None:
            address = self._node_of(binding)
            if address is not None:
                self.watch.note(address, binding.expires)

    def _node_of(self, binding: Binding) -> NodeAddress | None:
        """The sister that wrote a path; None where somebody else did (RFC 3327 paths of edge proxies have no token)."""
        at = binding.path.find("@")
        if at < 0 or not binding.path.startswith(f"<sip:{PREFIX}"):
            return None
        tail = binding.path[at:]
        if tail not in self._paths:
            if len(self._paths) > 1000:
                self._paths.clear()
            uri = path_uri(binding.path)
            self._paths[tail] = None if uri is None else address_of(uri)
        return self._paths[tail]

    # -- in

    def arrived(self, request: SipRequest) -> Reach | None:
        """Where a request with one of our paths as its first Route goes; None for any other request.

        Raises:
            Reject: 403 for a token that isn't ours or whose time has passed.
        """
        if not self._tail:
            return None
        value = request.get("route")
        if value is None or _MARK not in value:
            return None
        uri: Any = NameAddr.parse(request.values("route")[0]).uri
        if not uri.user.startswith(PREFIX) or not self._is_own(uri.host, uri.port):
            return None
        reach = self._tokens.read(uri.user, self._clock())
        if reach is None:
            raise Reject(403, "Not Our Path")
        return reach
