"""Record-Route with signed state, and what becomes of it when a request comes back with it as Route.

Implements: RFC 3261 §16.4, §16.6 (4), §16.12; RFC 5658 (two Record-Routes where the sides differ).

What a dialog needs to be carried on stands in the ``sn`` parameter of our own Record-Route, signed together with the
Call-ID and the caller's tag, so that a restarted server routes and drives media as the first one did, and a Route that
somebody made up carries nothing. Form: ``flags!node!caller!callee!signature``; a side is "" (the URI reaches it),
``u<host>~<port>`` (a UDP address behind NAT) or ``c<connection>~<instance key>``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2s
from hmac import compare_digest
from typing import Any, Final

from sipnode.errors import ParseError
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest

_BRIDGED: Final = "b"
_CALLER_WS: Final = "w"
_CALLEE_WS: Final = "x"
_CALLER_NAT: Final = "n"
_CALLEE_NAT: Final = "m"


@dataclass(slots=True)
class Side:
    """One end of a dialog as this server reaches it.

    Attributes:
        flow: Token of its connection, "" for UDP.
        key: Its instance key, "" for none.
        host: Its address where its Contact can't be believed, "" otherwise.
        port: See ``host``.
        websocket: It's a browser.
        natted: Its SDP can't be believed.
    """

    flow: str = ""
    key: str = ""
    host: str = ""
    port: int = 0
    websocket: bool = False
    natted: bool = False

    def encode(self) -> str:
        """As it stands in the token."""
        if self.flow:
            return f"c{self.flow}~{self.key}"
        if self.host:
            return f"u{self.host}~{self.port}"
        return ""


@dataclass(slots=True)
class RouteState:
    """What our Record-Route said of a dialog.

    Attributes:
        caller: The side that sent the first INVITE.
        callee: The other one.
        bridged: Its media goes through the relay.
        node: The relay's node, "" for none.
        from_caller: The request at hand came from the caller's side.
        routes: Route values that remain after ours.
        uri: Request-URI where a strict router made it ours, else "".
        token: The ``sn`` value itself.
    """

    caller: Side = field(default_factory=Side)
    callee: Side = field(default_factory=Side)
    bridged: bool = False
    node: str = ""
    from_caller: bool = True
    routes: list[str] = field(default_factory=list)
    uri: str = ""
    token: str = ""

    @property
    def far(self) -> Side:
        """The side that the request at hand goes to."""
        return self.callee if self.from_caller else self.caller

    @property
    def near(self) -> Side:
        """The side that the request at hand came from."""
        return self.caller if self.from_caller else self.callee

    def media_of(self, sister: RouteState) -> None:
        """See to the media from now on, if that node did."""
        if sister.bridged and not self.bridged:
            self.bridged, self.node = True, sister.node


_BY_URI: Final = Side()
"""The side that its URI reaches, as nearly all between phones are; shared, as nobody changes what a token said."""


class RouteSigner:
    """Makes and checks the ``sn`` parameter, and writes Record-Route.

    Args:
        secret: At least 16 octets; the same after a restart.

    Attributes:
        heads: How our own Record-Route values begin, up to ``;sn=``.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake2s(secret, person=b"route").digest()
        self._heads: dict[str, str] = {}
        self.heads: set[str] = set()

    def _signature(self, payload: str, call_id: str, tag: str) -> str:
        text = f"{payload}\n{call_id}\n{tag}".encode("utf-8", "surrogateescape")
        return blake2s(text, key=self._key, digest_size=8).hexdigest()

    def token(self, state: RouteState, call_id: str, caller_tag: str) -> str:
        """The value of ``sn``."""
        caller, callee = state.caller, state.callee
        flags = (
            (_BRIDGED if state.bridged else "")
            + (_CALLER_WS if caller.websocket else "")
            + (_CALLEE_WS if callee.websocket else "")
            + (_CALLER_NAT if caller.natted else "")
            + (_CALLEE_NAT if callee.natted else "")
        )
        payload = f"{flags}!{state.node}!{caller.encode()}!{callee.encode()}"
        return f"{payload}!{self._signature(payload, call_id, caller_tag)}"

    def read(self, token: str, call_id: str, from_tag: str, to_tag: str) -> RouteState | None:
        """What a token says, or None where the signature isn't ours or of another dialog."""
        payload, _, signature = token.rpartition("!")
        if not signature.isascii():
            # compare_digest takes no other text.
            return None
        if compare_digest(signature, self._signature(payload, call_id, from_tag)):
            from_caller = True
        elif compare_digest(signature, self._signature(payload, call_id, to_tag)):
            from_caller = False
        else:
            return None
        if payload == "!!!":
            return RouteState(_BY_URI, _BY_URI, False, "", from_caller, token=token)
        flags, node, caller, callee = payload.split("!")
        state = RouteState(_side(caller), _side(callee), _BRIDGED in flags, node, from_caller, token=token)
        state.caller.websocket = _CALLER_WS in flags
        state.callee.websocket = _CALLEE_WS in flags
        state.caller.natted = _CALLER_NAT in flags
        state.callee.natted = _CALLEE_NAT in flags
        return state

    def knows(self, request: SipRequest) -> bool:
        """Whether a node that has our secret is in the path of the dialog that a request begins."""
        if "record-route" not in request:
            return False
        for value in request.values("record-route"):
            token = value.partition(";sn=")[2].partition(">")[0].partition(";")[0]
            if token and self.read(token, request.call_id, request.from_.tag, "") is not None:
                return True
        return False

    def lines(self, arrived: Any, leaves: Any, token: str) -> list[str]:
        """The Record-Route header lines, topmost first.

        Args:
            arrived: IListener of the side that the request came by.
            leaves: IListener of the side that it goes out by.
        """
        if arrived is leaves:
            return [f"{self._head(arrived)};sn={token}>"]
        return [f"{self._head(leaves)};r2=on;sn={token}>", f"{self._head(arrived)};r2=on;sn={token}>"]

    def _head(self, listener: Any) -> str:
        head = self._heads.get(listener.name)
        if head is None:
            head = f"Record-Route: <{route_uri(listener)}"
            self._heads[listener.name] = head
            self.heads.add(head[len("Record-Route: ") :])
        return head


