"""HTTP on a WebSocket port: the handshake, the injected page, and everything else refused.

Implements: RFC 6455 §4.2, RFC 9112; the seed's event_route[xhttp:request]. Invariant: a request is answered only when
its Host is ours.
"""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from sipnode.transport.handshake import Handshake, HandshakeRules, Refusal
from sipnode.transport.httpchannel import XHTTPChannel
from sipnode.transport.serialqueue import SerialQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource
    from twisted.web.server import Request

    from sipnode.transport.admission import Ticket
    from sipnode.transport.connection import Hub

# Headers of any answer, refusals and faults too; the page puts its own policy in their place.
_GUARDED: Final = (
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


Refused: TypeAlias = "Callable[[Request, Handshake, Refusal], None]"
"""Told of a handshake that isn't let in."""


class XHTTPRoot(Resource):
    """The HTTP side of a WebSocket port.

    Args:
        rules: The checks.
        websockets: autobahn's factory for this port.
        page: What is shown when it is no handshake; None for 404.
        xhttp_request: The script's word: a status refuses, None goes on.
        server: Text of the Server header, '' for none.
        refused: Told of each WebSocket handshake that isn't let in.
    """

    def __init__(
        self,
        rules: HandshakeRules,
        websockets: Any,
        page: IResource | None,
        xhttp_request: Callable[[Any], int | None] | None,
        server: str,
        refused: Refused | None = None,
    ) -> None:
        Resource.__init__(self)
        self._rules = rules
        self._upgrade = _Upgrade(websockets)
        self._page = page
        # Paths of the page that say so: a probe or load balancer asks by whatever name it has.
        self._any_host = getattr(page, "any_host", ())
        self._xhttp_request = xhttp_request
        self._server = server
        self._refused = refused

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        request.responseHeaders.removeHeader(b"server")
        if self._server:
            request.setHeader(b"server", self._server.encode())
        for name, value in _GUARDED:
            request.setHeader(name, value)
        return self._child(path, request)

    def _child(self, path: bytes, request: Request) -> Any:
        refusal = None
        if path not in self._any_host or request.postpath:
            refusal = self._rules.check_host(_text(request, b"host"), str(request.getHost().host))
        if refusal is None and self._xhttp_request is not None:
            status = self._xhttp_request(request)
            refusal = Refusal(status, "refused by the routing script") if status is not None else None
        shake = read_handshake(request)
        if shake.is_upgrade:
            refusal = refusal or self._rules.check_upgrade(shake)
            if refusal is None:
                return self._upgrade
            if self._refused is not None:
                self._refused(request, shake, refusal)
        if refusal is not None:
            return _Refused(refusal)
        if self._page is None:
            return _Refused(Refusal(404, "nothing here"))
        if self._page.isLeaf:
            prepath, postpath = request.prepath, request.postpath
            if prepath and postpath is not None:
                postpath.insert(0, prepath.pop())
            return self._page
        return self._page.getChildWithDefault(path, request)


class _Refused(Resource):
    isLeaf = True

    def __init__(self, refusal: Refusal) -> None:
        Resource.__init__(self)
        self._refusal = refusal

    def render(self, request: Request) -> bytes:
        status = self._refusal.status
        request.setResponseCode(status, responses.get(status, "").encode())
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"connection", b"close")
        for name, value in self._refusal.headers:
            request.setHeader(name.encode(), value.encode())
        return self._refusal.reason.encode() + b"\n"


class _Upgrade(Resource):
    """Hands a checked handshake, with its transport and its place, to a WebSocket protocol."""

    isLeaf = True

    def __init__(self, websockets: Any) -> None:
        Resource.__init__(self)
        self._websockets = websockets

    def render(self, request: Request) -> int | bytes:
        channel: Any = request.channel
        if channel.refuses():
            return _Refused(Refusal(503, "too many connections from there")).render(request)
        head = [b"GET " + request.uri + b" HTTP/1.1"]
        for name, values in request.requestHeaders.getAllRawHeaders():
            head.append(name + b": " + b",".join(values))
        channel.upgrade(self._websockets.buildProtocol(request.getClientAddress()), b"\r\n".join(head) + b"\r\n\r\n")
        return NOT_DONE_YET


class WebPort:
    """HTTP and WebSocket on one listening port.

    Args:
        hub: What connections share.
        root: The port's :class:`XHTTPRoot`.
        reactor: ``IReactorTime``.
    """

    def __init__(self, hub: Hub, root: XHTTPRoot, reactor: Any) -> None:
        self._hub = hub
        self._reactor = reactor
        self._queue = SerialQueue(reactor)
        self._site = Site(root, reactor=reactor)
        self._site.displayTracebacks = False

    def channel(self, ticket: Ticket) -> XHTTPChannel:
        """The protocol of a connection that speaks HTTP."""
        return XHTTPChannel(self._hub, self._site, ticket, self._reactor, self._queue)


def read_handshake(request: Request) -> Handshake:
    """The deciding fields of a request."""
    origin = request.requestHeaders.getRawHeaders(b"origin")
    return Handshake(
        method=request.method.decode("latin-1"),
        version=request.clientproto.decode("latin-1"),
        host=_text(request, b"host"),
        upgrade=_words(request, b"upgrade"),
        connection=_words(request, b"connection"),
        origin=None if origin is None else ",".join(value.decode("latin-1") for value in origin).strip(),
        key=_text(request, b"sec-websocket-key"),
        ws_version=_text(request, b"sec-websocket-version"),
        protocols=_words(request, b"sec-websocket-protocol"),
    )


def _text(request: Request, name: bytes) -> str:
    values = request.requestHeaders.getRawHeaders(name) or []
    return ",".join(value.decode("latin-1").strip() for value in values)


def _words(request: Request, name: bytes) -> list[str]:
    return [word.strip() for word in _text(request, name).split(",") if word.strip()]
