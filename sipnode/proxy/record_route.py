"""Our Record-Route, and what becomes of it when a request comes back with it as Route.

Implements: RFC 3261 §16.4, §16.6 (4), §16.7 (8), §16.12; RFC 5658 (two Record-Routes where the sides differ).

The state that carries a dialog on stands sealed in the ``sn`` parameter (:mod:`sipnode.proxy.seal`), so that a restarted server or a
sister node routes and drives media as the first one did. Each end has a token of its own: the request carries the callee's, and the
response gets the caller's in its place on the way back. A token leads to the other end of its dialog and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2s
from typing import Final

from sipnode.base.flow import Listener
from sipnode.errors import ParseError
from sipnode.proxy.seal import CALLEE, CALLER, RouteState, Sealer
from sipnode.records import Reach
from sipnode.sip.address import NameAddr
from sipnode.sip.message import SipRequest, SipResponse
from sipnode.sip.uri import SipUri

_MARK: Final = ";sn="
_TWIN: Final = ";r2=on"
RECENT: Final = 4096
"""Tokens of each generation that are known without being opened."""


class RouteSigner:
    """Makes and reads tokens, and writes Record-Route.

    Args:
        secret: At least 16 octets; the same after a restart.

    Attributes:
        heads: How our own Record-Route values begin, up to ``;sn=``.
        media_secret: Guards the names of calls at the media relay.
    """

    def __init__(self, secret: bytes) -> None:
        self._sealer = Sealer(blake2s(secret, person=b"seal").digest())
        self.media_secret = blake2s(secret, person=b"relay").digest()
        # Two servers of this kind in one path don't take each other's.
        self._contact = f";s-{blake2s(secret, person=b'name', digest_size=3).hexdigest()}="
        self._heads: dict[str, str] = {}
        self._made: dict[str, tuple[str, str, str, RouteState]] = {}
        self._made_before: dict[str, tuple[str, str, str, RouteState]] = {}
        self.heads: set[str] = set()

    def for_callee(self, state: RouteState, call_id: str, caller_tag: str) -> str:
        """The ``sn`` of a request: leads the end that is asked to the one that asks."""
        token = self._sealer.route(CALLEE, state, call_id, caller_tag)
        self._remember(token, call_id, "", caller_tag, state)
        return token

    def for_caller(self, state: RouteState, call_id: str, caller_tag: str, callee_tag: str) -> str:
        """The ``sn`` of its response: leads the end that asked to the one that answers."""
        token = self._sealer.route(CALLER, state, call_id, caller_tag, callee_tag)
        self._remember(token, call_id, caller_tag, callee_tag, state)
        return token

    def _remember(self, token: str, call_id: str, from_tag: str, to_tag: str, state: RouteState) -> None:
        """Remember tokens sealed lately, which needn't be opened; two generations, so that forgetting costs nothing."""
        if len(self._made) >= RECENT:
            self._made_before, self._made = self._made, {}
        self._made[token] = (call_id, from_tag, to_tag, state)

    def read(self, token: str, call_id: str, from_tag: str, to_tag: str) -> RouteState | None:
        """The content of a token for the sender of a request with these tags, or None where it isn't ours or of another dialog or end."""
        made = self._made.get(token) or self._made_before.get(token)
        if made is None:
            return self._sealer.open_route(token, call_id, from_tag, to_tag)
        by_caller = token[0] == CALLER
        if made[0] != call_id or made[2] != to_tag or (by_caller and made[1] != from_tag):
            return None
        was = made[3]
        return RouteState(
            was.far, was.holder, was.bridged, was.node, was.call, was.session, was.mark, was.until, by_caller, [], "", token
        )

    def mark(self, routes: list[str], contact: str) -> bytes:
        """See :meth:`sipnode.proxy.seal.Sealer.mark`; b"" where a URI can't be read, which agrees with nothing."""
        try:
            return self._sealer.mark(routes, contact)
        except ParseError:
            return b""

    def agrees(self, route: RouteState, uri: str | None) -> bool:
        """Whether the Routes that remain, and the Request-URI behind them, are those that were sealed for this dialog.

        Args:
            uri: Request-URI as it will be sent; None where a sealed Contact has proved it.
        """
        try:
            return self._sealer.agrees(route.mark, route.routes, uri)
        except ParseError:
            return False

    def contact_seal(self, far: Reach, until: float, call_id: str, tag: str) -> str:
        """The parameter that a Contact is passed on with inside a dialog: sealed, where it leads.

        Args:
            tag: Of the party whose Contact it is.
        """
        return self._contact + self._sealer.contact(far, until, call_id, tag)

    def flow_token(self, reach: Reach, until: float) -> str:
        """The token of a flow, for a Path; good until then (epoch seconds)."""
        return self._sealer.flow(reach, until)

    def flow_of(self, token: str, now: float) -> Reach | None:
        """Where it leads; None where it isn't ours, or is too old."""
        return self._sealer.open_flow(token, now)

    def unsealed(self, text: str) -> tuple[str, str]:
        """``(a URI or Contact value without any seal of ours, the last one or "")``."""
        seal = ""
        while (at := text.find(self._contact)) >= 0:
            start = at + len(self._contact)
            end = next((i for i in range(start, len(text)) if text[i] in ";?>"), len(text))
            text, seal = text[:at] + text[end:], text[start:end]
        return text, seal

    def read_contact(self, seal: str, call_id: str, tag: str, now: float) -> Reach | None:
        """Where a sealed Contact of the party with that tag leads, or None."""
        return self._sealer.open_contact(seal, call_id, tag, now)

    def knows(self, request: SipRequest) -> bool:
        """Whether a node that has our secret is in the path of the dialog that a request begins."""
        return next(self._passed(request), None) is not None

    def carried(self, request: SipRequest) -> bool:
        """Whether a request that begins a dialog has been here, or at a node that has our secret, and got a media relay there."""
        return any(state.bridged for state in self._passed(request))

    def _passed(self, request: SipRequest) -> Iterator[RouteState]:
        """The contents of our own Record-Routes on a request, topmost first."""
        for value in request.values("record-route") if "record-route" in request else ():
            token = token_of(value)
            state = self.read(token, request.call_id, "", request.from_.tag) if token else None
            if state is not None:
                yield state

    def lines(self, arrived: Listener, leaves: Listener, token: str) -> list[str]:
        """The Record-Route header lines, topmost first; where there are two, the token stands in the one that the request leaves by.

        Args:
            arrived: IListener of the side that the request came by.
            leaves: IListener of the side that it goes out by.
        """
        if arrived is leaves:
            return [f"{self._head(arrived)};sn={token}>"]
        return [f"{self._head(leaves)};r2=on;sn={token}>", f"{self._head(arrived)};r2=on>"]

    def _head(self, listener: Listener) -> str:
        head = self._heads.get(listener.name)
        if head is None:
            head = f"Record-Route: <{route_uri(listener)}"
            self._heads[listener.name] = head
            self.heads.add(head[len("Record-Route: ") :])
        return head