def route_uri(listener: Any) -> str:
    """``sip:host:port;transport=x;lr`` of a listener: in a URI the word for both WebSockets is ws (RFC 7118 §5.2)."""
    transport = {"UDP": "", "TCP": ";transport=tcp", "TLS": ";transport=tls"}.get(listener.transport, ";transport=ws")
    return f"sip:{listener.via_host}:{listener.via_port}{transport};lr"


def loose_route(request: SipRequest, signer: RouteSigner, is_own: Any) -> RouteState | None:
    """Take our own Route off a request inside a dialog.

    Args:
        is_own: ``(host, port) -> bool``: whether an address is ours; port 0 is the default one.

    Returns:
        None when no Route of the request is ours with our own signature for this very dialog; the request must then
        not be carried on.

    Raises:
        ParseError: a Route, From or To that can't be read.
    """
    if "route" not in request:
        return None
    routes = request.values("route")
    uri = ""
    if len(routes) == 1:
        # Our own Record-Route as we wrote it needs no reading.
        head, mark, tail = routes[0].partition(";sn=")
        if mark and head in signer.heads and ";" not in tail:
            state = signer.read(tail[:-1], request.call_id, request.from_.tag, request.to.tag)
            if state is not None:
                state.routes = []
            return state
    if ";sn=" in request.uri and is_own(request.ruri.host, request.ruri.port):
        # A strict router put our URI into the Request-URI and the real one at the end (§16.4).
        first = request.ruri
        uri = NameAddr.parse(routes.pop()).uri_text
    else:
        try:
            first = NameAddr.parse(routes[0]).uri
        except ParseError:
            # Whoever wrote it, it wasn't this server.
            return None
        if not is_own(first.host, first.port):
            return _of_sisters(request, routes, signer, is_own)
        del routes[0]
    token = first.params.get("sn", "")
    if not token:
        return None
    state = signer.read(token, request.call_id, request.from_.tag, request.to.tag)
    if state is None:
        return None
    if "r2" in first.params and routes:
        second = NameAddr.parse(routes[0]).uri
        if second.params.get("sn") == token and is_own(second.host, second.port):
            del routes[0]
    state.routes = routes
    state.uri = uri
    return state


def _of_sisters(request: SipRequest, routes: list[str], signer: RouteSigner, is_own: Any) -> RouteState | None:
    """The first Routes are those of nodes that share our secret: who had its connection there has come here with it, and they
    would only send the request back. Up to our own Route, if we are in the path too.
    """
    state, own = None, False
    while routes:
        try:
            first = NameAddr.parse(routes[0]).uri
        except ParseError:
            break
        token = first.params.get("sn", "")
        if state is None or token != state.token:
            read = signer.read(token, request.call_id, request.from_.tag, request.to.tag) if token and not own else None
            if read is None:
                break
            if state is not None:
                read.media_of(state)
            state = read
        own = is_own(first.host, first.port)
        del routes[0]
    if state is not None:
        state.routes = routes
    return state


def taken_over(route: RouteState, request: SipRequest, signer: RouteSigner, has: Callable[[str], bool]) -> Side:
    """The other end of a dialog, after the Routes of a node are gone whose browser has come here.

    Args:
        route: What our own Route said; its remaining routes lose those of that node.
        has: Whether a connection of the instance with that key is here.
    """
    far = route.far
    if not route.routes or ";sn=" not in route.routes[0]:
        return far
    token = NameAddr.parse(route.routes[0]).uri.params.get("sn", "")
    state = signer.read(token, request.call_id, request.from_.tag, request.to.tag)
    if state is None or not state.far.key or not has(state.far.key):
        return far
    while route.routes and f";sn={token}" in route.routes[0]:
        del route.routes[0]
    route.media_of(state)
    return state.far


def strict_next(routes: list[str], uri: str) -> tuple[list[str], str]:
    """Where the next hop is a strict router (no ``lr``), its URI becomes the Request-URI, and that the last Route (§16.6 (6)).

    Returns:
        The routes and the Request-URI to send.
    """
    if not routes:
        return routes, uri
    first = NameAddr.parse(routes[0])
    if "lr" in first.uri.params:
        return routes, uri
    return [*routes[1:], f"<{uri}>"], first.uri_text


def _side(text: str) -> Side:
    if text[:1] == "c":
        flow, _, key = text[1:].partition("~")
        return Side(flow, key)
    if text[:1] == "u":
        host, _, port = text[1:].rpartition("~")
        if not port.isdigit():
            raise ParseError("a route token that can't be read")
        return Side(host=host, port=int(port))
    return Side()
