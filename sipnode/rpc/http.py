"""The RPC over HTTP: ``POST /RPC`` on a listener of its own, for those who are allowed and show the token.

Implements: RFC 9110 §15.5 (401, 403, 404, 405, 411, 413), RFC 6750 §2.1 (Bearer). The invariant: who asks, whether it may, and how much
it sends is judged when the header is there, before an octet of the body is read.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http.client import responses
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.web.http import HTTPChannel, HTTPFactory, Request

from sipnode.addresses import is_within, networks
from sipnode.rpc.sending import Sending
from sipnode.services import PortService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from sipnode.rpc.endpoint import Endpoint

PATH: Final = b"/RPC"
MOST_CONNECTIONS: Final = 32
_IDLE_SECONDS: Final = 30.0


class Door:
    """Permission to call.

    Args:
        allow: Addresses or networks.
        token: What a caller has to show.
        most_bytes: Of a request.

    Raises:
        ConfigError: an entry that is no network.
    """

    def __init__(self, allow: Sequence[str], token: str, most_bytes: int) -> None:
        self._networks = networks(allow, "rpc.allow")
        self._token = token.encode()
        self.most_bytes = most_bytes
        self.refused = 0

    def admits(self, host: str) -> bool:
        """Whether an address may call at all."""
        return is_within(host, self._networks)

    def knows(self, authorization: Sequence[bytes] | None) -> bool:
        """Whether the token is the one, in a time that doesn't tell how much of it is right."""
        scheme, _, shown = (authorization[0] if authorization and len(authorization) == 1 else b"").partition(b" ")
        return hmac.compare_digest(shown.strip(), self._token) and scheme.lower() == b"bearer" and bool(self._token)

    def refusal(self, request: Any, host: str, length: int | None) -> int:
        """The status that refuses a request by its header, 0 for none."""
        status = 0
        if not self.admits(host):
            status = 403
        elif not self.knows(request.requestHeaders.getRawHeaders(b"authorization")):
            status = 401
        elif request.uri.partition(b"?")[0] != PATH:
            status = 404
        elif request.method != b"POST":
            status = 405
        elif length is None:
            status = 411
        elif length > self.most_bytes:
            status = 413
        self.refused += bool(status)
        return status


class RpcRequest(Request):
    """A request that may be run."""

    def process(self) -> None:
        """Twisted: it is whole."""
        factory: Any = self.channel.factory
        content: Any = self.content
        content.seek(0)
        body = content.read()
        host = getattr(self.client, "host", "")
        factory.endpoint.handle(body, f"http {host}").addCallback(self._answer)

    def _answer(self, pieces: Iterator[bytes] | None) -> None:
        if self._disconnected:
            return
        headers = self.responseHeaders
        headers.setRawHeaders(b"cache-control", [b"no-store"])
        if pieces is None:
            self.setResponseCode(204)
            self._answered(True)
            return
        headers.setRawHeaders(b"content-type", [b"application/json"])
        Sending(pieces, self, self._answered).start()

    def _answered(self, whole: bool) -> None:
        if whole:
            self.finish()  # type: ignore[no-untyped-call]  # Twisted's Request is not annotated
        else:
            self.channel.forceAbortClient()


class RpcChannel(HTTPChannel):
    """A connection; what isn't allowed is answered from the header and closed."""

    requestFactory = RpcRequest
    factory: Any
    length: Any
    transport: Any
    _over = False

    def dataReceived(self, data: bytes) -> None:
        """Twisted: some octets; none count after a refusal."""
        if not self._over:
            HTTPChannel.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        """Twisted: the header is whole."""
        request = self.requests[-1]
        status = self.factory.door.refusal(_Head(self, request), self._peer(), self.length)
        if status:
            self._refuse(status)
        else:
            HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        """Twisted: the body is whole."""
        if not self._over:
            HTTPChannel.allContentReceived(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: it is gone."""
        HTTPChannel.connectionLost(self, reason)
        self.factory.ended()

    def _peer(self) -> str:
        return str(getattr(self.transport.getPeer(), "host", ""))

    def _refuse(self, status: int) -> None:
        self._over = True
        extra = {401: b"WWW-Authenticate: Bearer\r\n", 405: b"Allow: POST\r\n"}.get(status, b"")
        reason = responses[status].encode()
        text = reason + b"\n"
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n"
        self.transport.write(head % (status, reason, len(text), extra) + text)
        self.transport.loseConnection()


class _Head:
    """The parts of a request that the door looks at."""

    def __init__(self, channel: Any, request: Any) -> None:
        self.method = channel._command
        self.uri = channel._path
        self.requestHeaders = request.requestHeaders


class RpcFactory(HTTPFactory):
    """Makes connections, up to a limit.

    Args:
        endpoint: Runs requests.
        door: Who may call.
        reactor: IReactorTime.
    """

    noisy = False
    protocol: Any = RpcChannel

    def __init__(self, endpoint: Endpoint, door: Door, reactor: Any) -> None:
        HTTPFactory.__init__(self, timeout=_IDLE_SECONDS, reactor=reactor)
        self.endpoint = endpoint
        self.door = door
        self._open = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Twisted: a connection; None refuses it."""
        # A caller that isn't allowed gets its 403, but never a place of those who are.
        most = MOST_CONNECTIONS if self.door.admits(str(getattr(addr, "host", ""))) else MOST_CONNECTIONS // 2
        if self._open >= most:
            return None
        self._open += 1
        return HTTPFactory.buildProtocol(self, cast("IAddress", addr))

    def ended(self) -> None:
        """A connection is gone."""
        self._open -= 1

    def log(self, request: Any) -> None:
        """Twisted's access log: what changes something is logged by the endpoint."""


class HttpService(PortService):
    """Listens.

    Args:
        listen: ``ADDRESS:PORT``, IPv6 in brackets.
        endpoint: Runs requests.
        door: Who may call.
        reactor: IReactorTCP and IReactorTime.

    Raises:
        ConfigError: ``listen`` can't be read.
    """

    log = Logger(namespace="sipnode.rpc")

    def __init__(self, listen: str, endpoint: Endpoint, door: Door, reactor: Any) -> None:
        super().__init__(listen, "rpc.listen", "RPC", RpcFactory(endpoint, door, reactor), reactor)