def route_uri(listener: Listener) -> str:
    """``sip:host:port;transport=x;lr`` of a listener: in a URI the word for both WebSockets is ws (RFC 7118 §5.2)."""
    transport = {"UDP": "", "TCP": ";transport=tcp", "TLS": ";transport=tls"}.get(listener.transport, ";transport=ws")
    return f"sip:{listener.via_host}:{listener.via_port}{transport};lr"


def token_of(value: str) -> str:
    """The ``sn`` of a Route or Record-Route value, "" for none."""
    return value.partition(_MARK)[2].partition(">")[0].partition(";")[0]


def loose_route(request: SipRequest, signer: RouteSigner, is_own: Callable[[str, int], bool]) -> RouteState | None:
    """Take our own Routes off a request inside a dialog: all that lead, until a sealed one is found, and its twin.

    Args:
        is_own: ``(host, port) -> bool``: whether an address is ours; port 0 is the default one.

    Returns:
        None when no leading Route of the request is ours and sealed for the sender in this very dialog; the request must then not be
        carried on.

    Raises:
        ParseError: a Route, From or To that can't be read.
    """
    if "route" not in request:
        return None
    routes = request.values("route")
    if len(routes) == 1:
        # Our own Record-Route as we wrote it needs no reading.
        head, mark, tail = routes[0].partition(_MARK)
        if mark and head in signer.heads and ";" not in tail:
            return signer.read(tail[:-1], request.call_id, request.from_.tag, request.to.tag)
    tags = request.call_id, request.from_.tag, request.to.tag
    if (_MARK in request.uri or _TWIN in request.uri) and is_own(request.ruri.host, request.ruri.port):
        # A strict router put our URI into the Request-URI and the real one at the end (§16.4).
        uri = NameAddr.parse(routes.pop()).uri_text
        state = _first_sealed([f"<{request.uri}>", *routes], signer, is_own, tags)
        if state is not None:
            state.uri = uri
        return state
    return _first_sealed(routes, signer, is_own, tags)


