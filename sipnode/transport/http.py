"""HTTP on a WebSocket port: the handshake, the injected page, and everything else refused.

Implements: RFC 6455 §4.2, RFC 9112; the seed's event_route[xhttp:request]. Invariant: a request is answered only when
its Host is ours and it was whole within ``handshake_seconds``.
"""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from sipnode.transport.handshake import Handshake, HandshakeRules, Refusal
from sipnode.transport.sniff import attach

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure
    from twisted.web.resource import IResource
    from twisted.web.server import Request

    from sipnode.transport.admission import Ticket
    from sipnode.transport.connection import Hub
    from sipnode.transport.wheel import WheelTimer

# A browser keeps a connection for its next request; longer is a place held for nothing.
_KEEP_ALIVE_SECONDS: Final = 60.0
# What any answer carries, refusals and faults too; the page puts its own policy in their place.
_GUARDED: Final = (
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_TOO_LARGE: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class XHTTPRoot(Resource):
    """What a WebSocket port answers to HTTP.

    Args:
        rules: The checks.
        websockets: autobahn's factory for this port.
        page: What is shown when it is no handshake; None for 404.
        xhttp_request: The script's word: a status refuses, None goes on.
        server: Text of the Server header, '' for none.
    """

    def __init__(
        self,
        rules: HandshakeRules,
        websockets: Any,
        page: IResource | None,
        xhttp_request: Callable[[Any], int | None] | None,
        server: str,
    ) -> None:
        Resource.__init__(self)
        self._rules = rules
        self._upgrade = _Upgrade(websockets)
        self._page = page
        self._xhttp_request = xhttp_request
        self._server = server

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        request.responseHeaders.removeHeader(b"server")
        if self._server:
            request.setHeader(b"server", self._server.encode())
        for name, value in _GUARDED:
            request.setHeader(name, value)
        return self._child(path, request)

    def _child(self, path: bytes, request: Request) -> Any:
        refusal = self._rules.check_host(_text(request, b"host"), str(request.getHost().host))
        if refusal is None and self._xhttp_request is not None:
            status = self._xhttp_request(request)
            refusal = Refusal(status, "refused by the routing script") if status is not None else None
        if refusal is not None:
            return _Refused(refusal)
        shake = read_handshake(request)
        if shake.is_upgrade:
            refusal = self._rules.check_upgrade(shake)
            return self._upgrade if refusal is None else _Refused(refusal)
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

    def render(self, request: Request) -> int:
        channel: Any = request.channel
        head = [b"GET " + request.uri + b" HTTP/1.1"]
        for name, values in request.requestHeaders.getAllRawHeaders():
            head.append(name + b": " + b",".join(values))
        channel.upgrade(self._websockets.buildProtocol(request.getClientAddress()), b"\r\n".join(head) + b"\r\n\r\n")
        return NOT_DONE_YET


@implementer(IHalfCloseableProtocol)
class XHTTPChannel(HTTPChannel):
    """Twisted's HTTP connection with limits: a request in time, a body within bounds, a place given back.

    Args:
        hub: What connections share.
        site: The site.
        ticket: The place of this connection.
        reactor: ``IReactorTime``.
    """

    transport: Any
    # Twisted's own types forbid what Twisted's own factories set: another clock, a limit in fractions, another reader.
    callLater: Any
    timeOut: Any
    rawDataReceived: Any

    def __init__(self, hub: Hub, site: Site, ticket: Ticket, reactor: Any) -> None:
        HTTPChannel.__init__(self)
        self.site = site
        self.requestFactory = site.requestFactory
        self.factory = None
        self.callLater = reactor.callLater
        self.timeOut = _KEEP_ALIVE_SECONDS
        self._hub = hub
        self._ticket = ticket
        self._deadline: WheelTimer | None = None
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self._hub.wheel.after(self._hub.transport.handshake_seconds, self._too_slow)
        HTTPChannel.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        if self.length is None or self.length > self._hub.limits.message_bytes:
            self.transport.write(_TOO_LARGE)
            self._end()
        else:
            HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        self._in_time()
        HTTPChannel.allContentReceived(self)

    def timeoutConnection(self) -> None:
        self._end()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted's default argument is of no use here
        self._in_time()
        self._over = True
        HTTPChannel.connectionLost(self, reason)
        self._ticket.release()

    def readConnectionLost(self) -> None:
        """The client has sent all it will: answer what it asked, then close."""
        self.persistent = False
        if not self._handlingRequest:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()

    def upgrade(self, protocol: Any, head: bytes) -> None:
        """Give transport and place to ``protocol``, and the octets of the handshake again."""
        wire: Any = self.transport
        wire.unregisterProducer()
        protocol.ticket = self._ticket
        self.transport = None
        # What came behind the handshake in the same segment is the protocol's as well.
        self.rawDataReceived = protocol.dataReceived
        self.requests.clear()
        attach(protocol, wire)
        protocol.dataReceived(head)

    def _end(self) -> None:
        self._over = True
        self._in_time()
        wire: Any = self.transport
        wire.unregisterProducer()
        wire.loseConnection()
        self._deadline = self._hub.wheel.after(self._hub.transport.handshake_seconds, wire.abortConnection)

    def _too_slow(self) -> None:
        self._deadline = None
        self._over = True
        self.transport.abortConnection()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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
        self._site = Site(root, reactor=reactor)
        self._site.displayTracebacks = False

    def channel(self, ticket: Ticket) -> XHTTPChannel:
        """The protocol of a connection that speaks HTTP."""
        return XHTTPChannel(self._hub, self._site, ticket, self._reactor)


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