def _first_sealed(
    routes: list[str], signer: RouteSigner, is_own: Callable[[str, int], bool], tags: tuple[str, str, str]
) -> RouteState | None:
    """The content of the first token among the leading Routes that are ours, with what remains behind it."""
    while routes:
        first = _uri(routes[0])
        if first is None:
            # It wasn't this server that wrote it.
            return None
        own = is_own(first.host, first.port)
        token = first.params.get("sn", "")
        if token:
            state = signer.read(token, *tags)
            if state is None:
                return None
            del routes[0]
            if own:
                _twin_off(routes, is_own)
            else:
                state = _of_sisters(state, routes, signer, is_own, tags)
            state.routes = routes
            return state
        if not own and ("r2" not in first.params or len(routes) < 2 or not token_of(routes[1])):
            # The first of a sister's two has no token of its own, all else isn't ours.
            return None
        del routes[0]
    return None


def _twin_off(routes: list[str], is_own: Callable[[str, int], bool]) -> None:
    """Take the second of our two Record-Routes off, if it is next (RFC 5658)."""
    if routes:
        uri = _uri(routes[0])
        if uri is not None and "r2" in uri.params and "sn" not in uri.params and is_own(uri.host, uri.port):
            del routes[0]


def _of_sisters(
    state: RouteState, routes: list[str], signer: RouteSigner, is_own: Callable[[str, int], bool], tags: tuple[str, str, str]
) -> RouteState:
    """The first Routes are those of a node that shares our secret: the device that had its connection there has come here with it, and
    that node would only send the request back. Up to our own Route, if we are in the path too.
    """
    while routes:
        uri = _uri(routes[0])
        if uri is None:
            break
        own = is_own(uri.host, uri.port)
        if "sn" in uri.params:
            read = signer.read(uri.params["sn"], *tags)
            if read is None:
                break
            read.media_of(state)
            # The first of them says who may speak.
            read.holder = state.holder
            state = read
            del routes[0]
            if own:
                _twin_off(routes, is_own)
                break
        elif "r2" in uri.params:
            del routes[0]
        else:
            break
    return state


def _uri(value: str) -> SipUri | None:
    try:
        return NameAddr.parse(value).uri
    except ParseError:
        return None


def taken_over(route: RouteState, request: SipRequest, signer: RouteSigner, has: Callable[[str], bool]) -> Reach:
    """The other end of a dialog, after the Routes of a node are gone whose browser has come here.

    Args:
        route: What our own Route said; its remaining routes lose those of that node.
        has: Whether a connection of the instance with that key is here.
    """
    far = route.far
    own = [position for position, value in enumerate(route.routes[:2]) if token_of(value)]
    if not own:
        return far
    state = signer.read(token_of(route.routes[own[0]]), request.call_id, request.from_.tag, request.to.tag)
    if state is None or not state.far.key or not has(state.far.key):
        return far
    del route.routes[: own[0] + 1]
    if route.routes and ";r2=on" in route.routes[0] and not token_of(route.routes[0]):
        del route.routes[0]
    # Our seal of the way behind us counts no more: the rest is what that node sealed.
    route.mark = state.mark
    route.media_of(state)
    return state.far


def beyond_us(recorded: list[str], token: str) -> list[str]:
    """Record-Routes of other proxies between us and the callee in a response, nearest first.

    Args:
        recorded: Values of its Record-Route.
        token: The one that we put on the request.
    """
    for position, value in enumerate(recorded):
        if token in value:
            return recorded[:position][::-1]
    return []


def with_token(response: SipResponse, old: str, new: str) -> list[str]:
    """The header lines of a response in which the caller's token stands where the callee's was (§16.7 (8))."""
    lines = response.lines.copy()
    first = response.index()["record-route"]
    if old in lines[first]:
        lines[first] = lines[first].replace(old, new)
        return lines
    return [line.replace(old, new) if name == "record-route" else line for line, name in zip(lines, response.names, strict=True)]


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
